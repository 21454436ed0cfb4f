"""Where shards are worked on changes nothing of what comes out: the whole job with each runner, pictures included."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import skimage.data
from PIL import Image

from critique.endpoint.loopback import LoopbackVlm, from_pixels
from storage.group_store import GroupStore
from tests.integration.programs import Programs

pytestmark = pytest.mark.slow

TIMES = ("seconds", "group_seconds")  # columns that say how long something took
VLM = '[critic]\nname = "vlm"\nvlm = { model = "loopback" }\n'


@pytest.fixture(scope="module")
def job(programs, tmp_path_factory):
    """Runs the job on three photographs in two shards with a runner; returns its folder."""
    folder = tmp_path_factory.mktemp("runners")
    (folder / "photographs").mkdir()
    person = Image.fromarray(skimage.data.astronaut())
    person.save(folder / "photographs" / "a.png")
    Image.fromarray(skimage.data.camera()).save(folder / "photographs" / "b.png")
    person.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "photographs" / "c.png")
    with LoopbackVlm(lambda number, body: from_pixels()(body)) as server:
        variables = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": server.base_url}

        def run(runner: str) -> Path:
            chosen = f'shard_size = 2\nrunner = "{runner}"\nprocesses = 2'
            text = programs.tiny.read_text().replace("shard_size = 8", chosen)
            for long, short in (("steps = 6", "steps = 3"), ("groups_shown = 2", "groups_shown = 0")):
                text = text.replace(long, short)
            settings = folder / f"{runner}.toml"
            settings.write_text(text.replace("[sample]\n", "[sample]\ntemperature = 8.0\n") + VLM)
            called = Programs({**programs.environment, **variables}, settings)
            called.run(
                "align", "--settings", settings, "--images", folder / "photographs", "--out", folder, "--name", runner
            )
            return folder / runner

        yield run


@pytest.fixture(scope="module")
def by_threads(job) -> dict[str, object]:
    return contents(job("threads"))


CLUSTERS = [pytest.param(name, marks=pytest.mark.long) for name in ("dask", "ray")]


@pytest.mark.parametrize("runner", ["processes", *CLUSTERS])
def test_every_runner_makes_the_same(job, by_threads, runner):
    assert contents(job(runner)) == by_threads


def contents(run: Path) -> dict[str, object]:
    """What a run made: its store and pictures, curves of training, and numbers of the summary."""
    found: dict[str, object] = {}
    for file in [*(run / "store").rglob("*.parquet"), *(run / "training").rglob("*.parquet")]:
        table = pq.read_table(file)
        columns = [name for name in table.column_names if name not in TIMES]
        found[place(file, run)] = str(table.select(columns).to_pydict())
    for file in (run / "store" / "pictures").rglob("*.zip"):
        found[place(file, run)] = file.read_bytes()
    store = GroupStore(run / "store")
    assert store.verify() == [] and len(store.group_shards("round0")) == 2
    assert any(name.startswith("store/pictures") for name in found)
    summary = json.loads((run / "summary.json").read_text())
    return found | {key: summary[key] for key in ("verdicts", "benchmark", "photographs", "improvement_percent")}


def place(file: Path, run: Path) -> str:
    """A file's place in its run, without the run's name."""
    return file.relative_to(run).as_posix().replace(f"run={run.name}", "run=")

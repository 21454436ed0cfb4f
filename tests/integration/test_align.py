"""The whole job as a user runs it: on the studio, on a folder of good and bad photographs, killed and resumed."""

import json
import math
import os
import re
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from critique.endpoint.loopback import LoopbackVlm, from_pixels, refusal
from hmr.metrics.evaluation import ESTIMATES
from storage.group_store import GroupStore
from tests.factories import same
from tests.integration.photograph_folder import BAD, GOOD, make_folder
from tests.integration.programs import Programs

pytestmark = pytest.mark.slow

KEYS = {
    "run", "settings_sha256", "images", "people", "groups", "hypotheses", "critic", "verdicts", "stages", "benchmark",
    "improvement_percent", "critic_quality", "checkpoint", "photographs",
}  # fmt: skip


def contents(store: GroupStore) -> dict:
    """All records of a store, by table and shard."""
    found: dict = {("people", s): store.read_people(s) for s in store.people_shards()}
    for gen in store.gens():
        for shard in store.group_shards(gen):
            found["groups", gen, shard] = store.read_groups(gen, shard)
        for shard in store.verdict_shards(gen, "evidence@4"):
            found["verdicts", gen, shard] = store.read_verdicts(gen, "evidence@4", shard)
    return found


def alike(one: dict, other: dict) -> bool:
    """Equal records; photographs lie in different runs, and times are nobody's concern."""

    def plain(value):
        return json.loads(pd.Series([value]).to_json(orient="values", default_handler=str))

    if one.keys() != other.keys():
        return False
    for key in one:
        for a, b in zip(one[key], other[key], strict=True):
            person_a, person_b = getattr(a, "person", a), getattr(b, "person", b)
            if getattr(person_a, "group_id", 0) != getattr(person_b, "group_id", 0):
                return False
            for name in ("latents", "pose", "scores", "landmarks", "statuses", "comments", "seeds"):
                if hasattr(a, name) and not same(getattr(a, name), getattr(b, name)):
                    return False
    return True


@pytest.fixture(scope="module")
def studio_run(programs, tmp_path_factory):
    """One unbroken run on the studio, in a process that reports connections and refuses labels of `wild`."""
    out = tmp_path_factory.mktemp("studio")
    done = programs.run("align", "--settings", programs.tiny, "--out", out, "--name", "whole", watched=True)
    return out / "whole", done


def test_the_studio_run_writes_summary_report_and_store(studio_run):
    folder, _ = studio_run
    summary = json.loads((folder / "summary.json").read_text())
    assert summary.keys() >= KEYS
    assert (
        summary["hypotheses"]
        == summary["groups"] * 5
        == summary["verdicts"]["scored"] + summary["verdicts"]["abstained"]
    )
    for when in ("before", "after"):
        assert summary["benchmark"][when].keys() == set(ESTIMATES)
    page = (folder / "report.html").read_text()
    assert "orchestra_conductor_from_behind.jpg" in page and not re.search(r'(src|href)="https?://', page)
    people = GroupStore(folder / "store").read_people()
    real = [p for p in people if not p.group_id.startswith("wild-")]
    for when in ("before", "after"):
        found = summary["photographs"][when]
        assert found["people"] == len(real) >= 20 and found["whole_people"] >= 1
        assert 0 < found["keypoints_px"] < 256 and 0 < found["mask_iou"] < 1 and 0 <= found["within_8px"] <= 1
    assert summary["photographs"]["photographs"] >= 8
    assert page.count('<article class="body">') == min(len(real), 40)
    scores = pd.read_parquet(folder / "store" / "scores")
    assert len(scores) == summary["hypotheses"] and scores["score"].between(0, 100).all()
    assert Path(summary["checkpoint"]).is_file()
    assert not GroupStore(folder / "store").verify()


def test_the_run_connects_to_nobody_and_reads_no_label_of_wild(studio_run):
    _, done = studio_run
    assert "OUTSIDE" not in done.stderr
    assert "WILD LABELS READ" not in done.stderr


def test_a_second_run_does_nothing_again(programs, studio_run):
    folder, _ = studio_run
    watched = [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".parquet", ".safetensors", ".npz", ".png")]
    before = {p: p.stat().st_mtime_ns for p in watched}
    programs.run("align", "--settings", programs.tiny, "--out", folder.parent, "--name", "whole")
    assert {p: p.stat().st_mtime_ns for p in watched} == before


def test_other_settings_do_not_touch_the_run(programs, studio_run):
    folder, _ = studio_run
    done = programs.run(
        "align", "--settings", programs.tiny, "--out", folder.parent, "--name", "whole", "--rounds", "2", code=2
    )
    assert "holds a run with other settings" in done.stderr and "Traceback" not in done.stderr


WRITTEN = ("store/groups/*/*.parquet", "training/*/states/*.pt")
"""Two of the stages; faults at file operations of all of them are in test_faults.py."""


@pytest.mark.parametrize("after", [WRITTEN[0], pytest.param(WRITTEN[1], marks=pytest.mark.long)])
def test_a_killed_run_resumes_to_the_same_store(programs, studio_run, tmp_path, after):
    whole, _ = studio_run
    arguments = ("align", "--settings", programs.tiny, "--out", tmp_path, "--name", "killed")
    program = programs.start(*arguments)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "killed").glob(after)) and time.monotonic() < deadline:
        assert program.is_alive(), "the run ended before it could be killed"
        time.sleep(0.02)
    assert program.pid
    os.killpg(program.pid, signal.SIGKILL)
    program.join()
    assert not (tmp_path / "killed" / "summary.json").exists()
    programs.run(*arguments)
    assert alike(contents(GroupStore(whole / "store")), contents(GroupStore(tmp_path / "killed" / "store")))
    first, second = (json.loads((f / "summary.json").read_text()) for f in (whole, tmp_path / "killed"))
    assert first["benchmark"] == second["benchmark"]


def test_a_folder_of_good_and_bad_photographs(programs, tmp_path):
    photos = make_folder(tmp_path / "photos")
    programs.run("align", "--settings", programs.tiny, "--images", photos, "--out", tmp_path, "--name", "mine")
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    assert summary["images"] == len(GOOD) + len(BAD) and summary["skipped"] == len(BAD)
    assert summary["base"] == "default"
    people = GroupStore(tmp_path / "mine" / "store").read_people()
    found = {name: sum(Path(p.photo).name == name for p in people) for name in GOOD}
    assert all(found.values()), found
    assert found["two.png"] >= 2
    assert summary["photographs"]["after"]["people"] == len(people) and summary["photographs"]["moved_px"] >= 0
    page = (tmp_path / "mine" / "report.html").read_text()
    for name in BAD:
        assert name in page


def test_nobody_anywhere_is_one_clear_sentence(programs, tmp_path):
    photos = tmp_path / "empty"
    photos.mkdir()
    (photos / "notes.txt").write_text("nothing to see")
    done = programs.run("align", "--settings", programs.tiny, "--images", photos, "--out", tmp_path, code=2)
    assert "nobody was found in any of the 1 photographs" in done.stderr and "Traceback" not in done.stderr


def test_the_oracle_refuses_photographs_without_truth(programs, tmp_path):
    photos = make_folder(tmp_path / "photos", large=False)
    done = programs.run(
        "align", "--settings", programs.tiny, "--images", photos, "--out", tmp_path, "--critic", "oracle", code=2
    )
    assert "judges by ground truth" in done.stderr


def test_a_vision_language_model_judges_and_its_failures_are_abstentions(programs, tmp_path):
    """The whole job with a VLM over real HTTP; the second group's answers are refusals."""
    import skimage.data
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(skimage.data.astronaut()).save(photos / "a.png")
    Image.fromarray(skimage.data.camera()).save(photos / "b.png")
    mine = tmp_path / "mine.toml"
    once = 'vlm = { model = "loopback", retries = 0, second_chances = 0 }'
    # Two people of photographs, on whom hypotheses agree: they are spread, so that the scores teach something.
    apart = programs.tiny.read_text().replace("[sample]\n", "[sample]\ntemperature = 8.0\n")
    mine.write_text(f'{apart}[critic]\nname = "vlm"\n{once}\n')
    key = "sk-never-to-be-seen-0123456789"

    def script(number, body):
        return refusal()(body) if number == 1 else from_pixels()(body)

    with LoopbackVlm(script) as server:
        environment = {**programs.environment, "OPENAI_API_KEY": key, "OPENAI_BASE_URL": server.base_url}
        run = Programs(environment, mine)
        run.run("align", "--settings", mine, "--images", photos, "--out", tmp_path, "--name", "judged", code=3)
        asked = [call for call in server.calls if call.method == "POST"]
    pictures = [part for part in asked[0].parts if part["type"] == "image_url"]
    assert len(pictures) == 1 + 5  # the photograph and five overlays
    scores = pd.read_parquet(tmp_path / "judged" / "store" / "scores")
    assert set(scores["status"]) == {"ok", "refused"}
    assert scores.loc[scores["status"] == "refused", "score"].isna().all()
    assert scores.loc[scores["status"] == "ok", "score"].between(0, 100).all()
    for file in (tmp_path / "judged").rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file


@pytest.mark.long
def test_the_study_of_rounds_part_by_part(programs, tmp_path):
    """One thing changed at a time, in two rounds; nothing of `test` is looked at. Every part's settings: unit test."""
    settings = tmp_path / "parts.toml"
    settings.write_text(programs.tiny.read_text().replace("rounds = 1", "rounds = 2\nlater = { steps = 2 }"))
    file, chosen = tmp_path / "parts.json", ("all", "one_round_of_all_steps", "last_step_kept")
    programs.run(
        "experiment", "rounds", "--parts", "--settings", settings, "--out", tmp_path, "--arms", ",".join(chosen),
        "--json", file,
    )  # fmt: skip
    values = {row["metric"]: row for row in json.loads(file.read_text())["results"]}
    for part in chosen:
        assert math.isfinite(values[f"rounds.val.{part}.zero_noise"]["value"])
        assert values[f"rounds.val.{part}.diversity"]["value"] > 0
    assert len(values["rounds.val.all.best20"]["best_steps"]) == 2
    assert len(values["rounds.val.one_round_of_all_steps.best20"]["best_steps"]) == 1
    assert not list(tmp_path.glob("*/benchmark"))

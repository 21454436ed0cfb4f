"""The walk-through of docs/bring-your-own.md on a small data set of drawn people: its commands, as written."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from storage.group_store import GroupStore
from storage.predictions.arrays_npz import write
from storage.predictions.predicted import Predicted
from tests.integration.conftest import TINY
from tests.integration.programs import Programs
from tests.own_data import own_data

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FREE = "anny-smpl-format"


def commands() -> list[str]:
    """The lines of the bash blocks of both sections."""
    page = (ROOT / "docs" / "bring-your-own.md").read_text()
    part = page[page.index("## Data sets") : page.index("## Data of the critics' protocol")]
    return [line for block in re.findall(r"```bash\n(.*?)```", part, re.DOTALL) for line in block.splitlines()]


@pytest.mark.timeout(900)
def test_commands_run_as_written(programs, tmp_path):
    own_data(tmp_path, range(1, 7)).coco("train.json")
    own_data(tmp_path, range(11, 15)).coco("more.json")
    own_data(tmp_path, range(21, 25)).spin("val.npz")
    own_data(tmp_path, range(31, 35)).spin("test.npz")
    brought = own_data(tmp_path, [1, 2, 3])
    pose = roma.rotmat_to_rotvec(torch.from_numpy(brought.truth.rotations)).numpy()
    for k, name in enumerate(brought.names):  # the truth itself, as another model's answer
        left, top, wide, high = brought.boxes[k]
        write(
            Predicted(
                "other", name, name, "0", FREE, pose[k : k + 1, 0], pose[k : k + 1, 1:], brought.truth.betas[k : k + 1],
                brought.truth.translation[k : k + 1], camera=brought.truth.camera[k],
                box=np.array([left, top, left + wide, top + high]),
            ),
            tmp_path / "outputs",
        )  # fmt: skip
    shipped = (ROOT / "deploy" / "settings" / "own-data.toml").read_text()
    section = shipped[shipped.index("[benchmark]") :].split("\n", 1)[1]
    tiny = TINY.replace("[benchmark]\n", f"[benchmark]\n{section}")
    (tmp_path / "own-data.toml").write_text(shipped[: shipped.index("[benchmark]")] + tiny)
    mine = Programs({**programs.environment, "HMR_ALIGN_RUNS": str(tmp_path / "runs")}, tmp_path / "own-data.toml")
    for command in commands():
        mine.run(*shlex.split(command)[1:], folder=tmp_path)

    summary = json.loads((tmp_path / "runs" / "own" / "summary.json").read_text())
    assert summary["measured_on"] == "test: test.parquet" and summary["measured_against"]["root"] == "pelvis"
    assert set(summary["benchmark"]["after"]["zero_noise"]) == {"mpjpe_mm", "pa_mpjpe_mm"}  # joints have no PVE
    store = GroupStore(tmp_path / "runs" / "own" / "store")
    groups = [group for shard in store.group_shards("predictions") for group in store.read_groups("predictions", shard)]
    assert groups and all(len(group) == 6 and group.made_by[5] == "other" for group in groups)
    assert all(group.person.labels is not None for group in groups)
    assert list((tmp_path / "best").glob("*.obj")) and list((tmp_path / "runs" / "own" / "overlays").rglob("*.jpg"))

"""The published networks at full size, with random weights, through the whole job."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from hmr.models.base_model import HmrModel, save_model
from hmr.models.model_file import load_model
from storage.group_store import GroupStore

pytestmark = pytest.mark.slow
PHOTOGRAPH = Path(__file__).parents[2] / "tasks" / "assets" / "photographs" / "four_musicians_seated_on_stage.jpg"

SMALL = """
[run]
shard_size = 8
[sample]
hypotheses = 5
temperature = 4.0
[overlay]
size = 96
groups_shown = 1
[align]
rounds = 1
[train]
keep = "last"
steps = 4
evaluate_every = 4
groups_per_step = 2
[benchmark]
hypotheses = 3
bootstrap = 20
[studio]
val = 2
test = 2
"""


def test_a_published_network_is_sampled_drawn_judged_stored_trained_and_measured(programs, tmp_path):
    torch.manual_seed(0)
    ours, start = tmp_path / "hyponet.safetensors", tmp_path / "ckpt.pth"
    save_model(HmrModel({"network": "hyponet"}), ours, {"weights": "random"})
    programs.run("convert", ours, start)  # from here on, a file in the layout of the authors
    settings = tmp_path / "small.toml"
    settings.write_text(SMALL)
    (photos := tmp_path / "photos").mkdir()
    shutil.copy(PHOTOGRAPH, photos)
    files = ("--settings", settings, "--images", photos, "--checkpoint", start, "--out", tmp_path)
    programs.run("align", *files, "--name", "published")
    folder = tmp_path / "published"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["base"] == str(start)
    assert summary["groups"] >= 3
    assert summary["verdicts"]["scored"] == 5 * summary["groups"]
    assert not GroupStore(folder / "store").verify()
    curves = pd.read_parquet(folder / "training" / "round1" / "curves.parquet")
    assert len(curves) == 4 and curves["loss"].notna().all()
    seen = pd.read_parquet(folder / "training" / "round1" / "evaluations.parquet").set_index("step")
    assert seen.zero_noise_mm[0] != seen.zero_noise_mm[4]  # four steps moved the policy, whichever the guard kept
    assert load_model(summary["checkpoint"]).architecture["network"] == "hyponet"
    for when in ("before", "after"):
        assert summary["benchmark"][when]["zero_noise"]["mpjpe_mm"] > 0
    assert (folder / "report.html").stat().st_size > 10_000

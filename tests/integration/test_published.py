"""The published networks at full size, with random weights, through the whole job."""

import json

import pandas as pd
import pytest
import torch

from hmr.base_model import BaseModel, load_model, save_model
from storage.group_store import GroupStore

pytestmark = pytest.mark.slow

SMALL = """
[run]
shard_size = 8
[sample]
hypotheses = 3
temperature = 1.0
[overlay]
size = 96
groups_shown = 1
[align]
rounds = 1
keep = "last"
[train]
steps = 10
evaluate_every = 10
groups_per_step = 2
[benchmark]
hypotheses = 3
bootstrap = 20
[studio]
wild = 4
val = 2
test = 2
"""


def test_a_published_network_is_sampled_drawn_judged_stored_trained_and_measured(programs, tmp_path):
    torch.manual_seed(0)
    start = tmp_path / "hyponet.safetensors"
    save_model(BaseModel({"network": "hyponet"}), start, {"weights": "random"})
    settings = tmp_path / "small.toml"
    settings.write_text(SMALL)
    programs.run("align", "--settings", settings, "--checkpoint", start, "--out", tmp_path, "--name", "published")
    folder = tmp_path / "published"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["base"] == str(start)
    assert summary["groups"] >= 3
    assert summary["verdicts"]["scored"] == 3 * summary["groups"]
    assert not GroupStore(folder / "store").verify()
    curves = pd.read_parquet(folder / "training" / "round1" / "curves.parquet")
    assert len(curves) == 10 and curves["loss"].notna().all()
    before, after = load_model(start), load_model(summary["checkpoint"])
    assert after.architecture["network"] == "hyponet"
    change = (after.predictor.blocks[0].linear1.weight - before.predictor.blocks[0].linear1.weight).abs().max()
    assert change > 0
    assert torch.equal(after.encoder.conv1.weight, before.encoder.conv1.weight)
    for when in ("before", "after"):
        assert summary["benchmark"][when]["zero_noise"]["mpjpe_mm"] > 0
    assert (folder / "report.html").stat().st_size > 10_000

"""Planted groups: the truth is the truth, the corrupted mesh is turned round, and both stand where it is said."""

import numpy as np
import pytest
import torch

from critique.endpoint.cache import read_ledger
from critique.endpoint.loopback import JudgingStyle, LoopbackVlm
from hmr.body.body import load_body
from hmr.studio.studio import truths
from tasks.controls import measure_controls, planted
from tasks.finding import find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import save_scenes
from tasks.run.settings import CriticSection, OverlaySection
from tests.factories import make_person


def test_a_planted_group():
    frame = load_body(None)
    person = make_person(np.random.default_rng(0), crop=np.float32([160, 160, 200]))
    group, truth, corrupted = planted(frame, person, "val", 3, 5)
    true = truths(frame, "val", [3], purpose="benchmark")
    with torch.no_grad():
        joints = frame(*map(torch.from_numpy, (true.rotations, true.betas, true.translation))).joints[0].numpy()
    errors = np.linalg.norm(group.joints - joints, axis=-1).mean(1)
    assert len({truth, corrupted}) == 2
    assert errors[truth] < 1e-5 and (np.delete(errors, truth) > 0.01).all()
    moved, kept = group.joints[corrupted] - joints[0], joints - joints[0]
    assert np.abs(moved * [-1, 1, -1] - kept).max() < 1e-4
    assert np.array_equal(group.person.camera, true.camera[0])
    assert planted(frame, person, "val", 4, 5).truth != truth or planted(frame, person, "val", 5, 5).truth != truth


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """People of six scenes of the studio, found in their photographs."""
    folder = tmp_path_factory.mktemp("controls")
    save_scenes("easy_val", range(6), folder / "photographs")
    source = Source(folder / "photographs", thorough=False)
    listed = list_photographs.fn([source], source.folder, folder / "store", 64)
    find_shard.fn(*listed.shards, folder / "store", None, 1.25)
    return folder / "store"


def controls(store, section: CriticSection, run) -> dict[str, float]:
    overlay = OverlaySection(backend="numba", size=160)
    return measure_controls.fn(store, "easy_val", None, section, overlay, 4, 0, run)


def test_a_judge_of_pixels_puts_the_truth_first_and_a_blind_one_does_not(store, tmp_path, monkeypatch):
    """The blind one likes whatever is shown first, which is chance: 1 in 4, and a tie of truth and corrupted mesh."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    own = {"model": "loopback", "encoding": "png"}
    with LoopbackVlm(JudgingStyle()) as server:
        section = CriticSection(name="vlm", vlm=own | {"base_url": server.base_url})
        fair = controls(store, section, tmp_path / "fair")
        assert len(server.calls) == fair["groups"] == 6 and all(len(call.pictures) == 5 for call in server.calls)
        assert controls(store, section, tmp_path / "fair") == fair and len(server.calls) == 6  # paid for once
    with LoopbackVlm(JudgingStyle(look=lambda photograph, overlay: 0.0, bias=50)) as server:
        blind = controls(store, CriticSection(name="vlm", vlm=own | {"base_url": server.base_url}), tmp_path / "blind")
    assert fair["unjudged"] == blind["unjudged"] == 0 and read_ledger(tmp_path / "fair")[0].answers == 6
    assert fair["truth_wins"] == fair["truth_beats_corrupted"] == 1
    assert blind["truth_wins"] < 0.6 and blind["truth_beats_corrupted"] < 0.9


def test_controls_of_a_critic_that_is_local(store, tmp_path):
    found = controls(store, CriticSection(name="evidence"), tmp_path)
    assert found["groups"] == 6 and found["truth_beats_corrupted"] > 0.8

"""Planted groups: the truth is the truth, the corrupted mesh is turned round, and both stand where it is said."""

import numpy as np
import torch

from hmr.body import load_body
from hmr.studio import truths
from tasks.controls import planted
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

"""Fits critique/assets/scorer.safetensors, the learned scorer's weights, on the labelled people of the studio.

    python deploy/assets/build_scorer.py CACHE

CACHE is a folder of detections (`see_split`, `see_held_out`), made where they are missing: 9,000 scenes, 20 minutes on
two cores the first time, then some minutes. The regression is fitted on `broad` without the scenes 8000 to 8499, and
reads the detector alone; of those, seen with the second look, groups are drawn from both bases and about the truth,
and the weights of the checks are fitted to their order. No other split and no label of `wild` has a part in it. Run it
again with new bases, and after build_evidence.py, whose heaviest check reads this regression: the regression itself
depends on neither.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from critique.evidence import SCALES, check_table
from critique.expected_joints import (
    JOINTS,
    JointRegression,
    expect,
    expected_error,
    features,
    inputs,
    seen_by_the_crop,
)  # fmt: skip
from critique.scorer import BESIDE
from hmr.body.body import Body, load_body
from hmr.body.kinematics import forward_kinematics
from hmr.diffusion.mirror import JOINT_SWAP, LANDMARK_SWAP
from hmr.pretraining.labels import known_people
from hmr.studio.observation import SeenPeople, see_split
from storage.records import Group
from tasks.benchmarking import Known, StudioPeople, person_records
from tasks.benchmarks.check_weights import HELD_OUT, chosen, correlation, groups_of, labelled, ranks, see_held_out
from tasks.rendering import draw_group

Floats = NDArray[np.float64]

SCENES = 9000
COSINES, WIDTH = 2400, 0.7  # random directions, and their length for standardised inputs
RIDGE, SPREAD_RIDGE = 1e-3, 1e-2  # per person
SHIFT = 0.01  # metres, added to an error before its logarithm
VISIBILITY = np.arange(231).reshape(33, 7)[:, 3]
# Drawn shoulders are seen with 0.99 to 1: in units of that, the 0.9 of a photograph lies outside of what was fitted.
LEAST_DOUBT = 0.25
KINDS = (("default", 1.0), ("lab", 1.0), ("lab", 4.0), (None, 0.0))  # base and temperature; none = perturbed truth
GROUP = 12
PEOPLE = StudioPeople("broad", SCENES, Path())


def main(cache: Path) -> None:
    """Fit regression and weights of checks, and write both."""
    body_model, seen = load_body(), see_split("broad", SCENES, cache)
    held = np.isin(seen.index, HELD_OUT)
    regression = fit_regression(*people(body_model, chosen(seen, ~held)))
    regression = JointRegression(*(part.astype(np.float16).astype(np.float64) for part in regression))
    known = labelled(body_model, see_held_out(body_model, cache))
    weights = fit_checks([table(body_model, regression, known, *kind) for kind in KINDS])
    path = Path(__file__).parents[2] / "critique" / "assets" / "scorer.safetensors"
    path.parent.mkdir(exist_ok=True)
    tensors = {name: part.astype(np.float16) for name, part in regression._asdict().items()}
    about = {"scenes": SCENES, "held_out": len(HELD_OUT), "cosines": COSINES, "width": WIDTH, "ridge": RIDGE}
    mm = {name: weight / SCALES[name] for name, weight in zip(BESIDE, weights)}  # at full penalty
    checks = {f"check.{name}": np.array(weight, np.float32) for name, weight in mm.items()}
    save_file({**tensors, **checks}, path, {"provenance": json.dumps(about)})
    sys.stdout.write(f"{path}: {dict(zip(BESIDE, weights.round(2).tolist()))} mm per scale\n")


@torch.no_grad()
def people(body_model: Body, seen: SeenPeople) -> tuple[Floats, Floats]:
    """Inputs (n, 231) and true joints (n, 29, 3) as the crop sees them, and mirror images of all after them."""
    truth = known_people(body_model, "broad", seen, purpose="pretrain")
    rest = body_model.rest_joints(truth.whole.betas)
    joints = forward_kinematics(truth.whole.rotations, rest, truth.whole.translation).joints.numpy()
    by_true_camera = person_records(PEOPLE, seen._replace(camera=truth.camera.numpy()))
    details = np.stack([inputs(p, p.landmarks, p.world_landmarks) for p in by_true_camera]).reshape(-1, 33, 7)
    true = np.stack([seen_by_the_crop(*each) for each in zip(joints, by_true_camera)])
    mirrored = details[:, LANDMARK_SWAP] * (-1, 1, 1, 1, -1, 1, 1), true[:, JOINT_SWAP] * (-1, 1, 1)
    return np.concatenate([details, mirrored[0]]).reshape(-1, 231), np.concatenate([true, mirrored[1]])


def fit_regression(details: Floats, true: Floats) -> JointRegression:
    """Ridge regression of joints, and of the error's logarithm on the half of the people that a fit has not seen."""
    random = np.random.default_rng(0)
    mean, scale = details.mean(0), details.std(0) + 0.02
    scale[VISIBILITY] = np.maximum(scale[VISIBILITY], LEAST_DOUBT)
    directions = random.standard_normal((details.shape[1], COSINES)) * WIDTH / details.shape[1] ** 0.5
    phases = random.uniform(0, 2 * np.pi, COSINES)
    empty = np.zeros((details.shape[1] + COSINES + 1, 0))
    fit = JointRegression(mean, scale, directions, phases, empty, empty)
    read, flat = features(fit, details).astype(np.float32), true.reshape(len(true), -1)
    first = np.tile(np.arange(len(details) // 2) % 2 == 0, 2)  # a person and its mirror image stay together
    error = np.empty(true.shape[:2])
    for part in (first, ~first):
        guess = (read[~part] @ ridge(read[part], flat[part], RIDGE)).reshape(-1, JOINTS, 3)
        error[~part] = np.linalg.norm(guess - guess[:, :1] - true[~part], axis=-1)
    return fit._replace(joints=ridge(read, flat, RIDGE), spreads=ridge(read, np.log(error + SHIFT), SPREAD_RIDGE))


def ridge(read: NDArray[np.float32], wanted: Floats, strength: float) -> Floats:
    """Ridge regression: weights (inputs, outputs) that take `read` (n, inputs) to `wanted` (n, outputs)."""
    gram = (read.T @ read).astype(np.float64) + strength * len(read) * np.eye(read.shape[1])
    return np.linalg.solve(gram, (read.T @ wanted.astype(np.float32)).astype(np.float64))


def table(
    body_model: Body, regression: JointRegression, known: Known, base: str | None, temperature: float
) -> tuple[Floats, Floats]:
    """Expected error (mm) and scaled checks (n, g, 1 + k), and errors (n, g), of groups of one kind."""
    made = groups_of(body_model, known, base, temperature, GROUP)
    return np.stack([row(body_model, regression, group) for group in made.groups]), made.errors


def row(body_model: Body, regression: JointRegression, group: Group) -> Floats:
    """Expected error (mm) and scaled checks (g, 1 + k) of one group."""
    checks = check_table(draw_group(body_model, group))
    joints = seen_by_the_crop(group.joints, group.person)
    expected = 1000 * expected_error(joints, *expect(regression, group.person))
    return np.stack([expected, *(checks[name] / SCALES[name] for name in BESIDE)], -1)


def fit_checks(tables: list[tuple[Floats, Floats]], steps: int = 300) -> Floats:
    """Weights >= 0 of the checks, mm, beside an expected error of weight 1: they maximise the mean correlation of the
    total with the rank of the error, over groups and then over kinds of groups."""
    weights = torch.full((1 + len(BESIDE),), 5.0, requires_grad=True)
    optimiser = torch.optim.Adam([weights], 0.3)
    data = [(torch.from_numpy(x).float(), ranks(errors)) for x, errors in tables]
    for _ in range(steps):
        factors = torch.cat([torch.ones(1), weights[1:].clamp(min=0)])
        loss = -sum(correlation(x @ factors, order) for x, order in data)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights.detach().clamp(min=0).numpy()[1:].astype(np.float64)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

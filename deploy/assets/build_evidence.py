"""Fits critique/assets/evidence.json, the numbers of the evidence critic, on labelled people of the studio.

    python deploy/assets/build_evidence.py CACHE

CACHE is a folder of detections, made where they are missing: the `broad` scenes 8000 to 8499, which no base is trained
on, seen with the second look. Two or three minutes on a core. On every other person are fitted, in turn: offsets from
world landmarks to our keypoints (medians), scales, and weights on groups drawn from both bases and about the truth.
The rest of the people measure: rank correlations with the fitted weights, with those set by hand before, and with each
check alone are printed and written to deploy/experiments/evidence_weights.json. No other split and no label of `wild`
has a part in it. Run it again with new bases.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from critique.ceiling import ceilings
from critique.checks.fitted import fitted
from critique.checks.landmarks import SWAPPED, heard, trunk_axes, turn_to_crop
from critique.evidence import CHECKS, check_table, spread
from hmr.body.body import Body, load_body
from hmr.metrics.pose_metrics import rank_correlations
from tasks.benchmarking import Known, StudioPeople, person_records
from tasks.benchmarks.check_weights import HELD_OUT, chosen, fit_shares, groups_of, labelled, see_held_out
from tasks.rendering import draw_group
from tasks.sampling import model

Floats = NDArray[np.float64]
Tables = dict[str, tuple[Floats, Floats, Floats]]

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "critique" / "assets" / "evidence.json"
MEASURED = ROOT / "deploy" / "experiments" / "evidence_weights.json"
KINDS = {"lab": ("lab", 1.0), "default": ("default", 1.0), "perturbed": (None, 0.0)}  # base, temperature
GROUP = 12
SUM, LEAST = 5.0, 0.01  # of all weights; the least share of it that a check gets which helps at all
WORSE = -0.1  # SRCC of a check alone, on any kind of groups, under which it is switched off: it misleads
# Least weight of a check, whatever the fit says. A body that lies beside the person is the fault that people see first:
# it costs .01 of SRCC, and bodies chosen on photographs lie 2 px nearer.
FIRST_SEEN = {"reprojection": 1.0}
BY_HAND = {  # weight over scale in evidence@1
    "reprojection": 1.0 / 0.08, "silhouette": 0.6 / 0.06, "depth_order": 0.7 / 0.08, "world_distance": 0.8 / 0.06,
    "orientation": 0.6 / 0.08, "limb_lengths": 0.15 / 0.06, "joint_limits": 0.3 / 0.01, "penetration": 0.3 / 0.15,
    "balance": 0.1 / 0.15,
}  # fmt: skip


def main(cache: Path) -> None:
    """Fit on one half, measure on the other, write both files."""
    torch.set_num_threads(1)
    body_model = load_body()
    seen = see_held_out(body_model, cache)
    first = np.arange(len(seen.index)) % 2 == 0
    halves = [labelled(body_model, chosen(seen, rows)) for rows in (first, ~first)]
    provenance = {
        "command": "python deploy/assets/build_evidence.py CACHE",
        "scenes": f"broad {HELD_OUT.start}-{HELD_OUT.stop - 1}, every other person found",
        "people": int(first.sum()),
        "bases": {name: model(name).digest() for name in ("lab", "default")},
        "groups_of": GROUP,
    }
    kept: dict[str, Any] = {
        "provenance": provenance,
        "weights": {},
        "scales": {},
        "offsets": offsets(body_model, halves[0]),
    }
    write(SHIPPED, kept)
    fitted.cache_clear()
    learn, test = ({kind: table(body_model, half, *drawn) for kind, drawn in KINDS.items()} for half in halves)
    scales = np.sqrt(np.mean([np.square(x - x.mean(1, keepdims=True)).mean((0, 1)) for x, _, _ in learn.values()], 0))
    scales, weights = np.maximum(scales, 1e-4), np.zeros(len(CHECKS))
    use = np.array([helps(learn, k) for k in range(len(CHECKS))])
    weights[use] = SUM * fit_shares([((x / scales)[..., use], errors) for x, errors, _ in learn.values()], LEAST)
    weights = np.maximum(weights, [FIRST_SEEN.get(name, 0.0) for name in CHECKS])
    kept["weights"] = {name: round(float(w), 3) for name, w in zip(CHECKS, weights)}
    kept["scales"] = {name: round(float(s), 4) for name, s in zip(CHECKS, scales)}
    write(SHIPPED, kept)
    rows = measured(test, weights / scales)
    write(MEASURED, {**provenance, "people": int((~first).sum()), "weights": kept["weights"], "srcc": rows})
    sys.stdout.write(f"{'SRCC, people not fitted':36s}" + "".join(f"{kind:>11s}" for kind in KINDS) + "\n")
    for name, by_kind in rows.items():
        weight = kept["weights"].get(name)
        label = name if weight is None else f"{name} alone (weight {weight:.2f})"
        sys.stdout.write(f"{label:36s}" + "".join(f"{by_kind[kind]:11.3f}" for kind in KINDS) + "\n")


def offsets(body_model: Body, known: Known) -> dict[str, list]:
    """Offsets (23, 3), metres, from what `heard` tells to our keypoints: in the trunk's axes, and the rest in the
    camera's; medians over people and their mirror images, so alike on both sides."""
    with torch.no_grad():
        keypoints = body_model(*known.truth.whole).keypoints.double().numpy()
    people = person_records(StudioPeople("broad", 0, Path()), known.seen._replace(camera=known.truth.camera.numpy()))
    about = keypoints - keypoints[:, [11, 12]].mean(1, keepdims=True)
    true = np.stack([points @ turn_to_crop(person).T for points, person in zip(about, people)])
    details = np.stack([heard(person).world for person in people])
    axes = trunk_axes(details)
    body = _median((true - details) @ axes.transpose(0, 2, 1))
    camera = _median(true - details - body @ axes)
    return {"camera": camera.round(4).tolist(), "body": body.round(4).tolist()}


def _median(gaps: Floats) -> Floats:
    return np.median(np.concatenate([gaps, gaps[:, SWAPPED] * (-1, 1, 1)]), 0)


def table(body_model: Body, known: Known, base: str | None, temperature: float) -> tuple[Floats, Floats, Floats]:
    """Evidence times penalty (n, g, k) of the checks, errors (n, g), ceilings (n, g) of groups of one kind."""
    made = groups_of(body_model, known, base, temperature, GROUP)
    checks, highest = [], []
    for group in made.groups:
        drawn = draw_group(body_model, group)
        checks.append(np.stack([check_table(drawn)[name] for name in CHECKS], -1))
        highest.append(ceilings(drawn, CHECKS)[0])
    return np.stack(checks), made.errors, np.stack(highest)


def helps(tables: Tables, check: int) -> bool:
    """Whether a check alone ranks no kind of groups worse than chance."""
    return min(srcc(-x[..., check], errors) for x, errors, _ in tables.values()) > WORSE


def srcc(scores: Floats, errors: Floats) -> float:
    """Mean rank correlation within groups; a flat group tells nothing and counts 0."""
    return float(np.nan_to_num(rank_correlations(scores, errors).srcc).mean())


def measured(tables: Tables, factors: Floats) -> dict[str, dict[str, float]]:
    """SRCC, mean over groups, of the shipped critic and of its parts, by kind of groups."""
    hand = np.array([BY_HAND.get(name, 0.0) for name in CHECKS])
    rows: dict[str, dict[str, float]] = {}
    for kind, (x, errors, highest) in tables.items():
        scores = np.stack([spread(total) for total in x @ factors])
        found = {
            "evidence@4": scores * highest / 100,
            "without ceiling": scores,
            "weights of evidence@1": -(x @ hand),
            **{name: -x[..., k] for k, name in enumerate(CHECKS)},
        }
        for name, values in found.items():
            rows.setdefault(name, {})[kind] = round(srcc(values, errors), 3)
    return rows


def write(path: Path, content: dict[str, Any]) -> None:
    """JSON with one line for each number's name, and for each keypoint."""
    text = json.dumps(content, indent=1)
    text = re.sub(r"\[\s+([-\d.e]+),\s+([-\d.e]+),\s+([-\d.e]+)\s+\]", r"[\1, \2, \3]", text)
    path.write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Bodies per second, against smplx's skinning with a keypoint regressor behind it, as it is usually written."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from smplx import SMPL
from smplx.utils import Struct
from torch import Tensor

from hmr.body.body import Body, load_arrays
from hmr.body.body_file import BodyArrays
from hmr.body.rotations import rotation_matrices
from hmr.body.skeleton import SMPL_JOINTS

PLAIN = "smplx.SMPL for every hypothesis, and the keypoint regressor on its vertices"


class Plain(NamedTuple):
    """A posed body as smplx gives it; metres."""

    vertices: Float[Tensor, "batch vertex 3"]
    joints: Float[Tensor, "batch 24 3"]
    keypoints: Float[Tensor, "batch 23 3"] | None  # none of a body file without a regressor


class PlainBody:
    """The baseline: the body as it is usually written, with smplx's skinning."""

    def __init__(self, arrays: BodyArrays) -> None:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # smplx prints as it loads
            self.skin = SMPL(
                "",
                data_struct=Struct(**vars(arrays)),
                vertex_ids=dict(arrays.vertex_ids),
                create_betas=False,
                create_global_orient=False,
                create_body_pose=False,
                create_transl=False,
            )
        regressor = arrays.keypoint_regressor
        self.regressor = None if regressor is None else torch.from_numpy(regressor)

    def __call__(
        self,
        pose: Float[Tensor, "batch 24 3 3"],
        betas: Float[Tensor, "batch 10"],
        translation: Float[Tensor, "batch 3"],
    ) -> Plain:
        """Rotation matrices, root first; metres."""
        posed = self.skin(
            betas=betas, body_pose=pose[:, 1:], global_orient=pose[:, :1], transl=translation, pose2rot=False
        )
        keypoints = None if self.regressor is None else self.regressor @ posed.vertices
        return Plain(posed.vertices, posed.joints[:, :SMPL_JOINTS], keypoints)


@torch.no_grad()
def measure_bodies(
    path: Path | None = None, *, hypotheses: int = 20, people: int = 20, rounds: int = 7
) -> list[dict[str, Any]]:
    """Hypotheses per second of the body in the file (none = the free body), one person's group after another.

    `bodies.skinned`: vertices, joints and keypoints; `bodies.points`: joints and keypoints alone, as sampling needs
    them; both on one thread. Every round poses the same people with ours and with the baseline in turn; a value is the
    median of the rounds, a ratio that of the rounds' ratios (above 1 is faster). `bodies.difference`: the largest
    between any coordinate of ours and the baseline's, metres.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(load_arrays(path), hypotheses, people, rounds)
    finally:
        torch.set_num_threads(threads)


def _measured(arrays: BodyArrays, hypotheses: int, people: int, rounds: int) -> list[dict[str, Any]]:
    body, plain = Body(arrays), PlainBody(arrays)
    random = torch.Generator().manual_seed(0)
    betas = torch.randn(people, 1, 10, generator=random)
    poses = rotation_matrices(0.4 * torch.randn(people, hypotheses, 24, 3, generator=random))
    places = torch.randn(people, hypotheses, 3, generator=random) + torch.tensor([0, 0, 4.0])
    groups = list(zip(poses, betas, places))

    ways: dict[str, Callable[..., Any]] = {
        "plain": lambda pose, shape, place: plain(pose, shape.expand(hypotheses, -1), place),
        "skinned": body,
        "points": body.points,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for counted in range(-1, rounds):  # the first one warms up
        for name, way in ways.items():
            start = time.perf_counter()
            for group in groups:
                way(*group)
            if counted >= 0:
                rates[name].append(people * hypotheses / (time.perf_counter() - start))

    def result(
        metric: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None
    ) -> dict[str, Any]:
        return {"metric": metric, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}

    gaps = []
    for pose, shape, place in groups[:3]:
        ours, theirs = body(pose, shape, place), plain(pose, shape.expand(hypotheses, -1), place)
        pairs = [(ours.vertices, theirs.vertices), (ours.joints[:, :SMPL_JOINTS], theirs.joints)]
        pairs += [(ours.keypoints, theirs.keypoints)] if theirs.keypoints is not None else []
        gaps += [float((one - other).abs().max()) for one, other in pairs]
    ratios = {
        name: median(ours / theirs for ours, theirs in zip(rates[name], rates["plain"]))
        for name in ("skinned", "points")
    }
    return [
        *(
            result(f"bodies.{name}", median(rates[name]), "hypotheses/s", PLAIN, ratio)
            for name, ratio in ratios.items()
        ),
        result("bodies.plain", median(rates["plain"]), "hypotheses/s"),
        result("bodies.difference", max(gaps), "m, largest"),
    ]

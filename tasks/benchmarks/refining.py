"""Errors before and after the short fit of `hmr.body.refinement`, on people with known truth."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.camera import project
from hmr.body.refinement import DEFAULT, RefineSettings, refine
from hmr.detection.agreement import keypoint_distance
from hmr.metrics.evaluation import joint_errors
from tasks.benchmarking import DrawnPeople


class FitErrors(NamedTuple):
    """Errors of the zero-noise hypothesis, one row per person, (n, 2): before the fit, after it."""

    mpjpe_mm: NDArray[np.float64]
    pa_mpjpe_mm: NDArray[np.float64]
    keypoint_px: NDArray[np.float64]  # distance to the landmarks, px of a 256 px crop; needs no truth
    turned: NDArray[np.float64]  # (n,) mean rotation of the joints by the fit, radians


@torch.no_grad()
def refined_errors(body_model: Body, drawn: DrawnPeople, settings: RefineSettings = DEFAULT) -> FitErrors:
    """Fit the zero-noise hypothesis of each person to the detector's landmarks, and measure it before and after."""
    seen, view = drawn.known.seen, drawn.framing
    landmarks, crop = torch.from_numpy(seen.landmarks), torch.from_numpy(seen.crop)
    rotations, places, turned = [], [], []
    for k in range(len(landmarks)):
        first = drawn.posed.rotations[k, 0], drawn.posed.translation[k, 0]
        with torch.enable_grad():
            found = refine(
                body_model, first[0], view.betas[k], first[1], view.camera[k], landmarks[k], crop[k], settings
            )
        rotations.append(torch.stack([first[0], found.rotations]))
        places.append(torch.stack([first[1], found.translation]))
        turned.append(float(found.turned.mean()))
    pairs = [body_model.points(r, view.betas[k : k + 1], t) for k, (r, t) in enumerate(zip(rotations, places))]
    truth = drawn.known.truth.whole
    mm, pa = joint_errors(torch.stack([pair.joints for pair in pairs]), body_model.points(*truth).joints)
    keypoints = torch.stack([pair.keypoints for pair in pairs])
    px = [
        keypoint_distance(project(keypoints[:, one], view.camera).numpy(), seen.landmarks, seen.crop) for one in (0, 1)
    ]
    return FitErrors(mm, pa, np.stack(px, 1), np.array(turned))

"""Fits hmr/assets/landmark_points.json: where BlazePose's landmarks lie on the body, from drawn `lab` people.

    python deploy/assets/build_landmark_points.py CACHE

CACHE is a folder of detections (`see_split`), made where they are missing: 3,000 scenes, three minutes on one core.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from hmr.body.body import load_body
from hmr.body.camera import project
from hmr.body.kinematics import forward_kinematics
from hmr.body.landmark_points import fit_landmark_points, landmark_places
from hmr.pretraining.labels import known_people
from hmr.studio.observation import see_split
from hmr.studio.studio import VERSION

SCENES = 3000


def main(cache: Path) -> None:
    """Fit the points and write them with the distance that is left."""
    body, seen = load_body(), see_split("lab", SCENES, cache)
    known = known_people(body, "lab", seen, purpose="pretrain")
    bodies = known.whole
    posed = forward_kinematics(bodies.rotations, body.rest_joints(bodies.betas), bodies.translation)
    fit = fit_landmark_points(posed.joints.numpy(), posed.rotations.numpy(), known.camera.numpy(), seen.landmarks)
    places = landmark_places(posed.joints, posed.rotations, torch.from_numpy(fit.astype(np.float32)))
    gaps = np.linalg.norm(project(places, known.camera).numpy() - seen.landmarks[..., :2], axis=-1)
    left = np.median(gaps / seen.crop[:, None, 2] * 256, axis=0)
    about = {"studio": VERSION, "split": "lab", "people": len(seen.index), "left_px_of_256": left.round(2).tolist()}
    path = Path(__file__).parents[2] / "hmr" / "assets" / "landmark_points.json"
    path.write_text(json.dumps({"offsets_m": fit.round(4).tolist(), "provenance": about}, indent=1) + "\n")
    sys.stdout.write(f"{path}: {float(np.median(left)):.2f} px of 256 left in the median\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

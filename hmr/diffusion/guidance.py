"""Guidance by 2-D keypoints: the predicted x0 is pulled to where the detector saw the joints.

Only joints with a landmark at the same place take part: shoulders, elbows, wrists, hips, knees and ankles. On
the studio's `val` people a sure landmark lies within .06 of the joint there, in crop coordinates (median; .08-.12
for nose, fingers and toes, which lie elsewhere than the joint of that name).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.body.skeleton import JOINT_NAMES
from hmr.diffusion.latent import JOINT_DIMS
from hmr.diffusion.noise_schedule import DATA_SCALE

SURE = 0.5
"""Visibility below which a landmark is a guess and is not used."""

_PARTS = {"shoulder": 11, "elbow": 13, "wrist": 15, "hip": 23, "knee": 25, "ankle": 27}  # left; right comes next
LANDMARK_OF_JOINT = {
    JOINT_NAMES.index(f"{side}_{part}"): landmark + offset
    for part, landmark in _PARTS.items()
    for offset, side in enumerate(("left", "right"))
}
"""BlazePose landmark of each joint that has one."""


def keypoint_target(landmarks: Float[Tensor, "image 33 4"]) -> Float[Tensor, "image 29 3"]:
    """Where each joint should be seen, u and v in crop coordinates (-1 to 1), and a weight (0 to 1; 0 = not known).

    landmarks: u, v (crop coordinates), z, visibility 0..1, as in an `Observation`.
    """
    target = landmarks.new_zeros(len(landmarks), len(JOINT_NAMES), 3)
    joints, marks = map(list, (LANDMARK_OF_JOINT, LANDMARK_OF_JOINT.values()))
    seen = landmarks[:, marks][..., [0, 1, 3]]
    sure = (seen[..., 2] >= SURE) & seen.isfinite().all(-1)
    target[:, joints] = torch.where(sure[..., None], seen, 0.0)
    return target


def pull(
    clean: Float[Tensor, "image hypothesis 133"], target: Float[Tensor, "image 29 3"], strength: int | float
) -> Float[Tensor, "image hypothesis 133"]:
    """Predicted x0 with (u, v) moved to the target by `strength` g (0..1) times its weight w; the rest is not changed.

        uv <- uv + g w (target - uv)

    It is the least-squares compromise between the network's answer and the detection, with weights 1 - g w and g w.
    """
    joints = clean[..., :JOINT_DIMS].unflatten(-1, (-1, 3))
    goal, weight = DATA_SCALE * target[:, None, :, :2], strength * target[:, None, :, 2:]
    places = joints[..., :2] + weight * (goal - joints[..., :2])
    return torch.cat([torch.cat([places, joints[..., 2:]], -1).flatten(-2), clean[..., JOINT_DIMS:]], -1)

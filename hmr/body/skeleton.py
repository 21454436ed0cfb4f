"""Names and parents of the joints: the 29 of HybrIK (SMPL's 24 and five leaves) and the 23 keypoints.

Source: Loper et al. 2015 (SMPL's tree of 24 joints); Li et al. 2021, HybrIK (the five leaves and which child
each joint aims at); Lin et al. 2014 (COCO-17), followed by three foot points a side as in OpenPose BODY_25.
"""

JOINT_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
    "head_top",
    "left_middle_finger",
    "right_middle_finger",
    "left_big_toe",
    "right_big_toe",
)

# fmt: off
PARENTS = (
    0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
    15, 22, 23, 10, 11,
)
"""Parent of each of the 29 joints; the root points at itself."""

CHILDREN = (
    3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 27, 28, 15, 16, 17, 24, 18, 19, 20, 21, 22, 23, 25, 26,
    -1, -1, -1, -1, -1,
)
# fmt: on
"""The child that each joint's bone aims at, and about which its twist turns; -1 for the five leaves."""

SMPL_JOINTS = 24
"""Joints that carry a rotation of their own: the first 24 of the 29."""

KEYPOINT_NAMES = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)

EVAL_14 = (8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20, 12, 24)
"""Joints on which MPJPE is taken: right ankle to left ankle, right wrist to left wrist, neck, head top."""

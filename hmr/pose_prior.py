"""Plausible human poses out of anatomical angles: authored base poses, gait, interpolation, joint limits.

A pose is first a vector of 32 anatomical angles in degrees (`ANGLES`), each with a range of motion, so that every
sample keeps the joint limits by construction. `to_rotations` turns angles into the 24 local rotations of the body.
The left side's signs follow its anatomy (flexion and abduction positive); the right side is its mirror image.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Kind = Literal["easy", "hard"]
Array = NDArray[np.float64]

_SIDE = (
    ("hip_flex", -25, 120), ("hip_out", -20, 55), ("hip_turn", -35, 40), ("knee", 0, 140), ("ankle", -35, 25),
    ("arm_swing", -45, 170), ("arm_forward", -30, 110), ("arm_raise", -85, 60), ("arm_twist", -70, 70),
    ("elbow", 0, 140), ("forearm_twist", -60, 60), ("wrist", -45, 45),
)  # fmt: skip
_MIDDLE = (
    ("root_pitch", -180, 180), ("root_roll", -180, 180),
    ("bend", -25, 75), ("side", -30, 30), ("turn", -40, 40), ("nod", -40, 40), ("tilt", -30, 30), ("look", -55, 55),
)  # fmt: skip
_RANGES = _MIDDLE + tuple((f"{s}_{n}", lo, hi) for s in ("left", "right") for n, lo, hi in _SIDE)
ANGLES = tuple(name for name, _, _ in _RANGES)
LOW = np.array([low for _, low, _ in _RANGES], float)
HIGH = np.array([high for _, _, high in _RANGES], float)
INDEX = {name: i for i, name in enumerate(ANGLES)}
_MIRRORED = {"root_roll", "side", "turn", "tilt", "look"}
_UPPER = np.array([any(k in n for k in ("arm", "elbow", "wrist")) for n in ANGLES])


def _pose(**angles: int | float) -> Array:
    """A pose from the angles that differ from standing with hanging arms; `both_x` sets the left and right x."""
    vector = np.zeros(len(ANGLES))
    for side in ("left", "right"):
        vector[INDEX[f"{side}_arm_raise"]] = -74
        vector[INDEX[f"{side}_elbow"]] = 12
        vector[INDEX[f"{side}_hip_out"]] = 4
    for name, value in angles.items():
        if name.startswith("both_"):
            for side in ("left", "right"):
                vector[INDEX[f"{side}_{name[5:]}"]] = value
        else:
            vector[INDEX[name]] = value
    return vector


EASY: dict[str, Array] = {
    "stand": _pose(),
    "a_pose": _pose(both_arm_raise=-45, both_hip_out=10),
    "hands_on_hips": _pose(both_arm_raise=-45, both_arm_twist=40, both_elbow=95, both_hip_out=8),
    "contrapposto": _pose(side=6, left_hip_out=12, left_knee=15, left_hip_flex=8, turn=8, look=15),
    "arms_forward": _pose(both_arm_swing=70, both_elbow=20),
    "wave": _pose(right_arm_raise=10, right_arm_twist=-60, right_elbow=100, look=-10),
    "phone": _pose(right_arm_swing=35, right_elbow=125, right_arm_twist=20, tilt=-8),
    "step": _pose(left_hip_flex=28, left_knee=12, right_hip_flex=-12, right_knee=20, left_arm_swing=-20,
                  right_arm_swing=25),
    "hands_in_front": _pose(both_arm_swing=25, both_elbow=70, both_arm_twist=30),
}  # fmt: skip

HARD: dict[str, Array] = {
    "t_pose": _pose(both_arm_raise=0, both_elbow=5),
    "arms_up": _pose(both_arm_raise=58, both_elbow=10),
    "squat": _pose(both_hip_flex=100, both_knee=115, both_hip_out=20, both_ankle=20, bend=35, both_arm_swing=80),
    "lunge": _pose(left_hip_flex=85, left_knee=85, right_hip_flex=-20, right_knee=25, bend=8, both_arm_raise=-40),
    "sit": _pose(both_hip_flex=88, both_knee=88, both_hip_out=8, both_arm_swing=30, both_elbow=45),
    "cross_legged": _pose(both_hip_flex=85, both_hip_out=45, both_hip_turn=35, both_knee=125, both_elbow=50,
                          both_arm_swing=25),
    "kneel": _pose(both_knee=120, both_hip_flex=15, both_ankle=-30),
    "kick": _pose(right_hip_flex=95, right_knee=20, left_knee=12, bend=-12, left_arm_raise=-20, right_arm_raise=-35,
                  left_arm_forward=40),
    "side_kick": _pose(left_hip_out=52, left_hip_flex=35, side=-25, root_roll=-18, both_arm_swing=45, both_elbow=80),
    "bow": _pose(bend=70, both_hip_flex=45, nod=10, both_arm_swing=60),
    "throw": _pose(right_arm_raise=35, right_arm_twist=-65, right_elbow=85, turn=-30, left_arm_forward=70,
                   left_arm_raise=-5, left_hip_flex=45, left_knee=30, right_hip_flex=-10),
    "run": _pose(left_hip_flex=65, left_knee=85, right_hip_flex=-18, right_knee=55, bend=14, left_arm_swing=-35,
                 left_elbow=90, right_arm_swing=55, right_elbow=95),
    "jump": _pose(both_hip_flex=45, both_knee=75, both_arm_raise=45, both_hip_out=18, both_ankle=-30),
    "star": _pose(both_arm_raise=38, both_hip_out=38),
    "yoga_tree": _pose(left_hip_flex=55, left_hip_out=45, left_knee=125, left_hip_turn=35, both_arm_raise=58,
                       both_elbow=35),
    "warrior": _pose(left_hip_flex=70, left_knee=70, left_hip_out=35, right_hip_out=40, both_arm_raise=0, look=45),
    "crawl": _pose(root_pitch=75, both_hip_flex=80, both_knee=85, both_arm_swing=85, both_elbow=10, nod=-30),
    "push_up": _pose(root_pitch=72, both_arm_swing=80, both_elbow=35, nod=-20),
    "lie_back": _pose(root_pitch=-85, both_arm_raise=-50, left_knee=45, left_hip_flex=40),
    "lie_side": _pose(root_roll=82, left_hip_flex=50, left_knee=60, right_hip_flex=25, right_knee=35,
                      both_arm_swing=55, both_elbow=60),
    "arms_crossed": _pose(both_arm_swing=38, both_elbow=105, both_arm_twist=60, both_arm_raise=-60),
    "stretch_side": _pose(side=28, left_arm_raise=58, right_arm_raise=-55, both_hip_out=15),
    "look_back": _pose(turn=38, look=50, left_arm_swing=30, right_arm_swing=-30),
    "reach_down": _pose(bend=55, both_hip_flex=70, both_knee=45, right_arm_swing=70, left_arm_raise=-50, side=15),
    "golf": _pose(bend=30, turn=35, both_arm_swing=60, left_arm_forward=30, both_elbow=15, both_knee=20,
                  both_hip_flex=20),
    "dance": _pose(left_arm_raise=50, right_arm_forward=70, right_arm_raise=-10, left_hip_out=40, left_knee=60,
                   side=15, tilt=-15),
}  # fmt: skip


def mirrored(angles: Array) -> Array:
    """The same pose seen in a mirror. Shape (..., 32)."""
    result = angles.copy()
    for i, name in enumerate(ANGLES):
        if name.startswith("left_"):
            j = INDEX["right_" + name[5:]]
            result[..., i], result[..., j] = angles[..., j], angles[..., i]
        elif name in _MIRRORED:
            result[..., i] = -angles[..., i]
    return result


def gait(phase: float, stride: float) -> Array:
    """One moment of a walk or run. Phase in turns (0 = left foot strikes), stride 0.4 (stroll) to 1.5 (sprint)."""
    angles = _pose(bend=3 + 7 * max(stride - 0.8, 0), turn=6 * stride * np.cos(2 * np.pi * phase))
    for side, shift in (("left", 0.0), ("right", 0.5)):
        turn = 2 * np.pi * (phase + shift)
        angles[INDEX[f"{side}_hip_flex"]] = 5 + 28 * stride * np.cos(turn)
        angles[INDEX[f"{side}_knee"]] = 8 + 50 * stride * max(np.sin(turn - 2 * np.pi * 0.55), 0) ** 1.5
        angles[INDEX[f"{side}_ankle"]] = 10 * stride * np.sin(turn - 0.6)
        angles[INDEX[f"{side}_arm_swing"]] = -25 * stride * np.cos(turn)
        angles[INDEX[f"{side}_elbow"]] = 15 + 55 * max(stride - 0.5, 0)
    return np.clip(angles, LOW, HIGH)


def sample_angles(rng: np.random.Generator, kind: Kind) -> Array:
    """One pose as 32 angles in degrees, within the ranges of motion.

    `easy`: standing, small gestures, strolling, little noise. `hard`: those and squats, kicks, lying, crawling and
    reaching, arms and legs drawn apart, strong noise.
    """
    names = list(EASY.values()) if kind == "easy" else [*EASY.values(), *HARD.values(), *HARD.values()]

    def base() -> Array:
        if rng.random() < (0.35 if kind == "easy" else 0.15):
            return gait(rng.random(), rng.uniform(0.3, 0.8) if kind == "easy" else rng.uniform(0.4, 1.5))
        first, second = names[rng.integers(len(names))], names[rng.integers(len(names))]
        share = rng.beta(0.5, 0.5) if kind == "hard" else rng.random()
        return share * first + (1 - share) * second

    angles = base()
    if rng.random() < 0.6:  # arms of another pose
        angles = np.where(_UPPER, base(), angles)
    if rng.random() < 0.5:
        angles = mirrored(angles)
    spread = (HIGH - LOW) * (0.04 if kind == "easy" else 0.10)
    spread[:2] = 2 if kind == "easy" else 8
    return np.clip(angles + spread * rng.standard_normal(len(ANGLES)), LOW, HIGH)


def to_rotations(angles: Array) -> NDArray[np.float32]:
    """(24, 3, 3) local rotations of the body's joints, root included, in the body's own frame (y up, facing +z)."""
    get = {name: np.deg2rad(angles[i]) for i, name in enumerate(ANGLES)}
    vectors = np.zeros((24, 3))

    def turn(*steps: tuple[str, float]) -> Array:
        """Rotation vector of elementary turns, written left to right as the matrices are multiplied."""
        total = Rotation.identity()
        for axis, angle in steps:
            total = total * Rotation.from_euler(axis, angle)
        return total.as_rotvec()

    trunk = turn(("y", get["turn"] / 3), ("z", -get["side"] / 3), ("x", get["bend"] / 3))
    head = turn(("y", get["look"] / 2), ("z", -get["tilt"] / 2), ("x", get["nod"] / 2))
    vectors[0] = turn(("z", get["root_roll"]), ("x", get["root_pitch"]))
    vectors[[3, 6, 9]], vectors[[12, 15]] = trunk, head
    for side, (hip, knee, ankle, shoulder, elbow, wrist) in (
        ("left", (1, 4, 7, 16, 18, 20)),
        ("right", (2, 5, 8, 17, 19, 21)),
    ):
        g = {name: get[f"{side}_{name}"] for name, _, _ in _SIDE}
        own = {
            hip: turn(("x", -g["hip_flex"]), ("z", g["hip_out"]), ("y", g["hip_turn"])),
            knee: turn(("x", g["knee"])),
            ankle: turn(("x", -g["ankle"])),
            shoulder: turn(
                ("x", -g["arm_swing"]), ("y", -g["arm_forward"]), ("z", g["arm_raise"]), ("x", g["arm_twist"])
            ),
            elbow: turn(("y", -g["elbow"]), ("x", g["forearm_twist"])),
            wrist: turn(("z", g["wrist"])),
        }
        for joint, vector in own.items():
            # A mirror in x keeps the x part of a rotation vector and turns the others round.
            vectors[joint] = vector if side == "left" else vector * (1, -1, -1)
    # The collar takes a third of a raised arm, as the shoulder blade does.
    for collar, side in ((13, "left"), (14, "right")):
        raised = max(get[f"{side}_arm_raise"], 0) / 3
        vectors[collar] = (0, 0, raised if side == "left" else -raised)
    return Rotation.from_rotvec(vectors).as_matrix().astype(np.float32)

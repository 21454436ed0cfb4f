"""Plausible human poses out of anatomical angles: authored base poses, gait, interpolation, joint limits.

A pose is first a vector of 32 anatomical angles in degrees (`ANGLES`), each with a range of motion, so that every
sample keeps the joint limits by construction. `to_rotations` turns angles into the 24 local rotations of the body.
The left side's signs follow its anatomy (flexion and abduction positive); the right side is its mirror image.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Kind = Literal["easy", "hard", "free"]
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

STANDING: dict[str, Array] = {
    "t_pose": _pose(both_arm_raise=0, both_elbow=5),
    "arms_up": _pose(both_arm_raise=58, both_elbow=10),
    "arms_crossed": _pose(both_arm_swing=38, both_elbow=105, both_arm_twist=60, both_arm_raise=-60),
    "hands_at_face": _pose(both_arm_swing=60, both_elbow=130, both_arm_twist=15, nod=10),
    "hand_on_chin": _pose(right_arm_swing=45, right_elbow=132, left_arm_swing=25, left_elbow=85, left_arm_twist=50),
    "hands_behind_head": _pose(both_arm_raise=25, both_arm_twist=-60, both_elbow=135),
    "hands_behind_back": _pose(both_arm_swing=-25, both_elbow=60, both_arm_twist=60),
    "hands_in_pockets": _pose(both_arm_raise=-62, both_elbow=45, both_arm_twist=25, both_arm_swing=-8),
    "one_hand_on_hip": _pose(left_arm_raise=-45, left_arm_twist=40, left_elbow=95, side=7, right_hip_out=10),
    "camera_up": _pose(both_arm_swing=62, both_arm_raise=-50, both_elbow=120, both_arm_twist=10),
    "carry": _pose(both_arm_swing=30, both_elbow=90, both_arm_raise=-68),
    "point": _pose(right_arm_swing=85, right_arm_raise=-40, right_elbow=8, look=-25),
    "reach_up": _pose(right_arm_swing=160, right_elbow=10, look=-10, nod=-20, side=-8),
    "reach_forward": _pose(root_pitch=18, both_arm_swing=85, both_elbow=15, bend=25, both_hip_flex=20),
    "lean_on_table": _pose(root_pitch=22, both_arm_swing=45, both_elbow=15, bend=25, both_hip_flex=25),
    "bow": _pose(root_pitch=42, bend=70, both_hip_flex=45, nod=10, both_arm_swing=60),
    "legs_crossed_standing": _pose(left_hip_out=-14, left_hip_flex=8, left_knee=12, right_hip_out=-2, both_elbow=60,
                                   both_arm_swing=25),
    "star": _pose(both_arm_raise=38, both_hip_out=38),
    "stretch_side": _pose(side=28, left_arm_raise=58, right_arm_raise=-55, both_hip_out=15),
    "look_back": _pose(turn=38, look=50, left_arm_swing=30, right_arm_swing=-30),
    "reach_down": _pose(root_pitch=45, bend=55, both_hip_flex=70, both_knee=45, right_arm_swing=70,
                        left_arm_raise=-50, side=15),
}  # fmt: skip

SPORTS: dict[str, Array] = {
    "lunge": _pose(left_hip_flex=85, left_knee=85, right_hip_flex=-20, right_knee=25, bend=8, both_arm_raise=-40),
    "kick": _pose(right_hip_flex=95, right_knee=20, left_knee=12, bend=-12, left_arm_raise=-20, right_arm_raise=-35,
                  left_arm_forward=40),
    "ball_kick": _pose(right_hip_flex=-22, right_knee=85, left_hip_flex=25, left_knee=25, bend=12, left_arm_raise=-15,
                       right_arm_raise=-40, right_arm_swing=-25),
    "side_kick": _pose(left_hip_out=52, left_hip_flex=35, side=-25, root_roll=-18, both_arm_swing=45, both_elbow=80),
    "throw": _pose(right_arm_raise=35, right_arm_twist=-65, right_elbow=85, turn=-30, left_arm_forward=70,
                   left_arm_raise=-5, left_hip_flex=45, left_knee=30, right_hip_flex=-10),
    "pitch": _pose(left_hip_flex=100, left_knee=95, right_knee=15, both_arm_swing=55, both_elbow=110, turn=-25),
    "bat": _pose(both_hip_flex=30, both_knee=35, both_hip_out=18, bend=20, turn=-30, left_arm_swing=70, left_elbow=60,
                 left_arm_raise=-50, right_arm_raise=0, right_elbow=120, right_arm_twist=-40, look=40),
    "serve": _pose(right_arm_raise=50, right_arm_twist=-50, right_elbow=90, left_arm_swing=150, left_elbow=10, bend=-15,
                   nod=-30, both_knee=25, both_hip_flex=12),
    "forehand": _pose(right_arm_raise=-20, right_arm_twist=-20, right_elbow=35, turn=-35, left_arm_swing=60,
                      left_elbow=45, left_hip_flex=40, left_knee=45, right_hip_flex=5, right_knee=35, right_hip_out=25),
    "ready": _pose(both_hip_flex=50, both_knee=60, both_hip_out=22, both_ankle=12, bend=28, both_arm_swing=55,
                   both_elbow=65),
    "ski": _pose(root_pitch=8, both_hip_flex=55, both_knee=65, both_ankle=18, bend=35, both_arm_swing=45, both_elbow=75,
                 both_arm_raise=-50, nod=-25),
    "skate": _pose(left_hip_flex=75, left_knee=95, right_hip_flex=60, right_knee=80, both_hip_out=22, bend=30,
                   left_arm_raise=-5, right_arm_raise=5, left_elbow=25, right_elbow=30, look=35),
    "surf": _pose(left_hip_flex=60, left_knee=70, right_hip_flex=40, right_knee=60, both_hip_out=30, bend=20,
                  both_arm_raise=-10, both_elbow=20, look=50),
    "run": _pose(left_hip_flex=65, left_knee=85, right_hip_flex=-18, right_knee=55, bend=14, left_arm_swing=-35,
                 left_elbow=90, right_arm_swing=55, right_elbow=95),
    "jump": _pose(both_hip_flex=45, both_knee=75, both_arm_raise=45, both_hip_out=18, both_ankle=-30),
    "yoga_tree": _pose(left_hip_flex=55, left_hip_out=45, left_knee=125, left_hip_turn=35, both_arm_raise=58,
                       both_elbow=35),
    "warrior": _pose(left_hip_flex=70, left_knee=70, left_hip_out=35, right_hip_out=40, both_arm_raise=0, look=45),
    "golf": _pose(root_pitch=14, bend=30, turn=35, both_arm_swing=60, left_arm_forward=30, both_elbow=15, both_knee=20,
                  both_hip_flex=20),
    "box": _pose(left_arm_swing=75, left_elbow=25, right_arm_swing=45, right_elbow=125, left_hip_flex=25, left_knee=25,
                 right_hip_flex=-5, right_knee=20, bend=12, turn=15),
    "dance": _pose(left_arm_raise=50, right_arm_forward=70, right_arm_raise=-10, left_hip_out=40, left_knee=60,
                   side=15, tilt=-15),
    "cycle": _pose(left_hip_flex=95, left_knee=95, right_hip_flex=45, right_knee=40, bend=40, both_arm_swing=75,
                   both_elbow=25, nod=-30),
}  # fmt: skip

SITTING: dict[str, Array] = {
    "sit": _pose(both_hip_flex=88, both_knee=88, both_hip_out=8, both_arm_swing=30, both_elbow=45),
    "sit_hands_on_thighs": _pose(both_hip_flex=86, both_knee=85, both_hip_out=12, both_arm_swing=30, both_elbow=40,
                                 bend=10, both_arm_raise=-66),
    "sit_typing": _pose(both_hip_flex=88, both_knee=92, both_hip_out=10, both_arm_swing=35, both_elbow=80,
                        both_arm_raise=-66),
    "sit_leg_over_leg": _pose(both_hip_flex=88, left_knee=80, right_knee=75, left_hip_out=-16, right_hip_out=2,
                              left_hip_flex=102, both_arm_swing=25, both_elbow=60),
    "sit_ankle_on_knee": _pose(both_hip_flex=88, right_knee=85, left_knee=100, left_hip_out=42, left_hip_turn=38,
                               both_arm_swing=20, both_elbow=50),
    "sit_lean_back": _pose(root_pitch=-22, both_hip_flex=70, both_knee=70, both_hip_out=14, both_elbow=30, nod=15),
    "sit_lean_forward": _pose(bend=40, both_hip_flex=100, both_knee=90, both_hip_out=16, both_arm_swing=55,
                              both_elbow=80, nod=-15),
    "sit_eating": _pose(both_hip_flex=88, both_knee=90, right_arm_swing=50, right_elbow=125, left_arm_swing=35,
                        left_elbow=75, bend=14),
    "cross_legged": _pose(both_hip_flex=85, both_hip_out=45, both_hip_turn=35, both_knee=125, both_elbow=50,
                          both_arm_swing=25),
    "sit_on_ground_knees_up": _pose(root_pitch=-15, both_hip_flex=100, both_knee=105, both_hip_out=10,
                                    both_arm_swing=60, both_elbow=40),
    "sit_on_ground_legs_long": _pose(root_pitch=-10, both_hip_flex=75, both_knee=8, both_hip_out=10,
                                     both_arm_swing=-25, both_elbow=8),
    "ride": _pose(both_hip_flex=70, both_hip_out=40, both_knee=75, both_arm_swing=35, both_elbow=70),
}  # fmt: skip

LOW_POSES: dict[str, Array] = {
    "squat": _pose(root_pitch=15, both_hip_flex=100, both_knee=115, both_hip_out=20, both_ankle=20, bend=35,
                   both_arm_swing=80),
    "deep_squat": _pose(root_pitch=10, both_hip_flex=118, both_knee=138, both_hip_out=25, both_ankle=25,
                        bend=30, both_arm_swing=60,
                        both_elbow=60),
    "kneel": _pose(both_knee=120, both_hip_flex=15, both_ankle=-30),
    "kneel_on_heels": _pose(both_knee=138, both_hip_flex=60, both_ankle=-34, both_arm_swing=30, both_elbow=45),
    "kneel_on_one_knee": _pose(left_hip_flex=90, left_knee=90, right_knee=95, right_hip_flex=0, right_ankle=-20,
                               both_arm_swing=30, both_elbow=45),
    "catch": _pose(both_hip_flex=105, both_knee=130, both_hip_out=35, bend=20, both_arm_swing=65, both_elbow=50),
    "pick_up": _pose(root_pitch=50, bend=60, both_hip_flex=85, both_knee=70, both_arm_swing=75, both_elbow=10),
}  # fmt: skip

LYING: dict[str, Array] = {
    "crawl": _pose(root_pitch=75, both_hip_flex=80, both_knee=85, both_arm_swing=85, both_elbow=10, nod=-30),
    "push_up": _pose(root_pitch=72, both_arm_swing=80, both_elbow=35, nod=-20),
    "plank": _pose(root_pitch=80, both_arm_swing=85, both_elbow=85, nod=-25),
    "lie_back": _pose(root_pitch=-85, both_arm_raise=-50, left_knee=45, left_hip_flex=40),
    "lie_back_knees_up": _pose(root_pitch=-85, both_hip_flex=60, both_knee=100, both_arm_raise=-55),
    "lie_back_legs_up": _pose(root_pitch=-70, both_hip_flex=80, both_knee=25, both_arm_swing=20),
    "lie_front": _pose(root_pitch=85, both_arm_raise=20, both_arm_twist=-40, both_elbow=80, look=45, nod=-20),
    "lie_on_elbows": _pose(root_pitch=65, bend=-22, both_arm_swing=70, both_elbow=90, nod=-25, both_knee=20),
    "lie_side": _pose(root_roll=82, left_hip_flex=50, left_knee=60, right_hip_flex=25, right_knee=35,
                      both_arm_swing=55, both_elbow=60),
    "lie_side_head_on_hand": _pose(root_roll=70, right_arm_raise=30, right_elbow=135, left_hip_flex=25, left_knee=40,
                                   left_arm_swing=30, left_elbow=45),
    "sit_up": _pose(root_pitch=-50, bend=30, both_hip_flex=60, both_knee=85, both_arm_swing=55, both_elbow=90),
    "bridge": _pose(root_pitch=-75, bend=-20, both_hip_flex=-10, both_knee=80, both_arm_swing=160),
}  # fmt: skip

FAMILIES = {"easy": EASY, "standing": STANDING, "sports": SPORTS, "sitting": SITTING, "low": LOW_POSES, "lying": LYING}
"""Authored poses by kind of activity."""

SHARES = {"easy": 0.10, "gait": 0.12, "standing": 0.22, "sports": 0.24, "sitting": 0.16, "low": 0.08, "lying": 0.08}
"""How often `hard` poses come from each family, walks and runs among them."""


NOISE = {"easy": (0.04, 2), "hard": (0.08, 7), "free": (0.18, 15)}
"""Standard deviation of the noise on each angle, as a share of its range, and of the noise on the root's, degrees."""


def mirrored(angles: Array) -> Array:
    """The same pose seen in a mirror: angles (..., 32), degrees."""
    result = angles.copy()
    for i, name in enumerate(ANGLES):
        if name.startswith("left_"):
            j = INDEX["right_" + name[5:]]
            result[..., i], result[..., j] = angles[..., j], angles[..., i]
        elif name in _MIRRORED:
            result[..., i] = -angles[..., i]
    return result


def gait(phase: float, stride: float) -> Array:
    """32 angles in degrees at one moment of a walk or run.

    phase: in cycles (0 = left foot strikes); stride: 0.4 (stroll) to 1.5 (sprint).
    """
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

    `easy`: standing, small gestures, strolling, little noise. `hard`: every family of poses by SHARES, drawn alone or
    mixed with another pose of the family, sometimes with the arms of any other; strong noise. `free`: the same with
    noise that takes it far from any authored pose, for training only.
    """
    if kind == "easy":
        angles = _easy(rng)
        if rng.random() < 0.6:
            angles = np.where(_UPPER, _easy(rng), angles)
    else:
        family = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        angles = _of_family(rng, family)
        if rng.random() < 0.35:  # arms of another activity: gestures while sitting, phones while walking
            angles = np.where(_UPPER, _of_family(rng, str(rng.choice(["easy", "standing", "sports"]))), angles)
    if rng.random() < 0.5:
        angles = mirrored(angles)
    share, lean = NOISE[kind]
    spread = (HIGH - LOW) * share
    spread[:2] = lean
    return np.clip(angles + spread * rng.standard_normal(len(ANGLES)), LOW, HIGH)


def _easy(rng: np.random.Generator) -> Array:
    if rng.random() < 0.35:
        return gait(rng.random(), rng.uniform(0.3, 0.8))
    return _mixture(rng, EASY, rng.random())


def _of_family(rng: np.random.Generator, family: str) -> Array:
    if family == "gait":
        return gait(rng.random(), rng.uniform(0.3, 1.5))
    return _mixture(rng, FAMILIES[family], rng.beta(0.4, 0.4))


def _mixture(rng: np.random.Generator, poses: dict[str, Array], share: float) -> Array:
    names = list(poses.values())
    first, second = names[rng.integers(len(names))], names[rng.integers(len(names))]
    return share * first + (1 - share) * second


def to_rotations(angles: Array) -> NDArray[np.float32]:
    """(..., 24, 3, 3) local rotations of the joints, root included, of poses (..., 32) in degrees.

    In the body's own frame (y up, facing +z).
    """
    flat = np.deg2rad(np.asarray(angles, float).reshape(-1, len(ANGLES)))
    get = {name: flat[:, i] for i, name in enumerate(ANGLES)}
    vectors = np.zeros((len(flat), 24, 3))

    def turn(*steps: tuple[str, Array]) -> Array:
        """Rotation vectors of elementary turns, written left to right as the matrices are multiplied."""
        total = Rotation.identity(len(flat))
        for axis, angle in steps:
            total = total * Rotation.from_euler(axis, angle[:, None])
        return total.as_rotvec()

    trunk = turn(("y", get["turn"] / 3), ("z", -get["side"] / 3), ("x", get["bend"] / 3))
    head = turn(("y", get["look"] / 2), ("z", -get["tilt"] / 2), ("x", get["nod"] / 2))
    vectors[:, 0] = turn(("z", get["root_roll"]), ("x", get["root_pitch"]))
    vectors[:, [3, 6, 9]], vectors[:, [12, 15]] = trunk[:, None], head[:, None]
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
            # A mirror in x keeps the x part of a rotation vector and changes the sign of the others.
            vectors[:, joint] = vector if side == "left" else vector * (1, -1, -1)
    # The collar takes a third of a raised arm, as the shoulder blade does.
    for collar, side in ((13, "left"), (14, "right")):
        raised = np.maximum(get[f"{side}_arm_raise"], 0) / 3
        vectors[:, collar, 2] = raised if side == "left" else -raised
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().astype(np.float32)
    return matrices.reshape(*np.shape(angles)[:-1], 24, 3, 3)

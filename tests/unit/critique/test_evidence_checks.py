"""Hand-worked values of each check."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from critique.checks import joint_limits, reprojection, silhouette
from critique.checks.balance import balance, standing
from critique.checks.depth_order import depth_order
from critique.checks.finding import robust, weigh
from critique.checks.fitted import fitted
from critique.checks.ground_contact import ground_contact
from critique.checks.joint_limits import LIMITS, degrees_past
from critique.checks.landmarks import (
    APART,
    INDEX,
    LANDMARK,
    NAMES,
    SWAPPED,
    as_the_crop_sees,
    forward,
    heard,
    trunk_axes,
)
from critique.checks.limb_lengths import limb_lengths
from critique.checks.orientation import orientation
from critique.checks.penetration import penetration
from critique.checks.world_distance import world_distance
from hmr.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from storage.records import DrawnGroup
from tests.evidence_scene import PLACE, TRUE_POSE, bent, hypotheses, person_in, with_second_look


@pytest.fixture(scope="module")
def true() -> DrawnGroup:
    return hypotheses(person_in(TRUE_POSE), [TRUE_POSE])


def with_keypoints(drawn: DrawnGroup, keypoints: np.ndarray) -> DrawnGroup:
    return replace(drawn, group=replace(drawn.group, keypoints=np.float32(keypoints)))


def with_person(drawn: DrawnGroup, **changes) -> DrawnGroup:
    return replace(drawn, group=replace(drawn.group, person=replace(drawn.group.person, **changes)))


def test_robust_is_a_half_at_half_and_bounded():
    np.testing.assert_allclose(robust([0, 3, 1, -2, 1e9], 1.0), [0, 0.9, 0.5, 0.8, 1])


def test_weigh_a_hand_worked_table():  # robust values 0.5, 0.8 and 0, 0.9; weights 3 and 1
    faults = np.array([[1.0, -2.0], [0.0, 3.0]])
    found = weigh(faults, np.array([3.0, 1.0]), 1.0, ("arm", "leg"), "{place} {size:.0f}", enough=8.0, shown=10.0)
    np.testing.assert_allclose(found.penalty, [(3 * 0.5 + 0.8) / 4, 0.9 / 4])
    np.testing.assert_allclose(found.severity, [0.8, 0.9])
    assert found.evidence == 0.5
    assert [found.comment(i) for i in range(2)] == ["leg 20", "leg 30"]


@settings(max_examples=20)
@given(weight=st.floats(0, 1), faults=st.lists(st.floats(-10, 10), min_size=2, max_size=2))
def test_a_weightless_place_has_no_influence(weight, faults):
    def penalty(second: float) -> float:
        weights = np.array([weight, 0.0])
        return weigh(np.array([[faults[0], second]]), weights, 1.0, ("a", "b"), "{place}").penalty[0]

    assert penalty(faults[1]) == penalty(0.0)


def test_keypoints_are_in_the_skeletons_order():
    words = {"toes": "big_toe"}
    for name, skeleton in zip(NAMES, KEYPOINT_NAMES):
        side, _, point = name.partition(" ")
        assert skeleton == (f"{side}_{words.get(point, point)}".replace(" ", "_") if point else side)
    assert [NAMES[i] for i in SWAPPED[[0, 1, 9, 22]]] == ["nose", "right eye", "right wrist", "left heel"]
    assert LANDMARK[:17].tolist() == [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]


def test_limits_are_in_the_skeletons_order():
    for limit in LIMITS:
        name = limit.name.replace(" ", "_").replace("toes", "foot")
        spine = {"lower_spine": "spine1", "middle_spine": "spine2", "upper_spine": "spine3"}
        assert JOINT_NAMES[limit.joint] == spine.get(name, name)


def test_the_chest_looks_at_the_camera(true):
    assert forward(true.group.keypoints[0])[2] < 0
    behind = hypotheses(true.group.person, [bent(TRUE_POSE, "pelvis", y=180)])
    assert forward(behind.group.keypoints[0])[2] > 0


def test_reprojection_of_one_wrist_moved_by_half(true):
    """Moved by 10 % of the crop, the left wrist costs a half of its share of all importance."""
    person = true.group.person
    landmarks = person.landmarks.copy()
    landmarks[15, 0] += 0.1 * person.crop[2]
    found = reprojection.reprojection(with_person(true, landmarks=landmarks))
    total = 0.4 + 4 * 0.15 + 6 * 1 + 2 * 0.6 + 4 * 1 + 2 * (0.5 + 0.3)  # importance of all 23
    assert found.penalty[0] == pytest.approx(0.5 / total, rel=1e-3)
    assert found.evidence == 1
    assert found.comment(0) == f"left wrist {0.1 * person.crop[2]:.0f} px off the photograph's"


def squares(true: DrawnGroup, shift: int) -> DrawnGroup:
    """A mask of 16 x 16 cells, and a silhouette as large, that many cells to its right."""
    mask, drawn = np.zeros((64, 64), np.uint8), np.zeros((1, 64, 64), np.uint8)
    mask[24:40, 16:32] = 255
    drawn[0, 24:40, 16 + shift : 32 + shift] = 255
    return replace(with_person(true, mask=mask), silhouettes=drawn)


def test_overlap_of_hand_worked_squares(true):
    """Moved aside by 8 of 16 cells: common 128, union 384."""
    found = silhouette.overlap(squares(true, 8))
    assert found.iou[0] == pytest.approx(1 / 3)
    assert found.covered[0] == found.outside[0] == 0.5
    assert found.evidence == 1


def test_silhouette_of_hand_worked_squares(true):
    """None aside: 0. Apart by 16 cells: 1, but for what two edges blurred by 2 cells share."""
    assert silhouette.silhouette(squares(true, 0)).penalty[0] == pytest.approx(0, abs=1e-6)
    assert silhouette.silhouette(squares(true, 32)).penalty[0] == pytest.approx(1, abs=1e-6)
    half = silhouette.silhouette(squares(true, 8))
    assert half.penalty[0] == pytest.approx(1 - 128 / 384, abs=0.02)
    assert half.evidence == 1


@settings(max_examples=10)
@given(shift=st.integers(0, 14))
def test_a_silhouette_is_the_worse_the_farther_aside(true, shift):
    near, far = (silhouette.silhouette(squares(true, by)).penalty[0] for by in (shift, shift + 1))
    assert near < far


def test_a_silhouette_names_the_limb_that_it_misses(true):
    bare = hypotheses(true.group.person, [bent(TRUE_POSE, "right_shoulder", z=-120)])  # arm raised
    assert "arm" in silhouette.silhouette(bare).comment(0)
    lame = true.silhouettes.copy()
    ankle, knee = (true.group.person.landmarks[i, :2] for i in (28, 26))
    place = ((ankle + knee) / 2 - true.group.person.crop[:2]) * 64 / true.group.person.crop[2] + 32
    column, row = place.astype(int)
    lame[:, row - 3 : row + 4, column - 4 : column + 5] = 0
    comment = silhouette.silhouette(replace(true, silhouettes=lame)).comment(0)
    assert comment.startswith("silhouette misses the photograph's right shin")


def test_beyond_the_photograph_nobody_knows(true):
    """Of a crop that reaches half out of the picture, the outer half has no part."""
    person = replace(true.group.person, crop=np.float32([0, 300, 400]))
    inside = silhouette.inside_photograph(person)
    assert inside[:, :32].sum() == 0
    assert inside[32, 32:].all()
    mask, drawn = np.full((64, 64), 255, np.uint8), np.full((1, 64, 64), 255, np.uint8)
    drawn[:, :, :32] = 0
    beyond = replace(with_person(true, crop=person.crop, mask=mask), silhouettes=drawn)
    assert silhouette.silhouette(beyond).penalty[0] == pytest.approx(0, abs=1e-6)


def test_depth_order_of_one_wrist_behind_the_trunk(true):
    """The bent left forearm reaches forward; a hypothesis with that wrist 8 cm behind the trunk pays a half
    for it."""
    assert depth_order(true).penalty[0] == pytest.approx(0, abs=1e-6)
    seen = as_the_crop_sees(true)[0]
    trunk = seen[[5, 6, 11, 12], 2].mean()
    keypoints = true.group.keypoints.copy()
    keypoints[0, INDEX["left wrist"], 2] += trunk + 0.08 - seen[INDEX["left wrist"], 2]
    found = depth_order(with_keypoints(true, keypoints))
    assert found.comment(0).startswith("left wrist should be nearer than")
    assert found.penalty[0] > 0.03


def test_flat_depth_changes_no_order(true):
    flat = true.group.person.world_landmarks * np.float32([1, 1, 0.8])
    assert depth_order(with_person(true, world_landmarks=flat)).penalty[0] == pytest.approx(0, abs=0.02)


def test_world_distance_of_one_wrist_40_cm_aside_costs_a_half_of_its_share(true):
    world = true.group.person.world_landmarks.copy()
    world[15, 0] += 0.4
    found = world_distance(with_person(true, world_landmarks=world))
    assert found.penalty[0] == pytest.approx(0.5 / 12.2, rel=1e-3)  # importance of all but feet, all as visible
    assert found.comment(0) == "left wrist 40 cm from its place in depth and picture"
    world[15] = world[15] + (-0.4, 0, 0.4 / 0.7)
    assert world_distance(with_person(true, world_landmarks=world)).penalty[0] == pytest.approx(0.5 / 12.2, rel=1e-3)


def test_world_distance_names_the_wrist(true):
    keypoints = true.group.keypoints + np.where(np.arange(23) == INDEX["left wrist"], 0.3, 0)[None, :, None] * (0, 1, 0)
    found = world_distance(with_keypoints(true, keypoints))
    assert found.comment(0).startswith("left wrist")
    assert found.size[0] == pytest.approx(30, abs=0.1)  # cm


@pytest.mark.parametrize("angle", [20, 60, 150])
def test_orientation_measures_the_turn(true, angle):
    turned = hypotheses(true.group.person, [bent(TRUE_POSE, "pelvis", y=angle)])
    found = orientation(turned)
    assert found.size[0] == pytest.approx(angle, abs=1)
    assert f"turned {angle} degrees" in found.comment(0) or angle < 60


def test_limb_lengths_of_a_torn_sample(true):
    """The left wrist drawn 30 % too far along the forearm."""
    latents = true.group.latents.copy()
    joints = latents[:, :87].reshape(1, 29, 3)
    joints[:, 20] += 0.3 * (joints[:, 20] - joints[:, 18])
    torn = replace(true, group=replace(true.group, latents=latents))
    assert limb_lengths(true).penalty[0] < 1e-6
    found = limb_lengths(torn)
    assert found.comment(0).startswith("left forearm drawn")
    assert found.size[0] == pytest.approx(100 * np.log(1.3), abs=3)
    nothing = replace(true, group=replace(true.group, latents=np.zeros_like(latents)))
    assert limb_lengths(nothing).evidence == 0


def pose_with(joint: str, axis: str, degrees: float) -> np.ndarray:
    pose = np.zeros((1, 24, 3))
    pose[0, JOINT_NAMES.index(joint)] = Rotation.from_euler(axis, degrees, degrees=True).as_rotvec()
    return pose


@pytest.mark.parametrize(
    ("joint", "axis", "degrees", "past"),
    [
        ("left_knee", "x", 150, 0),
        ("left_knee", "x", -32, 20),
        ("right_knee", "x", -32, 20),
        ("right_knee", "z", 40, 15),
        ("left_knee", "y", 60, 15),  # shin twisted
        ("left_elbow", "y", -150, 0),
        ("left_elbow", "y", 45, 30),
        ("right_elbow", "y", 150, 0),
        ("right_elbow", "y", -45, 30),
        ("left_hip", "x", -110, 0),  # sitting
        ("left_hip", "x", 30, 0),
        ("left_shoulder", "z", -80, 0),  # arm hanging
        ("left_shoulder", "z", 80, 0),
        ("right_shoulder", "z", 80, 0),
        ("spine2", "x", 70, 20),
        ("neck", "y", 85, 15),
        ("head", "x", 30, 0),
    ],
)
def test_hand_worked_joint_limits(joint, axis, degrees, past):
    found = degrees_past(pose_with(joint, axis, degrees))
    assert found.sum() == pytest.approx(past, abs=1e-3)


def test_a_shoulder_does_not_reach_straight_back():
    assert degrees_past(pose_with("left_shoulder", "y", 100)).sum() > 10


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_limits_are_alike_on_both_sides(seed):
    pose = np.random.default_rng(seed).normal(0, 1, (2, 24, 3))
    mirrored = pose * (1, -1, -1)
    for left in (1, 4, 7, 10, 13, 16, 18, 20, 22):
        mirrored[:, [left, left + 1]] = mirrored[:, [left + 1, left]]
    names = [limit.name for limit in LIMITS]
    order = [
        names.index(name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")) for name in names
    ]
    np.testing.assert_allclose(degrees_past(mirrored)[:, order], degrees_past(pose), atol=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_limits_do_not_care_how_a_rotation_is_written(seed):
    pose = np.random.default_rng(seed).normal(0, 1, (2, 24, 3))
    angle = np.linalg.norm(pose, axis=-1, keepdims=True)
    np.testing.assert_allclose(degrees_past(pose * (1 - 2 * np.pi / angle)), degrees_past(pose), atol=1e-6)


def test_penetration_of_four_centimetres_is_a_half(true):
    found = penetration(replace(true, penetration=np.float32([0.04])))
    assert found.penalty[0] == pytest.approx(0.5, rel=1e-3)
    assert found.comment(0) == "body parts pass 4 cm into each other"


def test_balance_of_a_leaning_and_a_sitting_person(true):
    assert standing(true.group.person) == pytest.approx(0.9)
    leaning = bent(TRUE_POSE, "pelvis", x=40)
    found = balance(hypotheses(true.group.person, [TRUE_POSE, leaning], [PLACE, PLACE]))
    assert found.penalty[0] < 0.01
    assert found.penalty[1] > 0.3
    sitting = bent(bent(TRUE_POSE, "left_hip", x=-90), "left_knee", x=90)
    assert balance(hypotheses(person_in(sitting), [TRUE_POSE])).evidence == 0


def test_ground_contact_of_one_foot_raised(true):
    """Feet 20 cm aside of each other and at one depth: a roll of 5 degrees explains 1.75 cm; 9.75 cm count a half."""
    keypoints = true.group.keypoints.copy()
    for side, x in (("left", 0.3), ("right", 0.1)):
        for point in ("ankle", "toes", "heel"):
            keypoints[0, INDEX[f"{side} {point}"]] = x, 1.0, 4.0
    level = ground_contact(with_keypoints(true, keypoints))
    assert level.penalty[0] == 0 and level.evidence == pytest.approx(0.9)
    for point in ("ankle", "toes", "heel"):
        keypoints[0, INDEX[f"left {point}"], 1] -= 0.08 + 0.2 * np.tan(np.radians(5))
    found = ground_contact(with_keypoints(true, keypoints))
    assert found.penalty[0] == pytest.approx(0.25, rel=1e-3)  # of one of two feet
    assert found.comment(0) == "left foot floats 8 cm above the other"
    keypoints[0, INDEX["left heel"], 1] = 1.0  # on its heel
    assert ground_contact(with_keypoints(true, keypoints)).penalty[0] == 0
    sitting = bent(bent(TRUE_POSE, "left_hip", x=-90), "left_knee", x=90)
    assert ground_contact(hypotheses(person_in(sitting), [TRUE_POSE])).evidence == 0


def test_two_witnesses_of_one_place(true):
    """One sees the wrist at 0.9, the other, which counts twice, at 0.6 and 3 px to the right."""
    person = true.group.person
    landmarks = person.landmarks.copy()
    landmarks[15, 0], landmarks[15, 3] = landmarks[15, 0] + 3, 0.6
    found, alone = heard(with_second_look(person, landmarks)), heard(person)
    wrist = INDEX["left wrist"]
    share = 1.2 / 2.1
    np.testing.assert_allclose(found.places[wrist] - alone.places[wrist], (3 * share, 0), atol=1e-3)
    agreement = 1 - 0.6 * robust([3 / float(person.crop[2])], APART)[0]
    assert found.seen[wrist] == pytest.approx((0.9 * 0.9 + 1.2 * 0.6) / 2.1 * agreement, rel=1e-4)


def test_witnesses_who_disagree_are_trusted_less_and_a_blind_one_says_nothing(true):
    person = true.group.person
    landmarks = person.landmarks.copy()
    landmarks[15, 0] += 0.1 * person.crop[2]
    wrist = INDEX["left wrist"]
    assert heard(with_second_look(person, landmarks)).seen[wrist] == pytest.approx(0.9 * (1 - 0.9 / 2), rel=1e-3)
    landmarks[15, 3] = 0
    found, alone = heard(with_second_look(person, landmarks)), heard(person)
    for one, other in zip(found, alone):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_two_witnesses_who_agree_are_one(true):
    for one, other in zip(heard(with_second_look(true.group.person)), heard(true.group.person)):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_second_look_is_read_where_the_detector_is_wrong(true):
    """The detector puts the left wrist 40 cm off and hardly sees it; the second look sees it where it is."""
    person = true.group.person
    landmarks, world = person.landmarks.copy(), person.world_landmarks.copy()
    landmarks[15, 0], landmarks[15, 3], world[15, 0] = landmarks[15, 0] + 100, 0.1, world[15, 0] + 0.4
    wrong = replace(person, landmarks=landmarks, world_landmarks=world)
    corrected = with_second_look(wrong, person.landmarks, person.world_landmarks)
    for check in (reprojection.reprojection, world_distance):
        before, after = (check(replace(true, group=replace(true.group, person=p))) for p in (wrong, corrected))
        assert after.penalty[0] < 0.2 * before.penalty[0]


def test_trunk_axes_are_the_bodys_left_up_and_ahead():
    keypoints = np.zeros((23, 3))
    for name, place in {"left shoulder": (0.2, -0.5, 0), "right shoulder": (-0.2, -0.5, 0), "left hip": (0.1, 0, 0),
                        "right hip": (-0.1, 0, 0)}.items():  # fmt: skip
        keypoints[INDEX[name]] = place  # facing the camera: y looks down, the left is at the picture's right
    np.testing.assert_allclose(trunk_axes(keypoints), [[1, 0, 0], [0, -1, 0], [0, 0, -1]], atol=1e-9)
    assert not trunk_axes(np.zeros((23, 3))).any()


def test_offsets_are_alike_on_both_sides():
    for offsets in (fitted().camera_offsets, fitted().body_offsets):
        assert offsets.shape == (23, 3) and np.abs(offsets).max() < 0.2
        np.testing.assert_allclose(offsets[SWAPPED] * (-1, 1, 1), offsets, atol=1e-3)


def test_limits_comment(true):
    pose = np.float32(pose_with("left_knee", "x", -60))
    found = joint_limits.joint_limits(replace(true, group=replace(true.group, pose=pose)))
    assert found.comment(0) == "left knee bent 48 degrees past its limit"

import numpy as np
import pytest
import torch

from hmr.body.body import load_body
from hmr.body.kinematics import forward_kinematics
from hmr.body.penetration import self_penetration
from hmr.studio.pose_prior import (
    ANGLES,
    EASY,
    FAMILIES,
    HIGH,
    INDEX,
    LOW,
    SHARES,
    SPORTS,
    gait,
    mirrored,
    sample_angles,
    to_rotations,
)
from hmr.studio.studio import LABELLED, SIZE, SKIN, SPLITS, VERSION, SealedLabelsError, photographs, truths

REASON = "test of the project"


@pytest.fixture(scope="module")
def body():
    return load_body()


def joints_of(body, angles):
    rotations = torch.from_numpy(to_rotations(angles))[None]
    return forward_kinematics(rotations, body.rest_joints(torch.zeros(1, 10))).joints[0].numpy()


def test_authored_poses_keep_the_ranges_of_motion():
    for family, poses in FAMILIES.items():
        for name, pose in poses.items():
            outside = [ANGLES[i] for i in np.flatnonzero((pose < LOW) | (pose > HIGH))]
            assert not outside, f"{family}, {name}: {outside}"


def test_every_family_is_drawn_from():
    assert set(SHARES) == {*FAMILIES, "gait"} and sum(SHARES.values()) == pytest.approx(1)


def test_many_poses_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(1)
    drawn = np.stack([sample_angles(rng, "hard") for _ in range(5)])
    np.testing.assert_allclose(to_rotations(drawn), [to_rotations(one) for one in drawn], atol=1e-6)


def test_samples_keep_the_ranges_of_motion():
    rng = np.random.default_rng(0)
    for kind in ("easy", "hard"):
        drawn = np.stack([sample_angles(rng, kind) for _ in range(200)])
        assert (drawn >= LOW).all() and (drawn <= HIGH).all()


def test_angles_mean_what_they_say(body):
    stand = EASY["stand"]

    def moved(**angles):
        pose = stand.copy()
        for name, value in angles.items():
            pose[INDEX[name]] = value
        return joints_of(body, pose)

    rest = joints_of(body, stand)
    assert moved(left_hip_flex=80)[4, 2] > rest[4, 2] + 0.25  # the left knee comes forward
    assert moved(right_hip_flex=80)[5, 2] > rest[5, 2] + 0.25
    assert moved(left_knee=90)[7, 2] < rest[7, 2] - 0.25  # the heel goes back
    assert moved(left_arm_swing=90)[20, 2] > rest[20, 2] + 0.3  # the hand comes forward
    assert moved(right_arm_raise=20)[21, 1] > rest[21, 1] + 0.3  # the hand goes up
    assert moved(left_elbow=100)[20, 2] > rest[20, 2] + 0.1  # the forearm bends forward
    assert moved(bend=60)[12, 2] > rest[12, 2] + 0.1  # the neck leans forward
    assert moved(left_hip_out=40)[7, 0] > rest[7, 0] + 0.2  # the left foot goes to the left (+x)
    assert moved(right_hip_out=40)[8, 0] < rest[8, 0] - 0.2


def test_a_mirrored_pose_mirrors_the_joints(body):
    pose = SPORTS["throw"]
    left, right = joints_of(body, pose), joints_of(body, mirrored(pose))
    swap = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
    assert np.abs(right[swap][:, [0, 1, 2]] - left[:24] * (-1, 1, 1)).max() < 0.012


def test_gait_swings_arms_against_legs():
    at_strike = gait(0.0, 1.0)
    assert at_strike[INDEX["left_hip_flex"]] > 0 > at_strike[INDEX["left_arm_swing"]]


def test_a_scene_depends_on_split_and_index_alone(body):
    together = truths(body, "wild", [3, 8, 5], purpose=REASON)
    alone = truths(body, "wild", [8], purpose=REASON)
    for a, b in zip(vars(together).values(), vars(alone).values()):
        np.testing.assert_allclose(a[1:2], b, atol=1e-6)
    first, second = photographs(body, "wild", [8])[0], photographs(body, "wild", [3, 8])[1]
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    assert np.abs(first.astype(int) - second).mean() < 0.05


def test_no_subject_and_no_pose_is_shared_between_splits(body):
    truth = {split: truths(body, split, range(48), purpose=REASON) for split in SPLITS}
    for kind in ("betas", "rotations"):
        rows = np.concatenate([getattr(t, kind).reshape(48, -1) for t in truth.values()])
        if kind == "rotations":
            rows = rows[:, 9:]  # the same pose seen from elsewhere would be the same pose
        gaps = np.abs(rows[:, None] - rows[None]).max(-1)
        np.fill_diagonal(gaps, np.inf)
        assert gaps.min() > 1e-3, kind


def test_people_stand_in_front_of_the_camera_and_in_the_picture(body):
    truth = truths(body, "wild", range(64), purpose=REASON)
    posed = body(*(torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation)))
    joints = posed.joints.detach().numpy()
    assert (joints[..., 2] > 0.2).all()
    pixels = joints[..., :2] / joints[..., 2:] * truth.camera[:, None, :2] + truth.camera[:, None, 2:]
    inside = ((pixels > 0) & (pixels < SIZE)).all(-1)
    assert (inside.sum(1) >= 5).all()


def test_few_people_pass_through_themselves(body):
    truth = truths(body, "wild", range(64), purpose=REASON)
    joints = forward_kinematics(torch.from_numpy(truth.rotations), body.rest_joints(torch.from_numpy(truth.betas)))
    assert (self_penetration(joints.joints.numpy()) > SKIN).mean() < 0.05


def test_pretraining_cannot_read_sealed_labels(body):
    for split in SPLITS:
        if split in LABELLED:
            truths(body, split, [0], purpose="pretrain")
        else:
            with pytest.raises(SealedLabelsError, match=f"labels of '{split}' are sealed"):
                truths(body, split, [0], purpose="pretrain")
    with pytest.raises(SealedLabelsError, match="no purpose"):
        truths(body, "wild", [0], purpose="curiosity")


HEADS = {
    "val": [[-0.4247, -0.3418, 2.1779], [-0.1688, -0.3878, 2.1451], [-0.2074, -0.3570, 3.5765]],
    "wild": [[0.1856, -0.5785, 3.7557], [-0.1059, -0.4326, 2.6340], [0.1475, -0.8924, 5.0776]],
    "easy_val": [[0.0097, -0.8978, 3.0204], [0.1403, -0.9986, 4.0639], [-0.2277, -1.1369, 4.3076]],
}
BRIGHTNESS = {"val": [103.04, 101.02], "wild": [78.27, 107.18], "easy_val": [125.42, 119.44]}


@pytest.mark.parametrize("split", HEADS)
def test_a_version_of_the_studio_keeps_its_people(body, split):
    """Detections are cached, and numbers published, by VERSION. If these people change, so must it."""
    assert VERSION == "studio-2"
    truth = truths(body, split, [0, 1, 299], purpose=REASON)
    joints = body(*map(torch.from_numpy, (truth.rotations, truth.betas, truth.translation))).joints
    np.testing.assert_allclose(joints[:, 15], HEADS[split], atol=2e-4)
    means = [picture.mean() for picture in photographs(body, split, [0, 1])]
    np.testing.assert_allclose(means, BRIGHTNESS[split], atol=0.1)

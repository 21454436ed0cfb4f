import numpy as np
import pytest
import torch

from hmr.body import load_body
from hmr.inverse_kinematics import forward_kinematics
from hmr.pose_prior import ANGLES, EASY, HARD, HIGH, INDEX, LOW, gait, mirrored, sample_angles, to_rotations
from hmr.studio import LABELLED, SIZE, SPLITS, VERSION, SealedLabelsError, photographs, truths

REASON = "test of the project"


@pytest.fixture(scope="module")
def body():
    return load_body()


def joints_of(body, angles):
    rotations = torch.from_numpy(to_rotations(angles))[None]
    return forward_kinematics(rotations, body.rest_joints(torch.zeros(1, 10))).joints[0].numpy()


def test_authored_poses_keep_the_ranges_of_motion():
    for name, pose in {**EASY, **HARD}.items():
        outside = [ANGLES[i] for i in np.flatnonzero((pose < LOW) | (pose > HIGH))]
        assert not outside, f"{name}: {outside}"


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
    pose = HARD["throw"]
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
    "val": [[-0.0508, -0.8553, 2.5100], [-0.1596, -0.2316, 4.3559], [0.1091, -0.9672, 3.9217]],
    "wild": [[-0.5621, -0.0324, 4.0149], [0.1387, -0.2565, 4.2759], [-0.5635, -0.7216, 3.5377]],
    "easy_val": [[0.0873, -0.5941, 2.8008], [-0.0440, -0.6847, 3.7138], [-0.0545, -0.6322, 3.7101]],
}
BRIGHTNESS = {"val": [174.53, 115.54], "wild": [138.60, 98.93], "easy_val": [153.50, 137.78]}


@pytest.mark.parametrize("split", HEADS)
def test_a_version_of_the_studio_keeps_its_people(body, split):
    """Detections are cached, and numbers published, by VERSION. If these people change, so must it."""
    assert VERSION == "studio-1"
    truth = truths(body, split, [0, 1, 299], purpose=REASON)
    joints = body(*map(torch.from_numpy, (truth.rotations, truth.betas, truth.translation))).joints
    np.testing.assert_allclose(joints[:, 15], HEADS[split], atol=2e-4)
    means = [picture.mean() for picture in photographs(body, split, [0, 1])]
    np.testing.assert_allclose(means, BRIGHTNESS[split], atol=0.1)

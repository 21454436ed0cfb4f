"""Which hypothesis is picked, and what is worked out of it, on a person of a free photograph."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from hmr.detection.agreement import keypoint_distance
from hmr.detection.photograph import read_photograph
from hmr.rendering.rasterizer import project
from tasks.groups.people import people_in
from tasks.groups.sampled_groups import body, model
from tasks.recovery.recovery import pick, recover_people
from tasks.run.settings import Recover, Settings
from tests.factories import make_group


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return people_in(path, read_photograph(path), thorough=True, crop_margin=1.25, focal_px=None).people


def recovered(people, **chosen):
    settings = Settings(recover=Recover(hypotheses=5, **chosen))
    return recover_people(people, model("default"), body(None), settings)[0]


def test_picks_by_hand():
    rng = np.random.default_rng(0)
    group = make_group(rng, size=4, synthetic=np.array([False, False, False, True]))
    joints = np.zeros((4, 29, 3), np.float32)
    joints[:, 1:, 0] = np.array([0.0, 5.0, 1.0, 1.0])[:, None]  # the third lies amid the drawn ones
    group = make_group(rng, size=4, synthetic=group.synthetic, joints=joints)
    scores = np.array([10.0, 90, np.nan, 95])
    assert [pick(group, scores, how) for how in ("zero", "medoid", "critic", "mean")] == [0, 2, 3, 3]
    assert pick(group, np.full(4, np.nan), "critic") == 0  # abstained: the zero-noise one stands


def test_the_picked_mesh_is_the_hypothesis_and_its_numbers_are_its_own(people):
    one = recovered(people)
    group, person = one.group, one.person
    assert one.picked == 0 and group.zero_start[0] and len(group) == 5
    np.testing.assert_allclose(one.joints, group.joints[0], atol=1e-4)
    np.testing.assert_allclose(one.translation, group.translation[0])
    places = project(group.keypoints[0], person.camera)[:, :2]
    np.testing.assert_allclose(one.keypoints_2d, places, atol=0.05)
    px = keypoint_distance(places[None], person.landmarks[None], person.crop[None])[0]
    assert one.keypoints_px == pytest.approx(px, abs=0.05)
    assert one.keypoints_px == pytest.approx(one.keypoints_px_before, abs=0.01)
    np.testing.assert_array_equal(one.pose, group.pose[0])
    assert 0 < one.mask_iou < 1 and one.spread_mm[0] == 0 and (one.spread_mm[1:] > 0).all()
    assert sorted(one.rank(k) for k in range(5)) == [1, 2, 3, 4, 5]


def test_the_mean_is_one_more_that_was_not_drawn(people):
    plain, one = recovered(people), recovered(people, pick="mean")
    assert one.picked == 5 and one.group.synthetic.tolist() == [False] * 5 + [True]
    np.testing.assert_array_equal(one.group.joints[:5], plain.group.joints)
    np.testing.assert_allclose(one.spread_mm, plain.spread_mm)  # of what was drawn alone
    centred = plain.group.joints - plain.group.joints[:, :1]
    far = np.linalg.norm((one.joints - one.joints[:1]) - centred.mean(0), axis=-1).mean()
    assert far < plain.spread_mm.mean() / 1000


def test_refinement_moves_the_picked_one_and_no_other(people):
    plain, one = recovered(people), recovered(people, refine=True)
    assert one.keypoints_px < one.keypoints_px_before == pytest.approx(plain.keypoints_px, abs=0.05)
    assert np.abs(one.pose - plain.pose).max() > 1e-3
    np.testing.assert_array_equal(one.group.pose, plain.group.pose)

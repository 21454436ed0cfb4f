from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from critique.ceiling import ceilings
from critique.checks.reprojection import mean_distance
from critique.evidence import CHECKS, EvidenceCritic, EvidenceSettings, members, spread
from hmr.detection.agreement import cells_inside, mask_iou
from storage.records import DrawnGroup
from tests.evidence_scene import PLACE, TRUE_POSE, bent, hypotheses, person_in

SHIFTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)  # metres aside


@pytest.fixture(scope="module")
def aside() -> DrawnGroup:
    places = [np.add(PLACE, (shift, 0, 0)) for shift in SHIFTS]
    return hypotheses(person_in(TRUE_POSE), [TRUE_POSE] * len(SHIFTS), places)


def ious(drawn: DrawnGroup) -> np.ndarray:
    """As the benchmark on photographs measures them."""
    person, size = drawn.group.person, len(drawn.group)
    inside = cells_inside(np.tile(person.crop, (size, 1)), person.width, person.height)
    return mask_iou(drawn.silhouettes, np.tile(person.mask, (size, 1, 1)), inside)


def with_silhouette(drawn: DrawnGroup, columns: int) -> DrawnGroup:
    """A mask of 16 x 16 cells, and a silhouette that covers so many of its columns."""
    mask, cells = np.zeros((64, 64), np.uint8), np.zeros((1, 64, 64), np.uint8)
    mask[24:40, 16:32], cells[0, 24:40, 16 : 16 + columns] = 255, 255
    one = members(drawn, np.array([0]))
    return replace(one, silhouettes=cells, group=replace(one.group, person=replace(one.group.person, mask=mask)))


@pytest.mark.parametrize(
    ("columns", "highest", "words"),
    [(16, 100, ""), (12, 100, ""), (8, 40, ""), (4, 15, "misses the person: covers 25 % of them"),
     (2, 10, "misses the person: covers 12 % of them")],
)  # fmt: skip
def test_hand_worked_ceilings_by_the_mask(aside, columns, highest, words):
    found = ceilings(with_silhouette(aside, columns), ("silhouette",))
    assert found[0][0] == pytest.approx(highest) and found[1] == [words]


@pytest.mark.parametrize(("share", "highest"), [(0.05, 100), (0.1, 70), (0.12, 40), (0.21, 25), (0.5, 10)])
def test_hand_worked_ceilings_by_the_landmarks(aside, share, highest):
    person = aside.group.person
    moved = replace(person, landmarks=np.float32(np.add(person.landmarks, (0, share * person.crop[2], 0, 0))))
    one = members(aside, np.array([0]))
    drawn = replace(one, group=replace(one.group, person=moved))
    distance, _ = mean_distance(drawn)
    assert distance[0] == pytest.approx(share, rel=0.02)
    found = ceilings(drawn, ("reprojection",))
    assert found[0][0] == pytest.approx(highest, abs=2)
    if highest < 40:
        assert found[1][0].startswith("misses the person: ") and "px off on average" in found[1][0]


def test_a_body_that_covers_more_than_the_person_is_told_so(aside):
    drawn = with_silhouette(aside, 16)
    cells = np.full((1, 64, 64), 255, np.uint8)
    details = ceilings(replace(drawn, silhouettes=cells), ("silhouette",))[1][0]
    assert details == "misses the person: 94 % of it lies outside"  # 256 of 4096 cells are the person's


def test_a_small_mask_is_no_evidence_and_an_absent_check_lowers_nothing(aside):
    person = aside.group.person
    speck = np.zeros((64, 64), np.uint8)
    speck[:2, :2] = 255
    drawn = replace(aside, group=replace(aside.group, person=replace(person, mask=speck)))
    np.testing.assert_array_equal(ceilings(drawn, ("silhouette",))[0], 100)
    np.testing.assert_array_equal(ceilings(aside, ("joint_limits",))[0], 100)


def test_who_misses_the_person_never_gets_more_than_forty(aside):
    below = ious(aside) < 0.5
    assert 0 < below.sum() < len(SHIFTS)
    verdict = EvidenceCritic().judge(aside)
    assert (verdict.scores[below] <= 40).all() and verdict.scores[0] > 60
    assert all(verdict.comments[i].startswith("misses the person") for i in np.flatnonzero(below))
    alone = EvidenceCritic().judge(members(aside, np.flatnonzero(below)))  # though they be the best of their group
    assert (alone.scores <= 40).all() and (np.diff(alone.scores) < 0).all()


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_law_holds_for_any_poses_and_places(seed):
    random = np.random.default_rng(seed)
    poses = [bent(TRUE_POSE, "pelvis", y=random.uniform(-90, 90), z=random.normal(0, 30)) for _ in range(5)]
    places = [PLACE + random.normal(0, (0.3, 0.2, 0.5)) for _ in range(5)]
    drawn = hypotheses(person_in(TRUE_POSE), poses, places)
    scores = EvidenceCritic().judge(drawn).scores
    assert (scores[ious(drawn) < 0.5] <= 40).all()
    highest = ceilings(drawn, CHECKS)[0]
    relative = EvidenceCritic().judge(drawn).scores / highest * 100
    for i in range(5):  # the lesser total and no lower ceiling: no lower score
        over = (relative[i] >= relative) & (highest[i] >= highest)
        assert (scores[i] >= scores[over] - 1e-9).all()


def test_a_group_of_equals_stays_equal_under_its_ceiling():
    drawn = hypotheses(person_in(TRUE_POSE), [TRUE_POSE] * 4, [np.add(PLACE, (0.8, 0, 0))] * 4)
    highest = ceilings(drawn, CHECKS)[0]
    scores = EvidenceCritic().judge(drawn).scores
    np.testing.assert_allclose(scores, spread(np.zeros(4)) * highest / 100)
    assert scores[0] <= 20


def test_physics_alone_has_no_ceiling(aside):
    physics = EvidenceCritic(EvidenceSettings(**{name: float(name == "joint_limits") for name in CHECKS}))
    np.testing.assert_array_equal(physics.judge(aside).scores, 50)

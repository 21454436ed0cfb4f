from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from critique.checks.fitted import fitted
from critique.evidence import (
    CHECKS,
    SCALES,
    EvidenceCritic,
    EvidenceSettings,
    check_table,
    members,
    spread,
)
from storage.records import DrawnGroup
from tests.evidence_scene import PLACE, TRUE_POSE, bent, hypotheses, mirrored_in_depth, person_in

WRONG = {
    "wrist": bent(TRUE_POSE, "right_elbow", y=100),
    "knee": bent(TRUE_POSE, "left_knee", x=-80),
    "back": bent(TRUE_POSE, "pelvis", y=180),
    "turned": bent(TRUE_POSE, "pelvis", y=60),
    "lean": bent(TRUE_POSE, "pelvis", x=25),
}


@pytest.fixture(scope="module")
def drawn() -> DrawnGroup:
    """True pose, five wrong ones, the true one 20 cm aside, and the true one turned inside out in depth."""
    places = [PLACE] * 6 + [np.add(PLACE, (0.2, 0, 0)), PLACE]
    poses = [TRUE_POSE, *WRONG.values(), TRUE_POSE, TRUE_POSE]
    return mirrored_in_depth(hypotheses(person_in(TRUE_POSE), poses, places), 7)


@pytest.fixture(scope="module")
def verdict(drawn):
    return EvidenceCritic().judge(drawn)


def test_the_true_hypothesis_wins(verdict):
    assert verdict.critic == "evidence@4"
    assert set(verdict.statuses) == {"ok"}
    assert verdict.scores[0] - np.delete(verdict.scores, 0).max() > 2
    assert verdict.comments[0] == "no plain fault: follows the photograph"


@pytest.mark.parametrize(
    ("hypothesis", "words"),
    [
        (1, "right wrist|right forearm"),
        (2, "left knee bent"),
        (3, "turned|nearer|farther"),
        (4, "turned|nearer|farther|off the photograph's"),
        (6, "misses the person: "),
        (7, "nearer|farther|turned|depth"),
    ],
)
def test_the_comment_names_the_fault(verdict, hypothesis, words):
    comment = verdict.comments[hypothesis]
    assert any(word in comment for word in words.split("|")), comment
    assert len(comment) < 130


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_more_a_wrist_moves_the_worse(axis):
    poses = [bent(TRUE_POSE, "left_shoulder", **{axis: angle}) for angle in (0, 10, 25, 45)]
    drawn = hypotheses(person_in(TRUE_POSE), poses)
    exact = EvidenceCritic(EvidenceSettings(joints_in_space=0))  # a regression is right within centimetres only
    assert (np.diff(exact.judge(drawn).scores) < 0).all()
    scores = EvidenceCritic().judge(drawn).scores
    assert scores[:3].min() > scores[3]


def test_a_person_seen_from_behind_with_left_and_right_taken_for_each_other():
    behind = bent(TRUE_POSE, "pelvis", y=180)
    person = person_in(behind)
    other = np.arange(33)
    for left in (*range(1, 4), 7, 9, *range(11, 33, 2)):
        right = left + 3 if left <= 3 else left + 1
        other[[left, right]] = right, left
    confused = replace(person, landmarks=person.landmarks[other])
    found = {name: check_table(hypotheses(each, [behind]))["reprojection"][0] for name, each in
             (("right", person), ("confused", confused))}  # fmt: skip
    assert found["right"] < 1e-6
    assert found["confused"] == pytest.approx(0.02, abs=1e-6)  # the price of a swap, no more
    front = person_in(TRUE_POSE)
    confused = replace(front, landmarks=front.landmarks[other])
    assert check_table(hypotheses(confused, [TRUE_POSE]))["reprojection"][0] > 0.2  # no swap for who faces us


@settings(max_examples=20)
@given(order=st.permutations(range(8)))
def test_the_order_of_hypotheses_is_free(drawn, verdict, order):
    shuffled = EvidenceCritic().judge(members(drawn, np.array(order)))
    np.testing.assert_allclose(shuffled.scores, verdict.scores[list(order)], rtol=1e-9)
    assert shuffled.comments == tuple(verdict.comments[i] for i in order)


@settings(max_examples=20)
@given(shift=st.tuples(st.integers(0, 2000), st.integers(0, 2000)))
def test_the_place_of_the_person_in_a_greater_photograph_is_free(drawn, verdict, shift):
    person = drawn.group.person
    moved = replace(
        person,
        width=person.width + 2 * shift[0],
        height=person.height + 2 * shift[1],
        landmarks=np.float32(np.add(person.landmarks, (*shift, 0, 0))),
        crop=np.float32(np.add(person.crop, (*shift, 0))),
        camera=np.float32(np.add(person.camera, (0, 0, *shift))),
        box=np.float32(np.add(person.box, (*shift, *shift))),
    )
    again = EvidenceCritic().judge(replace(drawn, group=replace(drawn.group, person=moved)))
    np.testing.assert_allclose(again.scores, verdict.scores, atol=0.05)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_unseen_landmarks_have_no_influence(drawn, seed):
    rng = np.random.default_rng(seed)
    person = drawn.group.person
    unseen = rng.random(33) < 0.4
    landmarks, world = person.landmarks.copy(), person.world_landmarks.copy()
    landmarks[unseen, 3] = 0
    other_landmarks, other_world = landmarks.copy(), world.copy()
    other_landmarks[unseen, :3] = rng.uniform(100, 600, (unseen.sum(), 3))
    other_world[unseen] = rng.normal(0, 1, (unseen.sum(), 3))
    first, second = (
        EvidenceCritic().judge(
            replace(drawn, group=replace(drawn.group, person=replace(person, landmarks=a, world_landmarks=b)))
        )
        for a, b in ((landmarks, world), (other_landmarks, other_world))
    )
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-6)


def blind(drawn: DrawnGroup, **also) -> DrawnGroup:
    """The group with no landmark seen."""
    person = drawn.group.person
    unseen = replace(person, landmarks=np.float32(person.landmarks * (1, 1, 1, 0)), **also)
    return replace(drawn, group=replace(drawn.group, person=unseen))


def test_without_evidence_it_abstains(drawn):
    verdict = EvidenceCritic().judge(blind(drawn, mask=np.zeros((64, 64), np.uint8)))
    assert np.isnan(verdict.scores).all()
    assert set(verdict.statuses) == {"abstained"}
    assert "nothing to judge by" in verdict.comments[0]


def test_a_mask_alone_is_evidence(drawn):
    verdict = EvidenceCritic().judge(blind(drawn))
    assert verdict.scores[0] > verdict.scores[6]  # the one 20 cm aside
    assert "silhouette" in verdict.comments[6]


def test_a_hypothesis_that_is_not_finite_is_left_out(drawn, verdict):
    keypoints = drawn.group.keypoints.copy()
    keypoints[3] = np.nan
    broken = replace(drawn, group=replace(drawn.group, keypoints=keypoints))
    again = EvidenceCritic().judge(broken)
    assert [i for i, status in enumerate(again.statuses) if status == "abstained"] == [3]
    without = EvidenceCritic().judge(members(drawn, np.array([0, 1, 2, 4, 5, 6, 7])))
    np.testing.assert_allclose(np.delete(again.scores, 3), without.scores, rtol=1e-9)
    assert again.comments[3] == "the hypothesis holds numbers that are not finite"


def test_a_weight_of_zero_switches_a_check_off(drawn):
    off = EvidenceCritic(EvidenceSettings(joint_limits=0))
    comment = off.judge(drawn).comments[2]
    assert "bent" not in comment
    only = EvidenceCritic(EvidenceSettings(**{name: float(name == "joint_limits") for name in CHECKS}))
    limits = only.judge(drawn).scores  # no check that sees the photograph is on, so none is missed
    assert limits.argmin() == 2 and (np.delete(limits, 2) == 50).all()


def test_settings_are_strict():
    with pytest.raises(ValidationError, match="silhuette"):
        EvidenceSettings(silhuette=1.0)
    with pytest.raises(ValidationError):
        EvidenceSettings(silhouette=-1.0)


def test_every_check_has_a_weight_and_a_scale():
    assert set(CHECKS) == set(SCALES) == set(EvidenceSettings.model_fields)
    assert set(CHECKS) == set(fitted().weights) == set(fitted().scales)
    assert all(weight >= 0 for weight in fitted().weights.values()) and all(SCALES[name] > 0 for name in CHECKS)


def test_the_table_holds_every_check(drawn):
    table = check_table(drawn)
    assert set(table) == set(CHECKS)
    for values in table.values():
        assert values.shape == (8,)
        assert ((values >= 0) & (values <= 1)).all()
    assert table["reprojection"][0] < 1e-6
    assert table["world_distance"][0] < 1e-4
    assert table["orientation"][0] < 1e-4
    assert table["limb_lengths"][:7].max() < 1e-6  # the eighth was mirrored after it was drawn


def test_a_torn_sample_is_named_only_where_nothing_else_is_plain():
    drawn = hypotheses(person_in(TRUE_POSE), [TRUE_POSE, WRONG["back"]])
    latents = drawn.group.latents.copy()
    joints = latents[:, :87].reshape(2, 29, 3)
    joints[:, 20] += joints[:, 20] - joints[:, 18]  # both forearms drawn twice as long
    torn = EvidenceCritic().judge(replace(drawn, group=replace(drawn.group, latents=latents)))
    assert torn.comments[0].startswith("left forearm drawn") and "drawn" not in torn.comments[1]


def test_scores_of_a_hand_worked_group():  # median 2, deviations 1 0 1, so a spread of 1.4826
    expected = 100 / (1 + np.exp(np.array([-1, 0, 1]) / 1.4826))
    np.testing.assert_allclose(spread(np.array([1.0, 2.0, 3.0])), expected)


@given(total=st.lists(st.floats(0, 50), min_size=1, max_size=20))
def test_scores_fall_with_the_total_and_stay_in_range(total):
    scores = spread(np.array(total))
    assert ((scores >= 0) & (scores <= 100)).all()
    order = np.argsort(total)
    assert (np.diff(scores[order]) <= 0).all()


def test_a_group_of_equals_stays_at_fifty():
    np.testing.assert_array_equal(spread(np.full(5, 3.0)), 50)

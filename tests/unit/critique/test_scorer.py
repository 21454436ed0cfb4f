from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from critique.critic import Critic
from critique.evidence import EvidenceCritic, check_table, members, spread
from critique.expected_joints import MEASURED, JointRegression, seen_by_the_crop
from critique.scorer import BESIDE, FADE, HIDES, UNIT, USED_BY, ScorerCritic, ScorerSettings, Weights, shipped_weights
from tests.evidence_scene import TRUE_POSE, bent, hypotheses, person_in

POSES = [
    TRUE_POSE,
    bent(TRUE_POSE, "pelvis", y=180),
    bent(TRUE_POSE, "pelvis", y=60),
    bent(TRUE_POSE, "left_shoulder", z=120),
    bent(TRUE_POSE, "left_hip", x=-90),
]


@pytest.fixture(scope="module")
def drawn():
    return hypotheses(person_in(TRUE_POSE), POSES)


@pytest.fixture(scope="module")
def verdict(drawn):
    return ScorerCritic().judge(drawn)


def knowing(joints: np.ndarray) -> Weights:
    """Weights that expect these joints (29, 3) of everybody, within 5 cm, and leave the checks out."""
    details, last = np.zeros((233, 87)), np.zeros((233, 29))
    details[-1], last[-1] = joints.ravel(), np.log(0.05)
    fit = JointRegression(np.zeros(231), np.ones(231), np.zeros((231, 1)), np.zeros(1), details, last)
    return Weights(fit, dict.fromkeys(BESIDE, 0.0))


def test_the_hypothesis_nearest_to_the_expected_joints_wins(drawn):
    person = drawn.group.person
    joints = seen_by_the_crop(drawn.group.joints, person)
    critic = ScorerCritic(weights=knowing(joints[2]))
    expected = critic.expected_errors(drawn)
    assert expected[2] == pytest.approx(50) and critic.judge(drawn).scores.argmax() == 2
    distance = 1000 * np.linalg.norm(joints - joints[2], axis=-1)[:, list(MEASURED)]
    np.testing.assert_allclose(expected, np.sqrt(distance**2 + 50**2).mean(1))


def test_it_names_itself_and_the_worst_fault(drawn, verdict):
    assert verdict.critic == "scorer@3" and set(verdict.statuses) == {"ok"}
    assert verdict.comments == EvidenceCritic().judge(drawn).comments


def test_it_is_a_critic_without_pictures():
    critic = ScorerCritic()
    assert isinstance(critic, Critic) and not critic.needs_pictures


def test_the_score_is_the_sum_that_the_page_states(drawn, verdict):
    critic = ScorerCritic()
    table = check_table(drawn)
    total = critic.expected_errors(drawn) + sum(critic.weights.checks[name] * table[name] for name in BESIDE)
    np.testing.assert_allclose(verdict.scores, spread(total / UNIT))
    everywhere = ScorerCritic(ScorerSettings(compare="everywhere")).judge(drawn)
    np.testing.assert_allclose(everywhere.scores, 100 * np.exp(-total / FADE))


@settings(max_examples=10)
@given(order=st.permutations(range(len(POSES))))
def test_the_order_is_free_and_everywhere_the_others_too(drawn, verdict, order):
    moved, some = np.array(order), np.array(order[:3])
    np.testing.assert_allclose(ScorerCritic().judge(members(drawn, moved)).scores, verdict.scores[moved], rtol=1e-9)
    absolute = ScorerCritic(ScorerSettings(compare="everywhere"))
    np.testing.assert_allclose(
        absolute.judge(members(drawn, some)).scores, absolute.judge(drawn).scores[some], rtol=1e-9
    )


def test_a_hypothesis_that_is_not_finite_is_left_out(drawn):
    joints = drawn.group.joints.copy()
    joints[2] = np.nan
    again = ScorerCritic().judge(replace(drawn, group=replace(drawn.group, joints=joints)))
    assert [i for i, status in enumerate(again.statuses) if status == "abstained"] == [2]
    without = ScorerCritic().judge(members(drawn, np.array([0, 1, 3, 4])))
    np.testing.assert_allclose(np.delete(again.scores, 2), without.scores, rtol=1e-9)
    nothing = replace(drawn, group=replace(drawn.group, joints=np.full_like(joints, np.nan)))
    assert set(ScorerCritic().judge(nothing).statuses) == {"abstained"}


def test_without_evidence_it_abstains(drawn):
    person = drawn.group.person
    blind = replace(person, landmarks=np.float32(person.landmarks * (1, 1, 1, 0)), mask=np.zeros((64, 64), np.uint8))
    found = ScorerCritic().judge(replace(drawn, group=replace(drawn.group, person=blind)))
    assert np.isnan(found.scores).all() and "nothing to judge by" in found.comments[0]


def test_parts_name_every_check_once():
    named = [check for checks in USED_BY.values() for check in checks]
    assert sorted(named) == sorted(BESIDE) and set(HIDES) < set(USED_BY)


def test_without_the_regression_the_checks_alone_judge(drawn):
    table = check_table(drawn)
    weights = ScorerCritic().weights.checks
    total = sum(weights[name] * table[name] for name in BESIDE)
    found = ScorerCritic(ScorerSettings(without=("regression",))).judge(drawn)
    np.testing.assert_allclose(found.scores, spread(total / UNIT))


def test_without_landmarks_and_depth_they_have_no_influence(drawn):
    person = drawn.group.person
    random = np.random.default_rng(0)
    other = replace(
        person,
        landmarks=np.float32(person.landmarks + random.normal(0, 30, (33, 4)) * (1, 1, 1, 0)),
        world_landmarks=np.float32(random.normal(0, 1, (33, 3))),
    )
    blind = ScorerCritic(ScorerSettings(without=("landmarks", "depth", "plausibility")))
    first, second = (
        blind.judge(replace(drawn, group=replace(drawn.group, person=each))).scores for each in (person, other)
    )
    np.testing.assert_allclose(first, second)


def test_settings_are_strict():
    with pytest.raises(ValidationError):
        ScorerSettings(without=("luck",))  # type: ignore[arg-type]


def test_the_shipped_weights_are_small_and_sound():
    kept = shipped_weights()
    assert all(np.isfinite(part).all() for part in kept.regression)
    assert all(weight >= 0 for weight in kept.checks.values()) and set(kept.checks) == set(BESIDE)
    assert sum(2 * part.size for part in kept.regression) < 2e6  # bytes, as float16

"""A small judge: what it learns, how it is measured, its file, and the critics that it makes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from critique.critic import Critic
from critique.judge.asking import allowance, at_random, chosen
from critique.judge.cascade import CascadeCritic
from critique.judge.distilled import DistilledCritic, doubt, jackknife_error, points_of
from critique.judge.features import FEATURES, features
from critique.judge.fitting import Lessons, TooFewGroups, fit, loss, pairs_right, quality
from critique.judge.network import (
    INPUTS,
    MEMBERS,
    WEIGHTS,
    Judge,
    JudgeError,
    from_bytes,
    inputs,
    read_judge,
    stored,
    to_bytes,
    untaught,
)
from critique.judge.plackett_luce import ranking
from critique.memory.gate import agreement
from tests.evidence_scene import TRUE_POSE, bent, hypotheses, person_in
from tests.factories import make_verdict

COLUMN = FEATURES.index("world_distance")


def lessons(noise: float, groups: int = 48, size: int = 6, seed: int = 0) -> Lessons:
    """Groups of random features; the teacher's score falls with one of them, and errs."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(size, len(FEATURES))) for _ in range(groups)]
    scores = [50 - 10 * (row[:, COLUMN] + noise * rng.standard_normal(size)) for row in rows]
    return Lessons(rows, scores, [f"photo {index // 2}" for index in range(groups)])


@pytest.fixture(scope="module")
def taught():
    return fit(lessons(noise=0.3, seed=3))


def test_learns_an_order_and_is_measured_on_what_it_did_not_see(taught):
    assert taught.quality.srcc > 0.85 and taught.quality.groups == 48
    fresh = lessons(noise=0.0, seed=1)
    found = [agreement(taught.judge.worths(row).mean(0), own) for row, own in zip(fresh.features, fresh.scores)]
    assert np.mean(found) > 0.85
    assert taught.quality.surprise < 0.8 * np.log(720) / 6  # of a judge that knows nothing: log(6!) / 6


def test_its_chances_are_calibrated_where_the_teacher_errs():
    """Temperature: as many pairs are right as the judge expects, for a sure teacher and for a noisy one."""
    for noise in (0.3, 2.0):
        found = fit(lessons(noise, groups=96)).quality
        assert abs(found.pairs_right - found.pairs_expected) < 0.04


def test_learns_nothing_from_scores_that_follow_no_feature():
    found = fit(lessons(noise=1e6, seed=3)).quality
    assert abs(found.srcc) < 0.15 and found.pairs_expected < 0.6


def test_learns_on_from_a_judge(taught):
    """Sixteen groups alone teach less than after a judge that had learned the same."""
    few = lessons(noise=1.0, groups=16, seed=2)
    alone, after = fit(few).quality, fit(few, taught.judge).quality
    assert after.srcc > alone.srcc


def test_too_few_groups_are_refused():
    with pytest.raises(TooFewGroups, match="12 judged groups of 6 photographs: a judge needs 16 groups of 8"):
        fit(lessons(noise=0.0, groups=12))


def test_the_loss_has_the_gradient_of_finite_differences():
    rng, given = np.random.default_rng(0), lessons(noise=1.0, groups=4)
    scale = np.ones(len(FEATURES))
    read, ranked = inputs(np.stack(given.features), scale), ranking(np.stack(given.scores))
    weights, first = rng.normal(size=WEIGHTS) / 5, rng.normal(size=WEIGHTS) / 5
    _, slope = loss(weights, read, ranked, first, 2.0)
    for place in rng.choice(WEIGHTS, 25, replace=False):
        step = np.eye(1, WEIGHTS, place)[0] * 1e-6
        up, down = (loss(weights + sign * step, read, ranked, first, 2.0)[0] for sign in (1, -1))
        assert_allclose(slope[place], (up - down) / 2e-6, rtol=1e-4, atol=1e-4)


def test_pairs_are_counted_by_hand():
    """Scores 3, 2, 1 and worths 1, 0, 2: of three pairs the first alone is right; a tie of the teacher is no pair."""
    counts, judged = pairs_right(np.array([1.0, 0, 2]), np.array([3.0, 2, 1]))
    assert counts[0] == 1 and counts[2] == 3 and judged == 3
    assert pairs_right(np.array([1.0, 0]), np.array([5.0, 5.0]))[0][2] == 0
    assert quality([np.array([1.0, 0.0])] * 2, [np.array([2.0, 1.0])] * 2).pairs_right == 1


def test_the_file_is_the_judge(taught, tmp_path):
    judge = stored(taught.judge, {"teacher": "evidence@4"})
    assert len(to_bytes(judge)) < 50_000
    (tmp_path / "judge.safetensors").write_bytes(to_bytes(judge))
    again = read_judge(tmp_path / "judge.safetensors")
    row = lessons(0.0).features[0]
    assert np.array_equal(again.worths(row), judge.worths(row)) and again.about == {"teacher": "evidence@4"}
    assert again.digest == judge.digest == taught.judge.digest
    other = judge.weights.copy()
    other[0, 0] += 0.01
    assert replace(judge, weights=other).digest != judge.digest  # a verdict's name pins every weight


def test_other_files_are_refused(taught, tmp_path):
    with pytest.raises(JudgeError, match=r"x: no judge .*; make one with hmr-align distill"):
        from_bytes(b"nothing", "x")
    with pytest.raises(JudgeError, match="No such file"):
        read_judge(tmp_path / "none")
    bad = replace(taught.judge, weights=np.full((MEMBERS, WEIGHTS), np.nan))
    with pytest.raises(JudgeError, match="not finite"):
        from_bytes(to_bytes(bad), "x")
    old = to_bytes(taught.judge).replace(b"hmr-align judge 1", b"hmr-align judge 0")
    with pytest.raises(JudgeError, match="another version"):
        from_bytes(old, "x")


def test_the_jackknife_error_by_hand():
    """Eight networks say 0 four times and 8 four times: variance 16, error sqrt(7 x 16)."""
    points = np.repeat([[0.0], [8.0]], MEMBERS // 2, axis=0)
    assert_allclose(jackknife_error(points), [np.sqrt(7 * 16)])
    assert doubt(np.full((MEMBERS, 3), 50.0)) == 1.0  # it sees no difference
    assert doubt(np.tile([[90.0, 50.0, 10.0]], (MEMBERS, 1))) == 0.0  # all networks say the same


def test_the_order_of_hypotheses_is_free_and_gaps_are_left_out():
    row = lessons(0.0).features[0]
    judge, order = fit(lessons(0.3)).judge, np.array([3, 0, 5, 1, 4, 2])
    assert_allclose(judge.worths(row[order]), judge.worths(row)[:, order], atol=1e-9)
    padded = inputs(np.concatenate([row, np.full((2, len(FEATURES)), np.nan)])[None], judge.scale)[0]
    assert_allclose(padded[:6], inputs(row[None], judge.scale)[0]) and not padded[6:].any()
    assert padded.shape == (8, INPUTS)


# --- as critics ------------------------------------------------------------------------------------------------


def scene():
    """A person and three bodies, the first of them true."""
    person = person_in(TRUE_POSE)
    return hypotheses(person, [TRUE_POSE, bent(TRUE_POSE, "left_knee", x=70), bent(TRUE_POSE, "right_elbow", y=90)])


def follows_the_landmarks() -> Judge:
    """A judge by one feature alone: how well the world landmarks are met."""
    weights = np.zeros((MEMBERS, WEIGHTS))
    weights[:, COLUMN] = -4.0
    return Judge(weights, np.ones(len(FEATURES)), 1.0)


def test_features_have_their_names_and_see_the_true_body():
    found = features(scene())
    assert found.shape == (3, len(FEATURES)) and np.isfinite(found).all()
    for name in ("world_distance", "reprojection", "mask_iou", "evidence_total"):
        assert found[:, FEATURES.index(name)].argmin() == 0


def test_the_critic_says_what_its_judge_says():
    critic = DistilledCritic(follows_the_landmarks())
    assert isinstance(critic, Critic) and critic.name.startswith("distilled@")
    verdict = critic.judge(scene())
    assert verdict.scores.argmax() == 0 and verdict.statuses == ("ok",) * 3
    assert verdict.uncertainty is not None and not verdict.uncertainty.any()  # its networks are the same
    assert_allclose(verdict.scores, points_of(critic.network.worths(features(scene()))).mean(0))
    assert critic.name != DistilledCritic(untaught()).name


def test_it_abstains_as_the_evidence_critic_does():
    drawn = scene()
    person = replace(drawn.group.person, landmarks=np.zeros((33, 4), np.float32), mask=np.zeros((64, 64), np.uint8))
    blind = replace(drawn, group=replace(drawn.group, person=person))
    assert np.isnan(DistilledCritic(follows_the_landmarks()).judge(blind).scores).all()
    pose = drawn.group.pose.copy()
    pose[1] = np.nan
    torn = replace(drawn, group=replace(drawn.group, pose=pose))
    assert list(np.isnan(DistilledCritic(follows_the_landmarks()).judge(torn).scores)) == [False, True, False]


def test_a_cascade_passes_the_teacher_s_answer_on():
    drawn = scene()
    answer = make_verdict(drawn.group, [10, 90, 50], "teacher@1")
    name = drawn.group.person.group_id
    asked = CascadeCritic(follows_the_landmarks(), "teacher@1", {name: answer})
    unasked = CascadeCritic(follows_the_landmarks(), "teacher@1")
    assert list(asked.judge(drawn).scores) == [10, 90, 50]
    assert unasked.judge(drawn).scores.argmax() == 0
    assert asked.judge(drawn).critic == asked.name == unasked.name != CascadeCritic(untaught(), "teacher@1").name
    abstained = make_verdict(drawn.group, [np.nan] * 3, "teacher@1")
    assert CascadeCritic(follows_the_landmarks(), "teacher@1", {name: abstained}).judge(drawn).scores.argmax() == 0


def test_the_budget_is_shared_by_the_rounds_to_come():
    assert allowance(180, 0, 0, 3) == 60 and allowance(180, 60, 1, 3) == 60
    assert allowance(180, 100, 2, 3) == 80  # the newest policy gets all that is left
    assert allowance(180, 180, 2, 3) == 0 and allowance(10, 0, 5, 3) == 10


def test_the_most_doubtful_are_asked_first():
    doubts = {"a": 0.2, "b": 0.9, "c": 0.9, "d": 0.5}
    assert chosen(doubts, 2) == ["b", "c"] and chosen(doubts, 2, ["b"]) == ["c", "d"]
    assert at_random(["c", "a", "b"], 2, 0, "round0") == at_random(["a", "b", "c"], 2, 0, "round0")

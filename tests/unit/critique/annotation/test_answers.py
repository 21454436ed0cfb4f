"""Answers of people: what is taken, what they say of a group, which questions are asked, and how critics agree."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from critique.annotation.accuracy import accuracy, pairs_of, wilson
from critique.annotation.answers import Answer, AnswersError, exported, newest, parse_answer, parse_answers
from critique.annotation.questions import Candidate, best_members, pair_values, questions
from critique.annotation.verdicts import NOT_SHOWN, human_verdict, human_worths
from critique.memory.rules import TAGS


def answer(shown=(0, 1), best=(0,), group="g", **given) -> Answer:
    return Answer(gen="round0", group_id=group, shown=shown, best_first=best, **given)


# --- what is taken ---------------------------------------------------------------------------------------------


def test_answers_come_back_from_a_file():
    given = [answer(faults=("head",), text="odd"), answer((3, 1, 2, 0), (1, 2)), answer(best=(), skipped=True)]
    assert parse_answers(exported(given).encode(), "file") == given
    assert parse_answers(exported([]).encode(), "file") == []


@pytest.mark.parametrize(
    "changed, fault",
    [
        ({"shown": [0, 0]}, "a hypothesis occurs twice"),
        ({"best_first": [5]}, "a hypothesis is ranked that was not shown"),
        ({"best_first": []}, "one of them"),
        ({"equal": True}, "one of them"),
        ({"faults": ["ugly"]}, "a fault is none of orientation"),
        ({"shown": [1]}, "shown: .*at least 2"),
        ({"gen": "../../etc"}, "gen: String should match"),
        ({"text": "x" * 401}, "text: .*at most 400"),
        ({"critic": "evidence"}, "critic: Extra"),
        ({"seconds": float("nan")}, "seconds: "),
    ],
)
def test_other_answers_are_refused(changed, fault):
    with pytest.raises(AnswersError, match=f"answer 1: .*{fault}"):
        parse_answer(answer().model_dump(mode="json") | changed, "answer 1")


def test_other_files_are_refused():
    for content, fault in (
        (b"<html>", "no answers of a page"),
        (b"[]", "no answers"),
        (b'{"format": "x"}', "format 'x'"),
    ):
        with pytest.raises(AnswersError, match=fault):
            parse_answers(content, "file")
    with pytest.raises(AnswersError, match="file, answer 2: "):
        parse_answers(
            json.dumps({**json.loads(exported([answer()])), "answers": [answer().model_dump(), {}]}).encode(), "file"
        )


def test_a_later_answer_to_a_question_replaces_the_earlier_one():
    """In whichever order the bodies stood; another pair of the same group is another question."""
    first, changed, other = answer((0, 1), (0,)), answer((1, 0), (1,)), answer((0, 2), (0,))
    assert newest([first, other, changed]) == [changed, other]


def test_faults_are_words_that_rules_know():
    from critique.annotation.answers import FAULTS

    assert set(FAULTS) <= TAGS


# --- what they say of a group ----------------------------------------------------------------------------------


def test_one_answer_about_a_pair_by_hand():
    """Worths u and -u with u = sigmoid(-2 u), where surprise and prior pull alike: 0.337, so 58 and 42 points."""
    worths = human_worths([answer((0, 2), (2,))], 3)
    assert np.isnan(worths[1]) and worths[2] == pytest.approx(-worths[0])
    assert_allclose(worths[2], 1 / (1 + np.exp(2 * worths[2])), atol=1e-6)
    verdict = human_verdict([answer((0, 2), (2,), faults=("hand",), text="<b>left</b>")], 3)
    assert_allclose(verdict.scores, [41.64, np.nan, 58.36], atol=0.02)
    assert verdict.statuses == ("ok", "abstained", "ok")
    assert verdict.comments == ("worse than another shown: hand off; b left /b", NOT_SHOWN, "best of 2 shown")


def test_the_best_of_four_by_hand():
    """The best has worth 1 - p, each other one a third of its negative, p = chance of the best."""
    worths = human_worths([answer((0, 1, 2, 3), (1,))], 4)
    p = np.exp(worths[1]) / np.exp(worths).sum()
    assert_allclose(worths, [-(1 - p) / 3, 1 - p, -(1 - p) / 3, -(1 - p) / 3], atol=1e-6)


def test_more_answers_say_more_and_equal_says_equal():
    five = human_worths([answer((0, 1), (0,))] * 5, 2)
    assert_allclose(five[0], 5 / (1 + np.exp(2 * five[0])), atol=1e-6)
    assert_allclose(human_worths([answer(best=(), equal=True)], 2), 0, atol=1e-9)
    order = human_worths([answer((3, 1, 2, 0), (2, 0, 1))], 4)
    assert order[2] > order[0] > order[1] > order[3]
    through = human_worths([answer((0, 1), (0,)), answer((1, 2), (1,))], 3)  # 0 and 2 were never shown together
    assert through[0] > through[1] > through[2]


def test_skipped_questions_say_nothing():
    skipped = answer(best=(), skipped=True)
    assert human_verdict([skipped], 2) is None
    assert human_verdict([skipped, answer()], 2).scores.argmax() == 0
    with pytest.raises(ValueError, match="the group of 2 does not have"):
        human_verdict([answer((0, 7), (7,))], 2)


# --- which questions are asked ---------------------------------------------------------------------------------


def candidate(scores, apart=0.2, group="g", size=4) -> Candidate:
    """Bodies in a row whose joints, all but the pelvis, are `apart` metres from the next one's."""
    joints = np.zeros((size, 29, 3), np.float32)
    joints[:, 1:, 0] = apart * np.arange(size)[:, None]
    return Candidate("round0", group, joints, {name: np.float64(row) for name, row in scores.items()})


def test_critics_that_disagree_make_a_pair_worth_asking():
    """By hand: z of both are -1.342, -0.447, 0.447, 1.342; they agree on 0 and 1, and swap 2 and 3."""
    value = pair_values(candidate({"a": [10, 20, 30, 40], "b": [10, 20, 40, 30]}))
    assert_allclose(value[0, 1], 0, atol=1e-12)
    assert_allclose(value[2, 3], 0.8944, atol=1e-4)  # z_2 - z_3 is -0.894 for one and +0.894 for the other
    assert best_members(value, 2) == (2, 3)


def test_one_critic_alone_makes_close_scores_worth_asking():
    value = pair_values(candidate({"a": [10, 50, 52, 90]}))
    assert best_members(value, 2) == (1, 2)
    assert_allclose(pair_values(candidate({}))[0, 1], 1)


def test_bodies_that_look_alike_are_not_shown_together():
    assert best_members(pair_values(candidate({"a": [1, 2, 3, 4]}, apart=0.01)), 2) == ()
    near = pair_values(candidate({"a": [10, 11, 90, 91]}, apart=0.04))  # neighbours are 39 mm apart
    assert best_members(near, 2) not in ((0, 1), (2, 3))
    assert best_members(near, 4) == ()  # there are no four
    assert sorted(best_members(pair_values(candidate({"a": [1, 2, 3, 4]})), 4)) == [0, 1, 2, 3]


def test_the_most_informative_groups_come_first_in_an_order_by_the_seed():
    quiet = candidate({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}, group="quiet")
    loud = candidate({"a": [1, 2, 3, 4], "b": [4, 3, 2, 1]}, group="loud")
    alike = candidate({"a": [1, 2, 3, 4]}, apart=0.0, group="alike")
    found = questions([quiet, alike, loud], 2, 5, seed=3)
    assert [one.group_id for one in found] == ["loud", "quiet"]
    assert found == questions([loud, quiet], 2, 5, seed=3) and len(questions([quiet, loud], 2, 1, 0)) == 1
    orders = {questions([loud], 2, 1, seed)[0].members for seed in range(20)}
    assert orders == {(0, 3), (3, 0)}  # not always the same one on the left


# --- how critics agree -----------------------------------------------------------------------------------------


def test_agreement_by_hand():
    """Two answers: one pair right; of the best of three one pair right, one tied: (1 + 3/4) / 2."""
    answers = [answer((0, 1), (0,)), answer((0, 1, 2), (1,), "h"), answer((0, 1), (0,), "nobody scored")]
    assert pairs_of(answers[1]) == [(1, 0), (1, 2)]
    assert pairs_of(answer((0, 1, 2, 3), (2, 0))) == [(2, 0), (2, 1), (2, 3), (0, 1), (0, 3)]
    scores = {("round0", "g"): np.array([9.0, 5]), ("round0", "h"): np.array([50.0, 50, 10])}
    found = accuracy("c", scores, answers)
    assert (found.right, found.pairs, found.answers) == (0.875, 3, 2)
    assert np.isnan(accuracy("c", {}, answers).right)
    gap = {("round0", "g"): np.array([np.nan, 5])}
    assert accuracy("c", gap, answers[:1]).answers == 0


def test_wilson_by_hand():
    """10 of 10: (1 + z^2 / 20 - z^2 / 20) ... the lower bound is 10 / (10 + z^2)."""
    low, high = wilson(1.0, 10)
    assert_allclose((low, high), (10 / (10 + 3.841459), 1.0), atol=1e-6)
    assert_allclose(wilson(0.5, 20), (0.299, 0.701), atol=1e-3)


def test_twenty_answers_tell_a_good_critic_from_a_blind_one():
    """A person who is right about nine of ten pairs; a critic that knows, and one that does not look."""
    rng = np.random.default_rng(0)
    answers, knows, blind = [], {}, {}
    for number in range(20):
        true, name = rng.normal(size=4), f"g{number}"
        knows["round0", name], blind["round0", name] = 50 + 10 * true, rng.uniform(0, 100, 4)
        i, k = (int(place) for place in rng.choice(4, 2, replace=False))
        better = i if (true[i] > true[k]) == (rng.random() < 0.9) else k
        answers.append(answer((i, k), (better,), name))
    good, bad = accuracy("good", knows, answers), accuracy("blind", blind, answers)
    assert good.low > 0.5 > bad.low and good.right > bad.right

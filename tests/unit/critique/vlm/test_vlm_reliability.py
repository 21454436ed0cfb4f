"""Reliability of the remote critic, over real HTTP: order bias, rude answers, uncertainty, token probabilities."""

import asyncio
import json
from collections import Counter

import numpy as np
import pytest

from critique.endpoint.loopback import RUDE, JudgingStyle, LoopbackVlm, good, labelled, refusal, says
from critique.vlm.vlm_critic import VlmCritic
from storage.records import Verdict
from tests.vlm_cases import figures, settings


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-of-32-characters-0001")


def judge(style, groups, **given) -> list[Verdict]:
    with LoopbackVlm(style) as server:
        return asyncio.run(VlmCritic(settings(server, **given)).judge_many(groups))


def centred(verdicts) -> np.ndarray:
    scores = np.array([verdict.scores for verdict in verdicts])
    return scores - scores.mean(1, keepdims=True)


def middling(photograph, overlay) -> float:
    """Likeness between 20 and 70, so that a bias of 15 is not cut off at 100."""
    moved = np.abs(photograph.astype(int) - overlay).max(-1) > 12
    return 70 - 5 * (np.flatnonzero(moved.any(0))[0] - 20)


def test_a_bias_of_15_for_the_first_place_comes_under_2_points():
    """Bias of a score within its group: mean over groups of the one that one listing shows first, and the worst."""
    groups = [figures(10, seed) for seed in range(6)]
    fair = centred(judge(JudgingStyle(middling), groups))
    biased = JudgingStyle(middling, bias=15)
    once = np.abs(centred(judge(biased, groups)) - fair).max(1)
    thrice = np.abs(centred(judge(biased, groups, repeats=3)) - fair).max(1)
    mean = np.abs(centred(judge(biased, groups, repeats=10, link="mean")) - fair).max(1)
    assert (once > 13).all()
    assert (thrice < 2).all() and (mean < 2).all()


def test_pairs_balance_the_first_place():
    """Each is shown first as often as second: a first place worth three steps bends the ranking of none."""
    groups = [figures(8, seed) for seed in range(2)]
    for verdict in judge(JudgingStyle(middling, bias=15), groups, mode="pairs", repeats=4):
        assert np.corrcoef(verdict.scores, -np.arange(8))[0, 1] > 0.85
        assert len(verdict.replies) == 32 and {len(reply.order) for reply in verdict.replies} == {2}


@pytest.mark.parametrize("given", [{"mode": "blocks", "block_size": 5, "anchors": 2}, {"mode": "list", "repeats": 2}])
def test_a_steady_judge_is_reproduced_by_every_mode(given):
    (verdict,) = judge(JudgingStyle(middling), [figures(9)], **given)
    assert verdict.scores == pytest.approx([70 - 5 * k for k in range(9)], abs=1)


def test_the_uncertainty_is_the_judges_noise():
    groups = [figures(8, seed) for seed in range(4)]
    quiet, loud = (judge(JudgingStyle(middling, noise=noise), groups, repeats=4, link="mean") for noise in (1, 6))
    for verdicts, noise in ((quiet, 1), (loud, 6)):
        said = np.mean([verdict.uncertainty for verdict in verdicts])
        assert said == pytest.approx(noise / 2, rel=0.5)
    assert judge(JudgingStyle(middling), groups)[0].uncertainty is None


def test_with_20_percent_of_rude_answers_no_group_is_lost_and_no_wrong_number_kept():
    """The judge's own number for each hypothesis is known: every stored score is that number, or there is none."""
    groups = [figures(6, seed) for seed in range(60)]
    with LoopbackVlm(JudgingStyle(middling, rude=0.2, hang=1.0, seed=3)) as server:
        chosen = settings(server, read_seconds=0.4, retries=2, second_chances=3, max_in_flight=16)
        verdicts = asyncio.run(VlmCritic(chosen).judge_many(groups))
    truth = np.array([70 - 5 * k for k in range(6)])
    scores = np.array([verdict.scores for verdict in verdicts])
    wrong = int((~np.isnan(scores) & (scores != truth)).sum())
    lost = sum(np.isnan(verdict.scores).all() for verdict in verdicts)
    spoilt = sum(reply.status != "ok" or reply.tries > 1 for verdict in verdicts for reply in verdict.replies)
    assert (len(verdicts), wrong, lost) == (60, 0, 0)
    assert spoilt > 5 and len(server.calls) > 70  # it was rude indeed
    assert Counter(status for verdict in verdicts for status in verdict.statuses)["ok"] >= 0.99 * scores.size
    assert [verdict.group_id for verdict in verdicts] == [group.group.person.group_id for group in groups]


@pytest.mark.parametrize("kind", range(len(RUDE)))
def test_each_kind_of_rudeness_leaves_the_truth_or_nothing(kind):
    fair = JudgingStyle(middling)

    def script(number, body):
        def answer(asked):
            return fair(number, asked)

        return (RUDE[kind](answer, 0.5) if number == 0 else answer)(body)

    (verdict,) = judge(script, [figures(5)], read_seconds=0.2)
    assert verdict.scores.tolist() == [70, 65, 60, 55, 50]


def test_a_judgement_that_failed_gets_its_second_chance_in_another_order():
    with LoopbackVlm([refusal(), good()]) as server:
        verdict = VlmCritic(settings(server)).judge(figures(6))
    first, second = verdict.replies
    assert (first.status, second.status) == ("refused", "ok")
    assert sorted(first.order) == sorted(second.order) and first.order != second.order
    shown = [labelled(call.body)[2] for call in server.calls]
    assert not np.array_equal(*shown)


def test_if_one_of_several_judgements_fails_the_others_count():
    def script(number, body):
        return (refusal() if number == 0 else good([80, 60, 40, 20]))(body)

    (verdict,) = judge(script, [figures(4)], repeats=3, second_chances=0)
    assert set(verdict.statuses) == {"ok"} and verdict.uncertainty is not None
    assert Counter(reply.status for reply in verdict.replies) == {"refused": 1, "ok": 2}


def torn(score: int, other: int, share: float):
    """An answer of one token per word, whose first score might as well have been another."""
    pieces = ['{"image_2": {"score": ', str(score), '}, "image_3": {"score": ', "5", "0", "}}"]
    likely = [{}, {str(score): 1 - share, str(other): share, "no": 0.01}, {}, {"5": 0.5, "7": 0.5}, {"0": 1.0}, {}]
    return says("".join(pieces), tokens=list(zip(pieces, [x or {p: 1.0} for p, x in zip(pieces, likely)])))


def test_token_probabilities_become_expected_scores():
    with LoopbackVlm([torn(60, 80, 0.25)]) as server:
        plain = VlmCritic(settings(server, shuffle=False)).judge(figures(2))
        expected = VlmCritic(settings(server, shuffle=False, expected_scores=True)).judge(figures(2))
    assert plain.scores.tolist() == [60, 50]
    # 0.75 x 60 + 0.25 x 80; tens 5 or 7 with 0 behind the 5 and an unknown digit behind the 7
    assert expected.scores == pytest.approx([65, 60 + 0.5 * 0 + 0.5 * 4.5])
    bodies = [call.body for call in server.calls]
    assert "logprobs" not in bodies[0] and bodies[1]["logprobs"] is True and bodies[1]["top_logprobs"] == 20


def test_without_token_probabilities_the_score_stands():
    with LoopbackVlm([good([60, 50])]) as server:
        verdict = VlmCritic(settings(server, shuffle=False, expected_scores=True)).judge(figures(2))
    assert verdict.scores.tolist() == [60, 50]


def test_rules_of_the_stated_form_are_obeyed():
    group = figures(1)
    overlay = group.overlays[0].copy()
    overlay[34:40] = group.photograph[34:40]  # the mesh ends above the figure's feet
    rule = "When a foot floats above the ground, take 20 points off."
    scores = []
    for text in ("", rule, "When the sky is blue, take 20 points off."):
        body = {"messages": [{"content": [{"type": "text", "text": text}, *parts(group.photograph, overlay)]}]}
        answer = JudgingStyle()(0, body).body["choices"][0]["message"]["content"]
        scores.append(json.loads(answer)["image_2"]["score"])
    assert scores[0] - scores[1] == 20 and scores[0] == scores[2]


def parts(photograph, overlay):
    from critique.vlm.picture_encoder import PictureEncoder
    from critique.vlm.prompt import text_part

    encode = PictureEncoder(encoding="png")
    return [text_part("image_1"), encode(photograph), text_part("image_2"), encode(overlay)]

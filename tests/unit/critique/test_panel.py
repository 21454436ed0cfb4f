"""Panels: common points, weights, disagreement, members that fail, and the held-out monitor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.endpoint.loopback import LoopbackVlm, good, refusal
from critique.evidence import EvidenceCritic, EvidenceSettings
from critique.panel import Member, PanelCritic, agreement, common_points, weighed
from critique.scripted import ScriptedCritic
from critique.vlm.vlm_critic import VlmCritic
from tests.factories import make_verdict
from tests.vlm_cases import figures, settings

NAN = np.nan


def saying(name: str, scores) -> ScriptedCritic:
    return ScriptedCritic(lambda group: make_verdict(group.group, scores, name), name)


def panel(*given, combine="mean", weights=None) -> PanelCritic:
    weights = weights or [1.0] * len(given)
    critics = [saying(f"c{place}@1", scores) for place, scores in enumerate(given)]
    return PanelCritic(tuple(Member(critic, weight) for critic, weight in zip(critics, weights)), combine)


def test_weights_and_disagreement_by_hand():
    verdict = panel([80, 50], [20, 50], weights=[3.0, 1.0]).judge(figures(2))
    assert verdict.scores.tolist() == [65, 50]
    # weighted variance 3/4 15^2 + 1/4 45^2 = 675
    assert verdict.uncertainty == pytest.approx([675**0.5, 0])
    assert verdict.comments[0] == "place 0 (c0 80, c1 20)"


def test_a_member_that_abstains_leaves_the_others_word():
    verdict = panel([80, NAN, NAN], [20, 40, NAN]).judge(figures(3))
    assert verdict.scores[:2].tolist() == [50, 40] and verdict.statuses == ("ok", "ok", "abstained")
    assert verdict.uncertainty[0] == pytest.approx(30) == verdict.uncertainty[1]  # as unsure as the two were
    assert verdict.comments[1] == "place 1"


def test_one_member_has_no_disagreement():
    assert panel([80, 20]).judge(figures(2)).uncertainty is None


@given(st.lists(st.integers(0, 100), min_size=3, max_size=9), st.floats(0.1, 1), st.floats(0, 20))
def test_ranks_and_z_scores_forget_a_members_scale(scores, slope, offset):
    values = np.array(scores, float)
    moved = slope * values * 0.5 + offset
    assert common_points(values, "rank") == pytest.approx(common_points(moved, "rank"))
    if values.std() * slope * 0.5 > 2:
        assert common_points(values, "z") == pytest.approx(common_points(moved, "z"))


def test_a_member_that_sees_no_difference_says_50():
    assert common_points(np.array([70.0, 70.0, 70.0]), "z").tolist() == [50, 50, 50]
    assert common_points(np.array([70.0, 70.0]), "rank").tolist() == [50, 50]
    assert np.isnan(common_points(np.array([NAN, NAN]), "z")).all()


def test_nobody_judged_is_no_score():
    mean, errors = weighed(np.array([[NAN, 5.0], [NAN, 7.0]]), np.array([1.0, 1.0]))
    assert np.array_equal(mean, [NAN, 6], equal_nan=True)
    assert np.array_equal(errors, [NAN, 1], equal_nan=True)


def test_the_name_follows_members_weights_and_combination():
    names = {panel([1]).name, panel([1], [2]).name, panel([1], weights=[2.0]).name, panel([1], combine="rank").name}
    assert len(names) == 4


def test_a_panel_needs_members_with_weight():
    for wrong in ((), (Member(saying("a@1", [1]), 0.0),)):
        with pytest.raises(ValueError, match="a panel needs"):
            PanelCritic(wrong)


def test_a_remote_member_and_a_local_one(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-of-32-characters-0001")
    with LoopbackVlm(lambda n, body: (refusal() if n == 1 else good([90, 50, 10]))(body)) as server:
        vlm = VlmCritic(settings(server, shuffle=False, second_chances=0, max_in_flight=1))
        both = PanelCritic((Member(vlm, 2.0), Member(saying("local@1", [10, 50, 90]), 1.0)), "mean")
        assert both.needs_pictures
        first = both.judge(figures(3))
        second = both.judge(figures(3, 1))
    assert first.scores == pytest.approx([190 / 3, 50, 110 / 3]) and len(first.replies) == 1
    assert second.scores.tolist() == [10, 50, 90] and second.replies[0].status == "refused"


def test_a_critic_of_plausibility_alone_needs_no_evidence():
    """The family `physics` looks at the body alone, so it judges where nothing was detected."""
    looking = ("reprojection", "silhouette", "depth_order", "world_distance", "orientation")
    physics = EvidenceCritic(EvidenceSettings(**dict.fromkeys(looking, 0.0)), "physics@2")
    assert set(physics.judge(figures(5)).statuses) == {"ok"}


def test_the_monitor_by_hand():
    groups = [figures(4, seed).group for seed in range(2)]
    ours = [make_verdict(group, [90, 60, 30, 10]) for group in groups]
    same, opposite = ([make_verdict(g, s) for g in groups] for s in ([9, 8, 7, 6], [6, 7, 8, 9]))
    assert agreement(ours, same) == {"groups": 2, "rank_correlation": pytest.approx(1), "favourite": 1}
    assert agreement(ours, opposite) == {"groups": 2, "rank_correlation": pytest.approx(-1), "favourite": 0}
    flat = [make_verdict(group, [5, 5, 5, 5]) for group in groups]
    assert agreement(ours, flat)["groups"] == 0

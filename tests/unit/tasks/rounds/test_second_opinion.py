"""Two models' hypotheses judged as one group: pairs worked by hand, and what must hold of any critic."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from critique.critic import as_verdict
from storage.records import DrawnGroup, Verdict
from tasks.rounds.second_opinion import beside, preferred, share_of_pairs
from tests.factories import make_group


@dataclass(frozen=True)
class HighestFirst:
    """Critic: the first joint's height; abstains on everything below `least`."""

    least: float = -np.inf
    name: str = "highest@1"
    needs_pictures: bool = False

    def judge(self, group: DrawnGroup) -> Verdict:
        height = np.asarray(group.group.joints[:, 0, 1], np.float64)
        scores = np.where(height < self.least, np.nan, 50 + np.clip(height, -50, 50))
        return as_verdict(group.group, self.name, scores, [""] * len(height))


def drawn(height: float, size: int = 4) -> DrawnGroup:
    group = make_group(np.random.default_rng(0), size)
    joints = np.zeros_like(group.joints)
    joints[:, 0, 1] = height + np.arange(size)
    return DrawnGroup(replace(group, joints=joints), np.zeros((size, 64, 64), np.uint8), np.zeros(size, np.float32))


def test_pairs_worked_by_hand():
    """Of 2 x 3 pairs: 3 beats 1 and 2 and ties with 3; 1 ties with 1 and loses twice: (1 + 1 + 1/2 + 1/2) / 6."""
    assert share_of_pairs(np.array([3.0, 1.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(50)
    assert share_of_pairs(np.array([3.0, np.nan]), np.array([1.0, 2.0, 3.0])) == pytest.approx(250 / 3)
    assert np.isnan(share_of_pairs(np.array([np.nan]), np.array([1.0])))


def test_a_model_beside_itself_is_not_preferred_and_a_better_one_is():
    start = [drawn(0.0), drawn(5.0)]
    critics = {"second": HighestFirst(), "silent": HighestFirst(least=1e9)}
    assert preferred(critics, start, start) == {"second": 50.0, "silent": None}
    better = preferred(critics, [drawn(2.0), drawn(100.0)], start)["second"]
    assert better is not None
    assert better == pytest.approx((100 * 14 / 16 + 100) / 2)  # 2, 3, 4, 5 against 0, 1, 2, 3
    assert preferred(critics, start, [drawn(2.0), drawn(100.0)])["second"] == pytest.approx(100 - better)


def test_both_models_hypotheses_are_one_group_in_their_order():
    whole = beside(drawn(0.0, 3), drawn(10.0, 2))
    assert len(whole.group) == 5 and whole.silhouettes.shape == (5, 64, 64) and whole.penetration.shape == (5,)
    assert whole.group.joints[:, 0, 1].tolist() == [0, 1, 2, 10, 11] and whole.group.each_shape.shape == (5, 10)

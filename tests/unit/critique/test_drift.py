"""What changed between two versions of a critic, by hand, and what must hold for any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.drift import Drift, DriftSum, group_drift
from storage.records import Verdict
from tests.factories import make_group, make_verdict

NAN = float("nan")


def verdict(*scores: float, size: int | None = None, **given):
    group = make_group(np.random.default_rng(0), size or len(scores))
    return make_verdict(group, scores=scores, **given)


def drift(*pairs: tuple[Verdict, Verdict]) -> Drift:
    found = DriftSum()
    for older, newer in pairs:
        found.add(older, newer, group_drift(older, newer))
    return found.whole()


def test_a_group_by_hand():
    """Ranks 1 2 3 4 become 2 1 3 4: Spearman 1 - 6 * 2 / (4 * 15) = 0.8. The first choice stays."""
    found = group_drift(verdict(10, 20, 30, 40), verdict(20, 10, 50, 60))
    assert found is not None
    assert found.correlation == pytest.approx(0.8)
    assert (found.before, found.after, found.changed, found.loss, found.shift) == (3, 3, False, 0, 10)


def test_what_was_best_loses_what_the_newer_version_takes_off_it():
    found = group_drift(verdict(90, 80, 10), verdict(30, 75, 70))
    assert found is not None and (found.before, found.after, found.changed, found.loss) == (0, 1, True, 45)


def test_an_abstention_is_left_out_and_counted():
    older, newer = verdict(NAN, 80, 60, 70), verdict(100, 50, NAN, 60)
    found = group_drift(older, newer)
    assert found is not None and (found.before, found.after, found.hypotheses) == (1, 3, 2)
    assert np.isnan(found.correlation)  # of two values it would be 1 or -1
    whole = drift((older, newer), (older, verdict(NAN, NAN, NAN, NAN)))
    assert (whole.groups, whole.uncomparable) == (2, 1)
    assert (whole.abstained_before, whole.abstained_after) == (2, 5)


def test_all_groups_by_hand():
    same, apart = verdict(10, 20, 30), verdict(30, 20, 10)
    whole = drift((same, same), (same, apart))
    assert (whole.correlation, whole.lowest_correlation, whole.changed, whole.loss) == (0, -1, 0.5, 10)
    assert whole.changed_by_chance == pytest.approx(2 / 3)


def test_verdicts_on_two_groups_are_refused():
    with pytest.raises(ValueError, match="pair them by group"):
        group_drift(verdict(1, 2), verdict(1, 2, 3))


@given(scores=st.lists(st.integers(0, 50), min_size=3, max_size=12), shift=st.integers(0, 50))
def test_equal_ranks_change_no_first_choice(scores, shift):
    found = group_drift(verdict(*scores), verdict(*(score + shift for score in scores)))
    assert found is not None and not found.changed and found.loss == 0 and found.shift == shift
    assert np.isnan(found.correlation) or found.correlation == pytest.approx(1)

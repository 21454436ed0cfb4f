import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmr.pretraining.labels import known_people
from hmr.studio.observation import see_split
from hmr.studio.studio import SealedLabelsError
from tasks.benchmarks.check_weights import correlation, fit_shares, groups_of, labelled, ranks
from tasks.sampling import body


def test_ranks_and_correlation_by_hand():
    """Ranks 2 0 1 beside totals 3 1 2 follow each other; 0 1 2 beside them correlate with -1/2."""
    assert ranks(np.array([[9.0, 2, 5]])).tolist() == [[2, 0, 1]]
    total = torch.tensor([[3.0, 1, 2], [3, 1, 2]])
    assert correlation(total, torch.tensor([[2.0, 0, 1], [0, 1, 2]])).item() == pytest.approx((1 - 0.5) / 2)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_check_that_knows_the_error_gets_the_weight_and_the_others_their_least(seed):
    random = np.random.default_rng(seed)
    errors = random.uniform(0, 1, (40, 8))
    x = random.normal(0, 1, (40, 8, 3))
    x[..., 1] = errors * 4
    shares = fit_shares([(x, errors)], least=0.05)
    assert shares.sum() == pytest.approx(1, abs=1e-5) and (shares >= 0.05 - 1e-6).all()
    assert shares.argmax() == 1 and shares[1] > 0.7


def test_groups_are_of_the_people_given_and_of_nobody_sealed(tmp_path):
    seen = see_split("broad", 3, tmp_path)
    known = labelled(body(None), seen)
    made = groups_of(body(None), known, None, 0.0, hypotheses=4)
    assert [group.person.group_id for group in made.groups] == [f"broad-{k:06d}" for k in seen.index]
    assert made.errors.shape == (len(seen.index), 4)
    with pytest.raises(SealedLabelsError):
        known_people(body(None), "wild", seen, purpose="pretrain")

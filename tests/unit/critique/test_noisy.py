"""A teacher of known noise."""

import numpy as np
from numpy.testing import assert_allclose

from critique.noisy import NoisyCritic
from critique.scripted import ScriptedCritic
from tests.evidence_scene import TRUE_POSE, hypotheses, person_in
from tests.factories import make_verdict


def critic(noise: float, seed: int = 0) -> NoisyCritic:
    return NoisyCritic(
        ScriptedCritic(lambda drawn: make_verdict(drawn.group, [20, 50, np.nan], "own@1"), "own@1"), noise, seed
    )


def test_noise_is_added_to_the_log_odds():
    drawn = hypotheses(person_in(TRUE_POSE), [TRUE_POSE] * 3)
    assert_allclose(critic(0.0).judge(drawn).scores, [20, 50, np.nan])
    one, same, other = (critic(1.0, seed).judge(drawn).scores for seed in (0, 0, 1))
    assert np.array_equal(one, same, equal_nan=True) and not np.isclose(one[0], other[0])
    assert np.isnan(one[2])
    log_odds = np.log(one[:2] / (100 - one[:2])) - np.log(np.array([20, 50]) / np.array([80, 50]))
    double = critic(2.0).judge(drawn).scores[:2]
    assert_allclose(np.log(double / (100 - double)) - np.log(np.array([20, 50]) / np.array([80, 50])), 2 * log_odds)
    assert critic(1.0, 7).name == "noisy-1-7-own@1" == critic(1.0, 7).judge(drawn).critic

import math
from dataclasses import replace

import pytest

from hmr.alignment.guard import GuardLook, GuardSettings, StabilityGuard

START = GuardLook(step=0, zero_noise_mm=200.0, best_of_g_mm=150.0, diversity_mm=40.0)
GUARD = StabilityGuard()


def at(step, **numbers):
    return replace(START, step=step, **numbers)


def test_goes_on_while_it_gets_better_and_knows_the_best():
    history = [START, at(50, zero_noise_mm=190.0), at(100, zero_noise_mm=180.0), at(150, zero_noise_mm=185.0)]
    decision = GUARD.decide(history)
    assert not decision.stop
    assert decision.best.step == 100


@pytest.mark.parametrize(
    ("numbers", "rule"),
    [
        ({"zero_noise_mm": 210.0, "best_of_g_mm": 157.0}, "max_rise_percent"),
        ({"diversity_mm": 20.0}, "min_diversity_percent"),
        ({"winner_change": 2.1}, "max_winner_change"),
        ({"distance": 2.1}, "max_distance"),
        ({"statistic": -30.0}, "max_statistic"),
        ({"zero_noise_mm": math.nan}, "not a finite number"),
        ({"statistic": -math.inf}, "statistic not a finite number"),
        ({"gradient_norm": 320.0}, "max_gradient_growth"),
        ({"critic_score": 46.0}, "max_critic_drop"),
    ],
)
def test_each_threshold_stops_by_name_and_never_becomes_the_best(numbers, rule):
    START = at(0, critic_score=50.0)
    good = at(50, zero_noise_mm=180.0, gradient_norm=10.0, critic_score=49.0)
    better_but_broken = at(100, **{"zero_noise_mm": 100.0, **numbers})
    decision = GUARD.decide([START, good, better_but_broken])
    assert decision.stop
    assert rule in decision.reason and "step 100" in decision.reason
    assert decision.best == good


def test_convexity_is_asked_for_only_by_those_who_want_it():
    bent = [START, at(50, convexity_margin=-0.1)]
    assert not GUARD.decide(bent).stop
    decision = StabilityGuard(GuardSettings(min_convexity_margin=0.0)).decide(bent)
    assert decision.stop and "min_convexity_margin" in decision.reason


def test_every_threshold_is_told_with_what_was_measured():
    history = [START, at(50, zero_noise_mm=210.0, gradient_norm=4.0), at(100, diversity_mm=20.0, gradient_norm=8.0)]
    rules = {rule.name: rule for rule in GUARD.rules(history)}
    thresholds = set(GuardSettings.model_fields) - {"criterion", "patience", "min_gain_percent"}
    assert rules.keys() == thresholds
    assert rules["min_diversity_percent"].broken and rules["min_diversity_percent"].value == 50.0
    assert rules["max_gradient_growth"].value == 2.0 and not rules["max_gradient_growth"].broken
    assert rules["max_critic_drop"].value is None


def test_patience_counts_evaluations_without_a_new_best():
    flat = [START, *(at(50 * n) for n in range(1, 5))]
    assert not GUARD.decide(flat).stop
    decision = GUARD.decide([*flat, at(250)])
    assert decision.stop and decision.best == START


def test_noise_on_validation_does_not_replace_the_start():
    assert GUARD.decide([START, at(50, zero_noise_mm=199.9)]).best == START


@pytest.mark.parametrize(("criterion", "step"), [("zero_noise_mm", 50), ("best_of_g_mm", 100), ("both", 150)])
def test_best_by_each_criterion(criterion, step):
    history = [
        START,
        at(50, zero_noise_mm=180.0, best_of_g_mm=150.0),
        at(100, zero_noise_mm=200.0, best_of_g_mm=135.0),
        at(150, zero_noise_mm=182.0, best_of_g_mm=138.0),
    ]
    assert StabilityGuard(GuardSettings(criterion=criterion)).decide(history).best.step == step


def test_an_unusable_start_is_an_error():
    with pytest.raises(ValueError, match="evaluate once before"):
        GUARD.decide([])
    with pytest.raises(ValueError, match="before training is unusable: diversity_mm"):
        GUARD.decide([replace(START, diversity_mm=math.nan)])


def test_a_single_hypothesis_has_no_diversity_to_lose():
    single = replace(START, diversity_mm=0.0)
    assert not GUARD.decide([single, replace(single, step=50)]).stop

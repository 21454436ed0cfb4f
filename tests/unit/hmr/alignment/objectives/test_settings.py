from typing import get_args

import pytest
from pydantic import ValidationError

from hmr.alignment.objectives import OBJECTIVES, ObjectiveSettings, advice_after, beta_advice


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timesteps": (500, 500)}, "holds no step"),
        ({"timesteps": (-1, 500)}, "holds no step"),
        ({"kappa_per_beta": "auto", "advantage": {"clip": None}}, "needs a bound"),
        ({"kappa_per_beta": -1.0}, "negative"),
        ({"objective": "nft", "kappa_per_beta": 0.0}, "without a floor"),
        ({"clip_eps": 0.2}, "only the objective 'ratio'"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        ObjectiveSettings(**changes)


def test_auto_kappa_exceeds_every_loss_weight():
    settings = ObjectiveSettings(kappa_per_beta="auto", beta=10.0)
    assert settings.kappa > settings.beta * settings.advantage.clip


def test_every_objective_can_be_asked_for():
    assert set(get_args(ObjectiveSettings.model_fields["objective"].annotation)) == set(OBJECTIVES)


def test_advice_on_beta():
    assert beta_advice(1.0) is None
    assert "Lower beta" in beta_advice(7.0)
    assert "Raise beta" in beta_advice(0.01)


def test_advice_is_given_once_and_on_the_sigmoid_alone():
    sigmoid = ObjectiveSettings(objective="log_sigmoid", beta=20.0)
    rows = [{"step": float(step), "median_abs_beta_s": 7.0} for step in (49, 50, 51)]
    before, details, after = (advice_after(row, sigmoid) for row in rows)
    assert before is None and after is None
    assert details.startswith("after 50 steps, median |beta S| 7: the sigmoid is saturated") and "now 20;" in details
    assert advice_after({**rows[1], "median_abs_beta_s": 1.0}, sigmoid) is None
    assert advice_after({**rows[1], "median_abs_beta_s": float("nan")}, sigmoid) is None
    assert advice_after(rows[1], ObjectiveSettings(objective="linear")) is None

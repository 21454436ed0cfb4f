import pytest
from pydantic import ValidationError

from hmr.objectives import OBJECTIVES, PRESETS, ObjectiveSettings, beta_advice, preset


def test_presets_are_those_published():
    paper, released, stable = (PRESETS[name] for name in ("paper_eq6", "released_dgpo", "stable"))
    assert (paper.objective, paper.kappa, paper.anchor_weight, paper.timesteps) == (
        "linear",
        0.0,
        0.0,
        (0, 1000),
    )
    assert not paper.needs_reference
    assert (released.objective, released.beta, released.pref_weight) == ("log_sigmoid", 100.0, 0.1)
    assert (released.kappa, released.anchor_weight, released.timesteps) == (0.0, 1.0, (500, 1000))
    assert (stable.beta, stable.kappa, stable.anchor_weight) == (20.0, 2.0, 0.5)
    assert stable.advantage.clip == 3.0 and stable.advantage.min_std == 2.0
    assert stable == ObjectiveSettings(name="stable")
    assert all(name == settings.name for name, settings in PRESETS.items())


def test_a_changed_preset_says_so():
    changed = preset("stable", kappa_per_beta=0.0, beta=50)
    assert (changed.beta, changed.kappa, changed.name) == (50, 0, "stable, changed: beta, kappa_per_beta")
    assert preset("stable") is PRESETS["stable"]


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'stable'"):
        preset("stabel")
    with pytest.raises(ValueError, match="There are: paper_eq6"):
        preset("xyz")
    with pytest.raises(ValidationError, match="kapa"):
        preset("stable", kapa=1.0)
    with pytest.raises(ValidationError, match="frozen"):
        PRESETS["stable"].beta = 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timesteps": (500, 500)}, "holds no step"),
        ({"timesteps": (-1, 500)}, "holds no step"),
        ({"kappa_per_beta": "auto", "advantage": {"clip": None}}, "needs a bound"),
        ({"kappa_per_beta": -1.0}, "negative"),
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
    for name in OBJECTIVES:
        assert ObjectiveSettings(objective=name).objective == name


def test_advice_on_beta():
    assert beta_advice(1.0) is None
    assert "Lower beta" in beta_advice(7.0)
    assert "Raise beta" in beta_advice(0.01)

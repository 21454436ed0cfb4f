import re
from importlib import resources

import pytest
from pydantic import ValidationError

from hmr.alignment.objectives import PRESETS, ObjectiveSettings, preset, trainer_settings
from hmr.alignment.trainer import TrainSettings

FILES = {
    file.name.removesuffix(".toml"): file.read_text()
    for file in resources.files("hmr.alignment.objectives.presets").iterdir()
    if file.name.endswith(".toml")
}
OF_OTHER_OBJECTIVES = {"neg_scale", "clip_eps", "pairs", "pair_margin", "top_k", "awr_temperature"}


def test_presets_are_those_published():
    paper, released, stable = (PRESETS[name] for name in ("paper_eq6", "released_dgpo", "stable"))
    assert (paper.objective, paper.kappa, paper.anchor_weight, paper.timesteps) == ("linear", 0.0, 0.0, (0, 1000))
    assert not paper.needs_reference
    assert (released.objective, released.beta, released.pref_weight) == ("log_sigmoid", 100.0, 0.1)
    assert (released.kappa, released.anchor_weight, released.timesteps) == (0.0, 1.0, (500, 1000))
    assert (stable.beta, stable.kappa, stable.anchor_weight) == (20.0, 2.0, 0.5)
    assert stable.advantage.clip == 3.0 and stable.advantage.min_std == 2.0
    assert stable == ObjectiveSettings(name="stable")
    dpo, tuned = PRESETS["adhmr_dpo"], PRESETS["sft_best_of_g"]
    assert (dpo.objective, dpo.beta, dpo.top_k, dpo.antithetic) == ("pairwise", 50.0, 5, True)
    assert (tuned.objective, tuned.top_k, tuned.needs_reference) == ("best_of_group", 1, False)
    for published in (paper, released, dpo):
        assert published.advantage.clip is None and published.advantage.min_std == 0


def test_there_is_a_file_for_every_preset():
    assert set(PRESETS) == set(FILES) and "studio" in FILES
    assert all(name == settings.name for name, settings in PRESETS.items())


@pytest.mark.parametrize("name", FILES)
def test_every_number_has_its_source_beside_it(name):
    values = [line for line in FILES[name].splitlines() if re.match(r"\w+ *=", line)]
    bare = [line for line in values if not re.search(r"# \[(paper|notes|code|unsaid|ours)\]", line)]
    assert values and not bare


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_another_preset_in_silence(name):
    acting = set(ObjectiveSettings.model_fields) - {"name", "heads", "advantage"} - OF_OTHER_OBJECTIVES
    assert acting <= PRESETS[name].model_fields_set
    assert PRESETS[name].advantage.model_fields_set == set(type(PRESETS[name].advantage).model_fields)


def test_a_pair_preset_says_which_pairs():
    assert {"pairs", "pair_margin", "top_k"} <= PRESETS["adhmr_dpo"].model_fields_set
    assert "top_k" in PRESETS["sft_best_of_g"].model_fields_set


@pytest.mark.parametrize("name", FILES)
def test_the_trainer_takes_what_the_preset_says_of_it(name):
    given = trainer_settings(name)
    settings = TrainSettings(preset=name, **given)
    assert settings.model_dump(include=set(given)) == given
    assert {"learning_rate", "warmup", "grad_clip", "ema", "groups_per_step"} <= set(given)


def test_a_changed_preset_says_so():
    changed = preset("stable", kappa_per_beta=0.0, beta=50)
    assert (changed.beta, changed.kappa, changed.name) == (50, 0, "stable, changed: beta, kappa_per_beta")
    assert preset("stable") is PRESETS["stable"]


def test_a_part_of_the_advantage_leaves_the_rest_as_the_preset_has_it():
    changed = preset("paper_eq6", advantage={"clip": 3.0})
    expected = PRESETS["paper_eq6"].advantage.model_copy(update={"clip": 3.0})
    assert changed.advantage == expected
    assert preset("paper_eq6", advantage=expected).advantage == expected


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'stable'"):
        preset("stabel")
    with pytest.raises(ValueError, match="There are: adhmr_dpo, keep_spread, paper_eq6, "):
        trainer_settings("xyz")
    with pytest.raises(ValidationError, match="kapa"):
        preset("stable", kapa=1.0)
    with pytest.raises(ValidationError, match="cilp"):
        preset("stable", advantage={"cilp": 1.0})
    with pytest.raises(ValidationError, match="frozen"):
        PRESETS["stable"].beta = 1.0

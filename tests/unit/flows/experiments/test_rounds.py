"""The study of rounds: what each arm changes, and its numbers worked by hand."""

from pathlib import Path

import numpy as np
import pytest

from flows.experiments.rounds import ARMS, ESTIMATES, METRICS, Arm, changed, measurements, parts, rounds, rounds_parts
from tasks.run.plan import Plan
from tasks.run.settings import Align, Settings, SettingsError, Train, load_settings
from tasks.training import train_settings

PEOPLE = 4


def arm(mm: int, diversity: int = 20, headroom: dict | None = None) -> Arm:
    """Everybody's error is `mm` in zero-noise and half of it in best-of-20."""
    errors = {
        f"{estimate}/{metric}": np.full(PEOPLE, mm if estimate == "zero_noise" else mm / 2, np.float64)
        for estimate in ESTIMATES.values()
        for metric in METRICS.values()
    }
    gain = {"value": 0.0, "low": 0.0, "high": 0.0}
    summary = {
        "headroom": headroom,
        "lifting": {"lifting_world": 200.0},
        "improvement_percent": {e: {m: gain for m in METRICS.values()} for e in ESTIMATES.values()},
    }
    return Arm(errors, np.full(PEOPLE, diversity, np.float64), [summary])


def values(rows: list[dict]) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in rows}


def test_numbers_worked_by_hand():
    """250 -> 225 mm are 10 %; half of a headroom of 20 %; 10 % below DPO's 250; 225 is 12.5 % above 200 mm."""
    headroom = {"zero_noise": {"value": 20.0}, "best_of_g": {"value": 40.0}}
    found = {"group": arm(225, 15, headroom), "dpo": arm(250, 20, headroom), "shuffled": arm(255, 20, headroom)}
    details = values(measurements(arm(250), found))
    expected = {
        "rounds.zero_noise": 10, "rounds.best20": 10, "rounds.pa_zero": 10, "rounds.pve_best20": 10,
        "rounds.diversity": 75, "rounds.headroom_zero": 50, "rounds.headroom_best20": 25,
        "rounds.over_dpo": 10, "rounds.over_dpo_zero": 10, "rounds.over_lifting": -12.5,
        "rounds.dpo.zero_noise": 0, "rounds.shuffled.zero_noise": -2, "rounds.shuffled.headroom_zero": -10,
    }  # fmt: skip
    for name, value in expected.items():
        assert details[name] == pytest.approx(value), name


def test_intervals_hold_the_value():
    rng = np.random.default_rng(0)
    after = arm(200)
    noisy = after._replace(errors={key: value + rng.normal(0, 20, PEOPLE) for key, value in after.errors.items()})
    rows = measurements(arm(250), {"group": noisy})
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows if row["low"] is not None)


def test_no_share_of_a_headroom_that_nobody_measured():
    assert not [name for name in values(measurements(arm(250), {"group": arm(225)})) if "headroom" in name]


def test_an_arm_changes_what_it_names_and_nothing_else():
    later = {"steps": 50, "overrides": {"objective": "log_sigmoid"}}
    train = Train(overrides={"kappa_per_beta": 0.2, "centre_residuals": True, "share_noise": False})
    settings = Settings(train=train, align=Align(later=later))
    dpo = changed(settings, "dpo-1", {**ARMS["dpo"], "run": {"seed": 1}})
    assert dpo.run.name == "default-dpo-1" and dpo.run.seed == 1
    for number, steps in ((1, None), (2, 50)):
        training = Plan(dpo).training(number)
        assert training.steps == steps and training.overrides["objective"] == "pairwise"
        assert training.overrides["kappa_per_beta"] == 0.0 and training.overrides["centre_residuals"] is False
        assert training.overrides["share_noise"] is False
    alike = {"run": {"name", "seed"}, "overlay": {"groups_shown"}, "train": {"overrides", "preset"}, "align": {"later"}}
    assert dpo.model_dump(exclude=alike) == settings.model_dump(exclude=alike)


def test_every_part_is_another_run_that_the_trainer_takes():
    settings = load_settings(Path(__file__).parents[4] / "deploy" / "settings" / "rounds.toml")
    runs = [changed(settings, name, changes) for name, changes in parts(settings).items()]
    details = {run.model_dump_json(exclude={"run": {"name"}}) for run in runs}
    assert len(details) == len(runs) >= 9
    for run in runs:
        train_settings(Plan(run).training(1), 0), train_settings(Plan(run).training(2), 0)


def test_an_arm_or_part_that_is_not_there():
    with pytest.raises(SettingsError, match="there is no arm 'gruop'; there are group, dpo, scorer, oracle, shuffled"):
        rounds.fn(Settings(), 1, ("gruop",))
    with pytest.raises(SettingsError, match="there is no part 'tau'; there are all, temperature_2"):
        rounds_parts.fn(Settings(), ("tau",))


def test_a_pull_without_a_number_cannot_be_changed():
    settings = Settings(train=Train(overrides={"kappa_per_beta": "auto"}))
    with pytest.raises(SettingsError, match="kappa_per_beta = 'auto' cannot be made larger or smaller"):
        parts(settings)

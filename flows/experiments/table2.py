"""The study of objectives: every arm learns from one stored set of groups and verdicts (Table 2 of the paper).

One generation of the base's groups is drawn, and each critic judges it once. Then every arm trains on these verdicts
for the same number of steps. The arms of the headline train once more (`.own`) with the rate and the strength that were
best for them on `val`, out of the same number of trials for each. `test` is read once for each row.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import flow

from flows.cli.measurements import cells
from flows.experiments.coverage import observed
from flows.experiments.rounds import PAIRS, changed
from flows.record.run_labels import labelled
from flows.stages.find_people import find_people
from flows.stages.sample_groups import sample_groups
from flows.stages.score_groups import score_groups
from hmr.metrics.coverage import LEVELS
from hmr.metrics.pose_metrics import bootstrap_improvement
from tasks.benchmarking import benchmark_model, benchmark_sampler, look_at
from tasks.report.arms_page import write_arms_page
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError, Train, validate
from tasks.sampling import model
from tasks.training import Trained, train_round

NARROWING = {"objective": "nft", "kappa_per_beta": 0.1, "centre_residuals": True}
"""The objective of `group` before it kept the policy's spread."""


def _dpo(**pairs: Any) -> dict[str, Any]:
    return {"preset": "studio", "overrides": PAIRS | pairs}


class Arm(NamedTuple):
    """One row of the table: whose verdicts, and what differs from the settings' [train]."""

    critic: str | None = None  # None = the settings' own
    train: Mapping[str, Any] = {}
    strength: str = "beta"  # the number of the objective that the search varies, beside the learning rate


ARMS: Mapping[str, Arm] = {
    "sft_best": Arm(None, {"preset": "sft_best_of_g", "overrides": {"top_k": 3}}, "top_k"),
    "dpo_best_worst": Arm(None, _dpo(pairs="best_worst", top_k=1)),
    "dpo_5": Arm(None, _dpo()),
    "dpo_all": Arm(None, _dpo(pairs="all_pairs")),
    "group_linear": Arm(None, {"preset": "paper_eq6", "overrides": {}}),
    "group_dgpo": Arm(None, {"preset": "released_dgpo", "overrides": {}}),
    "group_nft": Arm(None, {"preset": "studio", "overrides": NARROWING}),
    "group": Arm(),
    "dpo_5_scorer": Arm("scorer", _dpo()),
    "group_scorer": Arm("scorer"),
    "dpo_5_panel": Arm("panel", _dpo()),
    "group_panel": Arm("panel"),
    "dpo_5_oracle": Arm("oracle", _dpo()),
    "group_oracle": Arm("oracle"),
    "shuffled": Arm("shuffled"),
}
"""The arms. `group` is the method with the settings' objective and critic."""

DECIDING = ("group", "dpo_5", "dpo_all")
"""Arms of the headline: they are run with two seeds more, and at their own best."""

RATES = (0.5, 1.0)
STRENGTHS = (1 / 3, 1.0, 3.0)
"""Factors on the learning rate and on the objective's strength that the search tries, every pair of them."""

COUNTS = (1, 5, 10, 20, 100)
METRICS = ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")
KEPT = {"mpjpe_mm": "group_mpjpe_mm", "pa_mpjpe_mm": "group_pa_mpjpe_mm", "pve_mm": "group_pve_mm"}
BASE = "base"

Floats = NDArray[np.float64]


@flow(name="experiment-table2", **labelled("experiment table2", critic=True))
def table2(
    settings: Settings, seeds: int = 3, arms: Sequence[str] = tuple(ARMS), quick: bool = False, search: bool = True
) -> list[dict[str, Any]]:
    """Train and measure every arm; finished ones are read back. Returns measurement rows; writes a page with plots.

    quick: one seed, no search, 20 hypotheses and `val` instead of `test`. search: also each arm of the headline at its
    own best. Raises SettingsError for an unknown arm.
    """
    for name in arms:
        if name not in ARMS:
            raise SettingsError(f"there is no arm '{name}'; there are {', '.join(ARMS)}")
    plan = Plan(changed(settings, "groups", {"benchmark": {"hypotheses": 20 if quick else max(COUNTS)}}))
    split = "val" if quick else "test"
    plan.check()
    with plan.held():
        plan.claim()
        find_people(plan.settings)
        sample_groups(plan.settings, 0, find=False)
        for critic in dict.fromkeys(ARMS[name].critic for name in arms):
            score_groups(judged(plan, critic).settings, [plan.gen(0)])
        look_at(plan.people("val"))
        look_at(plan.people(split))
        found = {BASE: [_measured(plan, BASE, plan.base, split)]}
        chosen = {name: (1.0, 1.0) for name in arms}
        for name in arms:
            for seed in range(1 if quick else seeds + (2 if name in DECIDING else 0)):
                trained = train_arm(plan, name, seed, (1.0, 1.0))
                found.setdefault(name, []).append(_measured(plan, f"{name}-{seed}", str(trained.checkpoint), split))
        search = search and not quick
        for name in (name for name in arms if name in DECIDING and search):
            chosen[name] = _search(plan, name)
            for seed in range(seeds + 2):
                trained = train_arm(plan, name, seed, chosen[name])
                key = f"{name}-{seed}-{chosen[name][0]:g}-{chosen[name][1]:.3g}"
                found.setdefault(f"{name}.own", []).append(_measured(plan, key, str(trained.checkpoint), split))
        rows = measurements(found, split) + _search_rows(plan, chosen, search) + _coverage_rows(plan, arms)
    write_arms_page(plan.folder / "table2", rows, best_of(found), split)
    leave_table("experiment table2", list(map(cells, rows)), f"objectives on the same verdicts, on {split}")
    return rows


def judged(plan: Plan, critic: str | None) -> Plan:
    """The plan with an arm's critic; a control permutes the scores of the settings' own."""
    if critic is None:
        return plan
    section = plan.settings.critic.named(critic)
    if critic == "shuffled":
        shuffled = section.shuffled.model_copy(update={"of": plan.settings.critic.name})
        section = section.model_copy(update={"shuffled": shuffled})
    if critic == "panel" and not section.panel.members:
        panel = section.panel.model_copy(update={"members": {"evidence": 1.0, "scorer": 1.0}})
        section = section.model_copy(update={"panel": panel})
    return Plan(plan.settings.model_copy(update={"critic": section}))


def section_of(train: Train, name: str, factors: tuple[float, float]) -> Train:
    """[train] of an arm, with its learning rate and its strength times `factors`."""
    from tasks.training import train_settings

    arm = ARMS[name]
    section = validate(Train, {**train.model_dump(), **arm.train}, "settings", "train")
    resolved = train_settings(section, 0)
    rate, strength = factors
    value = getattr(resolved.resolved(), arm.strength)
    value = type(value)(round(value * strength, 6))
    overrides = {**section.overrides, **({} if strength == 1 else {arm.strength: value})}
    return section.model_copy(update={"overrides": overrides, "learning_rate": resolved.learning_rate * rate})


def train_arm(plan: Plan, name: str, seed: int, factors: tuple[float, float]) -> Trained:
    """An arm's round with one seed, rate and strength times `factors`; a finished one is read back."""
    judge = judged(plan, ARMS[name].critic)
    label = f"seed{seed}" if factors == (1.0, 1.0) else f"seed{seed}-{factors[0]:g}-{factors[1]:.3g}"
    return train_round(
        plan.gen(0), judge.critic_name, plan.store_root, plan.base, plan.body_path, plan.folder / "arms" / name / label,
        section_of(plan.settings.train, name, factors), plan.settings.sample, plan.people("val"), seed,
        judge.settings.critic,
    )  # fmt: skip


def looks_of(plan: Plan, name: str, seed: int, factors: tuple[float, float]) -> tuple[float, float]:
    """Gain on `val`, %, of the kept step over the base: zero-noise, best of 20."""
    return kept_gain(train_arm(plan, name, seed, factors))


def kept_gain(trained: Trained) -> tuple[float, float]:
    """Gain on `val`, %, of the step that a round kept over the model it began with: zero-noise, best of 20."""
    looks = pd.read_parquet(trained.checkpoint.parent / "evaluations.parquet")
    base, best = looks.iloc[0], looks.loc[looks["step"] == trained.best_step].iloc[0]
    zero, best20 = (100 * (1 - float(best[c] / base[c])) for c in ("zero_noise_mm", "best_of_g_mm"))
    return zero, best20


def _search(plan: Plan, name: str) -> tuple[float, float]:
    """The factors whose kept step gains most on `val`, zero-noise and best of 20 together, with seed 0."""
    trials = [(rate, strength) for rate in RATES for strength in STRENGTHS]
    return max(trials, key=lambda factors: sum(looks_of(plan, name, 0, factors)))


def _search_rows(plan: Plan, chosen: Mapping[str, tuple[float, float]], search: bool) -> list[dict[str, Any]]:
    rows = []
    for name, best in chosen.items():
        searched = search and name in DECIDING
        for factors in [(rate, strength) for rate in RATES for strength in STRENGTHS] if searched else [(1.0, 1.0)]:
            for what, gain in zip(("zero_noise", "best20"), looks_of(plan, name, 0, factors)):
                metric = f"table2.search.{name}.{what}"
                rows.append(_row(metric, gain, "% less MPJPE on val", "the base before") | {
                    "rate_times": factors[0], "strength_times": factors[1], "chosen": factors == best})  # fmt: skip
    return rows


def _measured(plan: Plan, key: str, checkpoint: str, split: Any) -> Path:
    chosen = plan.settings
    return benchmark_model(
        key, checkpoint, plan.body_path, plan.people(split), chosen.benchmark, chosen.sample, chosen.critic,
        chosen.overlay, plan.benchmark(key),
    )  # fmt: skip


def _coverage_rows(plan: Plan, arms: Sequence[str]) -> list[dict[str, Any]]:
    """How often the truth of `val` lies within the spread, base and arms with seed 0."""
    names = {BASE: plan.base} | {name: str(train_arm(plan, name, 0, (1.0, 1.0)).checkpoint) for name in arms}
    rows = []
    for name, path in names.items():
        sampler = benchmark_sampler(plan.settings.sample, model(path))
        shares = observed(model(path), plan.studio("val"), sampler)
        rows += [
            _row(f"table2.{name}.coverage_{100 * level:.0f}", 100 * float(shares[level].mean()), "% of val people",
                 f"nominal {100 * level:.0f}")
            for level in LEVELS
        ]  # fmt: skip
    return rows


def _errors(paths: Sequence[Path]) -> dict[str, Floats]:
    """Errors of each person, mm, mean over seeds: by "zero_noise/mpjpe_mm", "best5/pve_mm", "diversity" and so on."""
    runs = []
    for path in paths:
        with np.load(path) as kept:
            size = kept["group_mpjpe_mm"].shape[1]
            one = {f"{e}/{m}": kept[f"{e}/{m}"] for e in ("zero_noise", "mean", "selected") for m in METRICS}
            for count in (count for count in COUNTS if count <= size):
                one |= {f"best{count}/{m}": kept[KEPT[m]][:, :count].min(1) for m in METRICS}
            runs.append(one | {"diversity": kept["diversity_mm"]})
    return {key: np.mean([run[key] for run in runs], 0) for key in runs[0]}


def best_of(found: Mapping[str, Sequence[Path]]) -> dict[str, Floats]:
    """Mean MPJPE, mm, of the best of the first 1, 2, ... hypotheses, by arm: (M,), mean over people and seeds."""
    curves = {}
    for name, paths in found.items():
        groups = [np.load(path)["group_mpjpe_mm"] for path in paths]
        curves[name] = np.mean([np.minimum.accumulate(group, 1).mean(0) for group in groups], 0)
    return curves


def measurements(found: Mapping[str, Sequence[Path]], split: str) -> list[dict[str, Any]]:
    """The numbers of the study, %, with intervals over people; `table2.<arm>` = same steps, `.own` = its own best.

    `table2.zero_noise` and `table2.best20` are those of `group`. `table2.over_dpo`: best of 20 below that of DPO on 5
    pairs, same verdicts and steps; `table2.over_dpo_best`: below all-pairs DPO, each at its own best.
    """
    errors = {name: _errors(paths) for name, paths in found.items()}
    base = errors[BASE]
    rows: list[dict[str, Any]] = []
    for name, ran in errors.items():
        for key, values in ran.items():
            estimate, _, metric = key.partition("/")
            if name == BASE:
                rows.append(_row(f"table2.base.{estimate}{_short(metric)}", float(values.mean()), "mm", None))
            elif key == "diversity":
                rows.append(_row(f"table2.{name}.diversity", 100 * float(values.mean() / base[key].mean()),
                                 "% of the base's", None))  # fmt: skip
            else:
                rows.append(_gain(f"table2.{name}.{estimate}{_short(metric)}", base[key], values, "the base", split))
    if "group" in errors:
        for estimate in ("zero_noise", "best20"):
            key = f"{estimate}/mpjpe_mm"
            rows.append(_gain(f"table2.{estimate}", base[key], errors["group"][key], "the base", split))
    for metric, ours, theirs in (
        ("table2.over_dpo", "group", "dpo_5"), ("table2.over_dpo_all", "group", "dpo_all"),
        ("table2.over_dpo_best", "group.own", "dpo_all.own"),
    ):  # fmt: skip
        if ours in errors and theirs in errors:
            for estimate, suffix in (("best20", ""), ("zero_noise", "_zero")):
                key = f"{estimate}/mpjpe_mm"
                rows.append(_gain(metric + suffix, errors[theirs][key], errors[ours][key], theirs, split))
    return rows


def _short(metric: str) -> str:
    return {"pa_mpjpe_mm": ".pa", "pve_mm": ".pve"}.get(metric, "")


def _gain(metric: str, before: Floats, after: Floats, baseline: str, split: str) -> dict[str, Any]:
    gain = bootstrap_improvement(before, after, 0)
    row = _row(metric, gain.estimate, f"% less on {split}", f"{baseline}, {before.mean():.1f} mm")
    return row | {"low": gain.low, "high": gain.high, "after_mm": float(after.mean())}


def _row(metric: str, value: float, unit: str, baseline: str | None) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "baseline": baseline, "ratio": None}

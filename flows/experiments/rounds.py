"""The study of rounds: what share of the headroom rounds of alignment gain, and what each part adds.

`rounds`: the job with the given settings, with several arms and seeds, measured on `test`. `rounds_parts`: the
same with one thing changed at a time, measured on `val` alone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import flow

from flows.align import align, improve
from flows.cli.measurements import cells
from flows.experiments.alignment import take_over
from flows.record.run_labels import labelled
from flows.stages.find_people import find_people
from hmr.metrics.pose_metrics import Interval, bootstrap_improvement
from tasks.report.summary import done_by
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError
from tasks.training import Trained, train_settings

PAIRS = {"objective": "pairwise", "beta": 5.0, "kappa_per_beta": 0.0, "pairs": "top_bottom", "top_k": 5}
"""DPO: the i-th best of a group against the i-th worst, five pairs. Its strength was chosen on `val`; as published
there is no pull to the reference."""

DPO = {"preset": "studio", "overrides": PAIRS | {"centre_residuals": False}}

ARMS: Mapping[str, Mapping[str, Any]] = {
    "group": {},
    "dpo": {"train": DPO, "align": {"later": {"overrides": DPO["overrides"]}}},
    "scorer": {"critic": {"name": "scorer"}},
    "oracle": {"critic": {"name": "oracle"}},
    "shuffled": {"critic": {"name": "shuffled"}},
}
"""Changes of each arm to the settings: section -> key -> value. `group` is the method, with the settings' critic, and
`scorer` the same with the critic that was learned from labelled people of another split."""

FADING = {"objective": "log_sigmoid", "beta": 0.3}
"""The objective of the preset `studio`: its gradient fades once a group is separated; NFT's ends only by kappa."""

TEMPERATURES = (2.0, 4.0)
"""Temperatures above 1 at which rounds are also run, to see the effect of exploration."""

ESTIMATES = {"zero": "zero_noise", "best20": "best_of_g"}
METRICS = {"": "mpjpe_mm", "pa_": "pa_mpjpe_mm", "pve_": "pve_mm"}
UNIT = "%"
PEOPLE = ("photographs", "skipped", "store/people")
"""Files that do not depend on how the rounds are run; none of them is about `test`."""

Floats = NDArray[np.float64]


class Arm(NamedTuple):
    """An arm's runs: errors of each person of `test`, mean over seeds."""

    errors: dict[str, Floats]  # (people,) mm, by "zero_noise/mpjpe_mm" and the like
    diversity: Floats
    seeds: list[dict[str, Any]]  # summaries


@flow(name="experiment-rounds", **labelled("experiment rounds", critic=True))
def rounds(settings: Settings, seeds: int = 3, arms: Sequence[str] = tuple(ARMS)) -> list[dict[str, Any]]:
    """Run each arm with each seed and measure on `test`; finished runs are read back. Returns measurement rows.

    The runs are called `<name>-<arm>-<seed>`. Raises SettingsError for an unknown arm.
    """
    _refuse_unknown("arm", arms, ARMS)
    first: Path | None = None
    folders: dict[str, list[Path]] = {arm: [] for arm in arms}
    for seed in range(seeds):
        for arm in arms:
            changes: dict[str, Mapping[str, Any]] = {**ARMS[arm], "run": {"seed": seed}}
            if arm == "shuffled":  # a control permutes the scores of the critic that it is a control for
                changes["critic"] = {**changes["critic"], "shuffled": {"of": settings.critic.name}}
            plan = Plan(changed(settings, f"{arm}-{seed}", changes))
            take_over(first, plan.folder)
            align(plan.settings)
            first = first or plan.folder
            folders[arm].append(plan.folder)
    assert first is not None
    before = _errors(first / "benchmark" / "before.npz")
    found = {arm: _arm(runs) for arm, runs in folders.items()}
    rows = [row for arm in arms for row in _rows_of_seeds(arm, found[arm])]
    rows += measurements(before, found)
    leave_table("experiment rounds", list(map(cells, rows)), "each arm and seed on test")
    return rows


def _refuse_unknown(what: str, names: Sequence[str], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise SettingsError(f"there is no {what} '{name}'; there are {', '.join(known)}")


def changed(settings: Settings, name: str, changes: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings of a run named `<name>-<own name>`, with some values changed and no groups drawn for a report."""
    values = settings.model_dump()
    values["run"]["name"] = f"{settings.run.name}-{name}"
    values["overlay"]["groups_shown"] = 0
    for section, keys in changes.items():
        for key, value in keys.items():
            merged = isinstance(value, Mapping) and isinstance(values[section][key], Mapping)
            values[section][key] = {**values[section][key], **value} if merged else value
    return Settings.model_validate(values)


def measurements(before: Arm, found: Mapping[str, Arm]) -> list[dict[str, Any]]:
    """The numbers of the study from the arms that were run, all in percent, with intervals over people.

    `rounds.headroom_*` are shares of H, `rounds.over_dpo` how much lower best-of-20 is than DPO's, and
    `rounds.over_lifting` how much lower zero-noise is than the lifting from world landmarks (below 0: higher).
    """
    rows: list[dict[str, Any]] = []
    for arm, ran in found.items():
        name = "rounds" if arm == "group" else f"rounds.{arm}"
        for short, estimate in ESTIMATES.items():
            for prefix, metric in METRICS.items():
                key = f"{estimate}/{metric}"
                details = f"{prefix}{'zero_noise' if short == 'zero' and not prefix else short}"
                rows.append(_improvement(f"{name}.{details}", before.errors[key], ran.errors[key], "the base before"))
        kept = bootstrap_improvement(before.diversity, ran.diversity, 0)
        rows.append(_row(f"{name}.diversity", 100 - kept.estimate, 100 - kept.high, 100 - kept.low, "the base before"))
        rows += _shares(name, rows, ran)
    if "group" in found:
        ran, zero = found["group"], "zero_noise/mpjpe_mm"
        if "dpo" in found:
            other = found["dpo"]
            for short, estimate in ESTIMATES.items():
                key = f"{estimate}/mpjpe_mm"
                metric = "rounds.over_dpo" if short == "best20" else "rounds.over_dpo_zero"
                rows.append(_improvement(metric, other.errors[key], ran.errors[key], "DPO on the critic's verdicts"))
        floor = ran.seeds[0]["lifting"]["lifting_world"]
        over = 100 * (1 - float(ran.errors[zero].mean()) / floor)
        rows.append(_row("rounds.over_lifting", over, None, None, f"lifting from world landmarks, {floor:.1f} mm"))
    return rows


def _shares(name: str, rows: Sequence[Mapping[str, Any]], ran: Arm) -> list[dict[str, Any]]:
    """Gains as shares of the headroom; none where it was never measured for this base."""
    headroom = ran.seeds[0]["headroom"]
    if headroom is None:
        return []
    gains = {row["metric"]: row for row in rows}
    found = []
    for short, details in (("zero", "zero_noise"), ("best20", "best20")):
        gain, whole = gains[f"{name}.{details}"], headroom[ESTIMATES[short]]["value"]
        value, low, high = (100 * gain[part] / whole for part in ("value", "low", "high"))
        found.append(_row(f"{name}.headroom_{short}", value, low, high, f"headroom H, {whole:.1f} %"))
    return found


def _improvement(metric: str, before: Floats, after: Floats, baseline: str) -> dict[str, Any]:
    gain: Interval = bootstrap_improvement(before, after, 0)
    mm = {"before_mm": float(before.mean()), "after_mm": float(after.mean())}
    return _row(metric, gain.estimate, gain.low, gain.high, f"{baseline}, {before.mean():.1f} mm") | mm


def _row(metric: str, value: float, low: float | None, high: float | None, baseline: str) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": UNIT, "baseline": baseline, "ratio": None, "low": low,
            "high": high}  # fmt: skip


def _rows_of_seeds(arm: str, ran: Arm) -> list[dict[str, Any]]:
    rows = []
    for seed, summary in enumerate(ran.seeds):
        for short, estimate in ESTIMATES.items():
            gain = summary["improvement_percent"][estimate]["mpjpe_mm"]
            after = summary["benchmark"]["after"][estimate]["mpjpe_mm"]
            row = _row(f"rounds.{arm}.seed{seed}.{short}", gain["value"], gain.get("low"), gain.get("high"),
                       "the base before")  # fmt: skip
            rows.append(row | {"after_mm": after, "best_steps": [one["best_step"] for one in summary["rounds"]]})
    return rows


def _arm(folders: Sequence[Path]) -> Arm:
    runs = [_errors(folder / "benchmark" / "after.npz") for folder in folders]
    return Arm(
        {key: np.mean([run.errors[key] for run in runs], 0) for key in runs[0].errors},
        np.mean([run.diversity for run in runs], 0),
        [json.loads((folder / "summary.json").read_text()) for folder in folders],
    )


def _errors(path: Path) -> Arm:
    with np.load(path) as kept:
        keys = [f"{estimate}/{metric}" for estimate in ESTIMATES.values() for metric in METRICS.values()]
        return Arm({key: kept[key] for key in keys}, kept["diversity_mm"], [])


# --- one thing changed at a time ------------------------------------------------------------------------------


def parts(settings: Settings) -> dict[str, Mapping[str, Mapping[str, Any]]]:
    """The changes of each variant, by its name in the measurements; `all` changes nothing.

    The brakes are the pull to the reference (kappa), the choice of the step by `val`, and the reference's age. Raises
    SettingsError if `kappa_per_beta` is 'auto', which cannot be scaled.
    """
    plan, count = Plan(settings), settings.align.rounds
    first, later = (train_settings(plan.training(number), settings.run.seed) for number in (1, 2))
    kappa = first.resolved().kappa_per_beta
    if kappa == "auto":
        raise SettingsError(
            "kappa_per_beta = 'auto' cannot be made larger or smaller: give its number in [train] overrides"
        )

    def objective(**changes: Any) -> Mapping[str, Mapping[str, Any]]:
        return {"train": {"overrides": changes}}

    return {
        "all": {},
        **{f"temperature_{t:g}": {"align": {"temperatures": (t,)}} for t in TEMPERATURES},
        "one_round_of_all_steps": {
            "align": {"rounds": 1}, "train": {"steps": first.steps + (count - 1) * later.steps},
        },
        "reference_stays_the_base": {"align": {"reference": "base"}},
        "earlier_groups_too": {"align": {"max_age": count}},
        "last_step_kept": {"train": {"keep": "last"}},
        "pull_times_3": objective(kappa_per_beta=3 * kappa),
        "pull_over_3": objective(kappa_per_beta=kappa / 3),
        "residuals_not_centred": objective(centre_residuals=False),
        "fading_objective": objective(**FADING),
        "later_rounds_fade": {"align": {"later": {"overrides": FADING}}},
    }  # fmt: skip


@flow(name="experiment-rounds-parts", **labelled("experiment rounds parts", critic=True))
def rounds_parts(settings: Settings, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run the rounds once with each of `parts` (all, or those named), and measure on `val`, which training uses anyway.

    Finished rounds are read back. Raises SettingsError for an unknown part.
    """
    known = parts(settings)
    _refuse_unknown("part", names or (), known)
    first: Path | None = None
    rows: list[dict[str, Any]] = []
    for name in names or known:
        plan = Plan(changed(settings, f"part-{name}", known[name]))
        take_over(first, plan.folder, PEOPLE)
        plan.check()
        with plan.held():
            find_people(plan.settings)
            improve(plan.settings)
        first = first or plan.folder
        rows += _rows_of_part(name, plan, done_by(plan).rounds)
    leave_table("experiment rounds parts", list(map(cells, rows)), "one thing changed at a time, on val")
    return rows


def _rows_of_part(name: str, plan: Plan, trained: Sequence[Trained]) -> list[dict[str, Any]]:
    """Gains on `val` of the policy that the last round kept, over the base."""
    looks = [pd.read_parquet(plan.round_folder(k) / "evaluations.parquet") for k in range(1, len(trained) + 1)]
    base = looks[0].iloc[0]
    last = plan.settings.train.keep == "last" and "the last is kept" in trained[-1].reason
    step = looks[-1]["step"].iloc[-1] if last else trained[-1].best_step
    policy = looks[-1].loc[looks[-1]["step"] == step].iloc[0]
    rows = []
    for details, column in (("zero_noise", "zero_noise_mm"), ("best20", "best_of_g_mm")):
        gain = 100 * (1 - policy[column] / base[column])
        row = _row(f"rounds.val.{name}.{details}", gain, None, None, f"the base before, {base[column]:.1f} mm on val")
        rows.append(row | {"best_steps": [one.best_step for one in trained]})
    kept = 100 * policy["diversity_mm"] / base["diversity_mm"]
    return [*rows, _row(f"rounds.val.{name}.diversity", kept, None, None, "the base before")]

"""Verdicts -> a better policy: one round of fine-tuning with the guard watching `val`."""

import json
import logging
from typing import Any

import pandas as pd
from prefect import flow

from flows.cli.measurements import cells
from flows.record.progress import stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from hmr.pretraining.headroom import HeadroomSettings
from storage.finished_file import write_text
from tasks.pretraining import probe_headroom as probe
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.sampling import body
from tasks.training import Trained, train_round

log = logging.getLogger(__name__)


def train(plan: Plan, round_number: int) -> Trained:
    """Fine-tune the policy of the last round on the groups it drew."""
    gen = plan.gen(round_number - 1)
    settings = plan.settings
    with stage(plan, f"train round {round_number}") as progress:
        trained = train_round(
            gen, plan.critic_name, plan.store_root, plan.policy(round_number - 1), plan.body_path,
            plan.round_folder(round_number), plan.training(round_number), settings.sample, plan.people("val"),
            settings.run.seed, settings.critic, plan.older_gens(round_number),
            plan.base if settings.align.reference == "base" else None,
        )  # fmt: skip
        progress.items = trained.best_step
    log.info("round %d: %s", round_number, trained.reason)
    looks = pd.read_parquet(plan.round_folder(round_number) / "evaluations.parquet")
    about = f"round {round_number} on val, step by step; kept: step {trained.best_step}. {trained.reason}"
    leave_table(f"training round {round_number}", looks.to_dict("records"), about)
    return trained


@flow(name="train-policy", **labelled("train", critic=True))
@alone_in_its_folder
def train_policy(settings: Settings, round_number: int = 1) -> str:
    """Train round `round_number` on the groups and verdicts of the round before; returns the checkpoint's path."""
    plan = Plan(settings)
    plan.check_second_critic()
    return str(train(plan, round_number).checkpoint)


@flow(name="probe-headroom", **labelled("probe headroom"))
@alone_in_its_folder
def probe_headroom(settings: Settings) -> list[dict[str, Any]]:
    """Measure the headroom of the run's base: supervised fine-tuning on the true labels of `wild`, which this reads."""
    plan = Plan(settings)
    with stage(plan, "probe headroom"):
        found = probe(
            plan.base, body(plan.body_path), plan.people("wild"), plan.people("val"), plan.people("test"),
            settings.benchmark.hypotheses, HeadroomSettings(seed=settings.run.seed),
        )  # fmt: skip
    path = plan.folder / "headroom.json"
    write_text(path, json.dumps([found], indent=1) + "\n")
    rows = [
        {"metric": f"headroom.{e}", "value": found[e]["value"], "unit": "% of the base's MPJPE on test",
         "baseline": f"base {plan.base}, {found[e]['before_mm']:.1f} mm",
         "ratio": found[e]["before_mm"] / found[e]["after_mm"], "low": found[e]["low"], "high": found[e]["high"],
         "labels": found["wild"]}
        for e in ("zero_noise", "best_of_g")
    ]  # fmt: skip
    leave_table("headroom", list(map(cells, rows)), "what supervised fine-tuning on true labels gains on test")
    return rows

"""Verdicts -> a better policy: one round of fine-tuning with the guard watching `val`."""

import logging

import pandas as pd
from prefect import flow

from flows.record.progress import stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from tasks.benchmarking import look_at
from tasks.run.artifacts import leave_table
from tasks.run.events import tell_event
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.training import Trained, train_round

log = logging.getLogger(__name__)


@flow(name="train-policy", **labelled("train", critic=True))
@alone_in_its_folder
def train_policy(settings: Settings, round_number: int = 1, groups: str | None = None) -> Trained:
    """Train round `round_number`: fine-tune the policy of the previous round on its groups and their verdicts.

    groups: the generation to train on instead, as of other models' predictions, which the policy did not draw. Raises
    SettingsError if the run has no such groups.
    """
    plan = Plan(settings)
    plan.check_second_critic()
    gen, section = plan.gen(round_number - 1), plan.training(round_number)
    if groups is not None and groups != gen:
        (gen,) = plan.gens([groups], "train on")
        section = section.model_copy(update={"off_policy": True})
        log.info("round %d trains on groups of '%s', which the policy did not draw", round_number, gen)
    with stage(plan, "look at val") as progress:
        progress.items = look_at(plan.people("val"))
    with stage(plan, f"train round {round_number}") as progress:
        trained = train_round(
            gen, plan.critic_of(gen), plan.store_root, plan.policy(round_number - 1), plan.body_path,
            plan.round_folder(round_number), section, settings.sample, plan.people("val"),
            settings.run.seed, settings.critic, plan.older_gens(round_number),
            plan.base if settings.align.reference == "base" else None,
        )  # fmt: skip
        progress.items = trained.best_step
    log.info("round %d: %s", round_number, trained.reason)
    looks = pd.read_parquet(plan.round_folder(round_number) / "evaluations.parquet")
    about = f"round {round_number} on val, step by step; kept: step {trained.best_step}. {trained.reason}"
    leave_table(f"training round {round_number}", looks.to_dict("records"), about)
    told = {"round": round_number, "best_step": trained.best_step, "reason": trained.reason}
    tell_event("round-trained", settings.run.name, **told)
    if trained.reason.startswith("stopped"):
        tell_event("rolled-back", settings.run.name, **told)
    return trained

"""Verdicts -> a better policy: one round of fine-tuning with the guard watching `val`."""

from prefect import flow

from flows.progress import stage
from tasks.plan import Plan
from tasks.settings import Settings
from tasks.training import Trained, train_round


def train(plan: Plan, round_number: int) -> Trained:
    """Fine-tune the policy of the last round on the groups it drew."""
    gen = f"round{round_number - 1}"
    with stage(plan, f"train round {round_number}") as progress:
        trained = train_round(
            gen, plan.critic_name, plan.store_root, plan.policy(round_number - 1), plan.body_path,
            plan.round_folder(round_number), plan.settings.train, plan.people("val"), plan.settings.run.seed,
        )  # fmt: skip
        progress.items = trained.best_step
    return trained


@flow(name="train-policy")
def train_policy(settings: Settings, round_number: int = 1) -> str:
    """Train round `round_number` on the groups and verdicts of the round before; returns the checkpoint's path."""
    plan = Plan(settings)
    return str(train(plan, round_number).checkpoint)

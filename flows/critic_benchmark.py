"""How well a critic judges people whose truth is known."""

from typing import Any, cast

from prefect import flow

from flows.progress import tracked
from flows.run_benchmark import SPLITS
from hmr.studio import Split
from tasks.critic_benchmark import KINDS, ablated, judge_drawn, measure, model_groups, perturbed_groups
from tasks.judging import make_critic
from tasks.plan import Plan
from tasks.sampling import body, model
from tasks.settings import Settings, SettingsError

KEPT = ("srcc", "krcc", "plcc", "top1_regret_mm")
"""What is told of an ablation."""


@flow(name="critic-benchmark", flow_run_name="{settings.critic.name}")
def critic_benchmark(
    settings: Settings, kind: str | None = None, split: str = "test", temperature: float = 1.0, ablations: bool = False
) -> list[dict[str, Any]]:
    """Judge `perturbed` groups, `model` groups or both (none named) of a split and measure the critic.

    ablations: also without each kind of evidence, as `critic.<kind>.without_<what>.srcc` and the like.
    """
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"there are no '{kind}' groups; there are {' and '.join(KINDS)}")
    if split not in SPLITS:
        raise SettingsError(f"the benchmark has no split '{split}'; it has {', '.join(SPLITS)}")
    plan = Plan(settings)
    frame, people, size = body(plan.body_path), plan.people(cast(Split, split)), settings.benchmark.hypotheses
    sections = {"": settings.critic, **(ablated(settings.critic) if ablations else {})}
    critics = {name: make_critic(section, seed=0) for name, section in sections.items()}
    if any(critic.needs_pictures for critic in critics.values()):
        raise SettingsError(
            f"critic '{settings.critic.name}' looks at pictures, and the critic benchmark draws none; "
            "choose one that does not, such as evidence or scorer"
        )
    rows: list[dict[str, Any]] = []
    for each in KINDS if kind is None else (kind,):
        made = (
            perturbed_groups(frame, people, hypotheses=size)
            if each == "perturbed"
            else model_groups(model(plan.base), frame, people, hypotheses=size, temperature=temperature)
        )
        judged = judge_drawn(frame, tracked(made.groups, f"judge {each} groups"), critics)
        for name, verdicts in judged.items():
            part = f"{each}.without_{name}" if name else each
            found = measure(verdicts, made.errors, part, settings.benchmark.bootstrap)
            rows += found if not name else [r for r in found if r["metric"].rpartition(".")[2] in KEPT]
    about = {"split": split, "hypotheses": size}
    drawn = {"base": plan.base, "temperature": temperature}
    return [row | about | (drawn if row["metric"].startswith("critic.model.") else {}) for row in rows]

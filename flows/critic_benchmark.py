"""How well a critic judges people whose truth is known."""

from itertools import chain
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

KEPT = (".srcc", "_srcc", ".krcc", "_krcc", ".plcc", "_plcc", "top1_regret_mm")
"""What is told of an ablation."""

PART = 32
"""Groups between two signs of progress."""


@flow(name="critic-benchmark", flow_run_name="{settings.critic.name}")
def critic_benchmark(
    settings: Settings, kind: str | None = None, split: str = "test", temperature: float = 1.0, ablations: bool = False
) -> list[dict[str, Any]]:
    """Judge `perturbed` groups, `model` groups or both (none named) of a split and measure the critic.

    ablations: also without each kind of evidence, as `critic.without_<what>.srcc` and the like.
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
        parts = [made.groups[k : k + PART] for k in range(0, len(made.groups), PART)]
        judged = judge_drawn(frame, chain.from_iterable(tracked(parts, f"judge {each} groups")), critics)
        for name, verdicts in judged.items():
            found = measure(verdicts, made.errors, each, settings.benchmark.bootstrap, name)
            rows += [row for row in found if not name or row["metric"].endswith(KEPT)]
    about = {"split": split, "hypotheses": size}
    drawn = {"base": plan.base, "temperature": temperature}
    return [row | about | (drawn if row["groups"] == "model" else {}) for row in rows]

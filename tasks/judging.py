"""Stage 3: a critic's verdict on each group of a shard."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from critique.cache import FILE
from critique.critic import Critic
from critique.evidence import CHECKS, SEES, EvidenceCritic, EvidenceSettings
from critique.oracle import OracleCritic
from critique.panel import Member, PanelCritic
from critique.scorer import ScorerCritic, ScorerSettings
from critique.shuffled import ShuffledCritic
from critique.vlm_settings import VlmSettings
from hmr.overlay import open_renderer
from storage.group_store import GroupStore
from storage.records import DrawnGroup, Group, Verdict
from tasks.drawing import draw_group
from tasks.remembering import vlm_critic
from tasks.retrying import may_pass
from tasks.sampling import body
from tasks.scorenet import scorenet_critic
from tasks.settings import CriticSection, Overlay, SettingsError, validate

log = logging.getLogger(__name__)

Errors = Callable[[Group], NDArray[np.floating]]

CRITICS = ("evidence", "scorer", "scorenet", "vlm", "panel", "reprojection", "physics", "oracle", "shuffled")

FAULTS = {"timeout", "rate_limited", "server_error"}
"""Statuses of a server that could not answer; what has these alone was not judged."""

_FAMILIES = {"reprojection": ("reprojection", "silhouette"), "physics": tuple(set(CHECKS) - set(SEES))}
"""Parts of the evidence critic that are critics by themselves, for panels and as monitors; their checks count alike."""


def make_critic(
    settings: CriticSection, seed: int, truth: Errors | None = None, folder: Path | None = None
) -> Critic:
    """The critic that the settings name. `oracle` needs ground truth, which only the studio has.

    folder: of the run; a remote critic keeps its paid answers and its ledger there. Without one it keeps none.
    """
    if settings.name in _FAMILIES:
        weights = {name: float(name in _FAMILIES[settings.name]) for name in CHECKS}
        return EvidenceCritic(EvidenceSettings(**weights), f"{settings.name}@2")
    if settings.name == "panel":
        if not settings.panel.members or {"panel", "shuffled"} & set(settings.panel.members):
            raise SettingsError(
                "critic 'panel' needs members, other critics by name: "
                "[critic.panel] members = { evidence = 1.0, vlm = 2.0 }"
            )
        members = (
            Member(make_critic(settings.model_copy(update={"name": name}), seed, truth, folder), weight)
            for name, weight in settings.panel.members.items()
        )
        return PanelCritic(tuple(members), settings.panel.combine)
    if settings.name == "evidence":
        return EvidenceCritic(validate(EvidenceSettings, settings.evidence, "settings", "critic.evidence"))
    if settings.name == "scorer":
        return ScorerCritic(validate(ScorerSettings, settings.scorer, "settings", "critic.scorer"))
    if settings.name == "scorenet":
        return scorenet_critic(settings.scorenet)
    if settings.name == "vlm":
        cache = None if folder is None else folder / FILE
        return vlm_critic(validate(VlmSettings, settings.vlm, "settings", "critic.vlm"), cache)
    if settings.name == "shuffled":
        return ShuffledCritic(make_critic(settings.named(settings.shuffled.of), seed, truth, folder), seed)
    if settings.name == "oracle":
        if truth is None:
            raise SettingsError(
                "critic 'oracle' judges by ground truth, and these photographs have none; "
                "use it on the embedded studio (without --images), or choose evidence, scorer, scorenet or vlm"
            )
        return OracleCritic(truth)
    raise SettingsError(f"there is no critic '{settings.name}'; there are {', '.join(CRITICS)}")


@task(
    retries=2,
    retry_condition_fn=may_pass,
    retry_delay_seconds=[5, 30],
    cache_policy=NO_CACHE,
    task_run_name="judge {gen} {shard}",
)
def judge_groups(
    shard: str,
    gen: str,
    run: str,
    store_root: Path,
    body_path: Path | None,
    settings: CriticSection,
    overlay: Overlay,
    seed: int,
    truth: Errors | None = None,
) -> dict[str, int]:
    """Have a shard's groups judged and commit the verdicts; returns how many hypotheses were scored and not.

    If a server gave nothing but faults, nothing is committed: the next run judges the shard again.
    """
    store = GroupStore(store_root)
    critic = make_critic(settings, seed, truth, store_root.parent)
    if shard in store.verdict_shards(gen, critic.name):
        verdicts = store.read_verdicts(gen, critic.name, shard)
    else:
        verdicts = judge_all(store.read_groups(gen, shard), critic, body_path, overlay)
        if verdicts and all(set(v.statuses) <= FAULTS for v in verdicts):
            log.warning("shard %s of %s was not judged: %s", shard, gen, verdicts[0].comments[0])
        else:
            store.write_verdicts(gen, critic.name, run, shard, verdicts)
    scored = sum(int((~np.isnan(v.scores)).sum()) for v in verdicts)
    return {"scored": scored, "abstained": sum(len(v.scores) for v in verdicts) - scored}


def judge_all(groups: list[Group], critic: Critic, body_path: Path | None, overlay: Overlay) -> list[Verdict]:
    """Verdicts on groups, in order; pictures are drawn only for a critic that looks at them."""
    renderer = open_renderer(overlay.backend) if critic.needs_pictures else None
    whole = getattr(critic, "frame", "person") == "photograph"
    draw: Callable[[Group], DrawnGroup] = partial(
        draw_group, body(body_path), renderer=renderer, size=overlay.size, whole=whole
    )
    try:
        hand_in: Any = getattr(critic, "hand_in", None)
        if hand_in is not None and critic.settings.batch:  # type: ignore[attr-defined]
            asyncio.run(hand_in(map(draw, groups)))  # what it brings, `judge_many` finds in the cache
        many: Any = getattr(critic, "judge_many", None)
        if many is not None:  # many requests in flight, or groups in batches; they are drawn as they are taken
            return asyncio.run(many(map(draw, groups)))
        return [critic.judge(draw(group)) for group in groups]
    finally:
        if renderer is not None:
            renderer.close()

"""Stage 4: a critic's verdict on each group of a shard."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from critique.critic import BatchCritic, Critic, ManyCritic, needs_of
from critique.endpoint.cache import FILE
from critique.evidence import CHECKS, SEES, EvidenceCritic, EvidenceSettings
from critique.noisy import NoisyCritic
from critique.oracle import OracleCritic
from critique.panel import Member, PanelCritic
from critique.scale import scale_fault
from critique.scorer import ScorerCritic, ScorerSettings
from critique.shuffled import ShuffledCritic
from critique.vlm.vlm_settings import VlmSettings
from storage.group_store import GroupStore
from storage.picture_store import PictureStore
from storage.records import UNREADABLE, DrawnGroup, Group, Verdict
from tasks.critics.critic_record import about
from tasks.critics.judges import cascade_critic, distilled_critic
from tasks.critics.pending import note_pending
from tasks.critics.remembering import vlm_critic
from tasks.critics.scorenet import scorenet_critic
from tasks.groups.overlays import drawn_groups, picture_store
from tasks.run.settings import CriticSection, OverlaySection, SettingsError, validate
from tasks.run.shard_task import task
from tasks.run.slots import VLM, slot

log = logging.getLogger(__name__)

COUNTS = ("scored", "abstained", "pending", "failed_groups")

Errors = Callable[[Group], NDArray[np.floating]]

CRITICS = (
    "evidence", "scorer", "scorenet", "vlm", "panel", "distilled", "cascade", "reprojection", "physics", "oracle",
    "shuffled", "noisy",
)  # fmt: skip

_FAMILIES = {"reprojection": ("reprojection", "silhouette"), "physics": tuple(set(CHECKS) - set(SEES))}
"""Parts of the evidence critic as critics of their own, for panels and as monitors; their checks have equal weights."""


def make_critic(
    settings: CriticSection,
    seed: int,
    truth: Errors | None = None,
    folder: Path | None = None,
    anew: bool = False,
    gen: str | None = None,
) -> Critic:
    """The critic that the settings name. `oracle` needs ground truth: the studio has it, and some records.

    folder: of the run; a remote critic stores its paid answers and its ledger there. Without one it stores none. anew:
    a remote critic asks again where its stored answers could not be read. gen: the generation that is judged, whose
    judge and answers a cascade takes. Raises SettingsError for an unknown critic,
    for invalid settings of it, for `oracle` without `truth`, and for a panel without members or with a panel or
    `shuffled` in it.
    """
    if settings.name in _FAMILIES:
        weights = {name: float(name in _FAMILIES[settings.name]) for name in CHECKS}
        return EvidenceCritic(EvidenceSettings(**weights), f"{settings.name}@2")
    if settings.name == "panel":
        if not settings.panel.members or {"panel", "shuffled", "noisy", "cascade"} & set(settings.panel.members):
            raise SettingsError(
                "critic 'panel' needs members, other critics by name: "
                "[critic.panel] members = { evidence = 1.0, vlm = 2.0 }"
            )
        members = (
            Member(make_critic(settings.model_copy(update={"name": name}), seed, truth, folder, anew), weight)
            for name, weight in settings.panel.members.items()
        )
        return PanelCritic(tuple(members), settings.panel.combine)
    if settings.name == "evidence":
        return EvidenceCritic(validate(EvidenceSettings, settings.evidence, "settings", "critic.evidence"))
    if settings.name == "scorer":
        return ScorerCritic(validate(ScorerSettings, settings.scorer, "settings", "critic.scorer"))
    if settings.name == "scorenet":
        return scorenet_critic(settings.scorenet)
    if settings.name == "distilled":
        return distilled_critic(settings.distilled)
    if settings.name == "cascade":
        teacher = make_critic(settings.named(settings.cascade.teacher), seed, truth, folder, anew)
        return cascade_critic(settings.cascade, teacher.name, folder, gen)
    if settings.name == "vlm":
        cache = None if folder is None else folder / FILE
        return vlm_critic(validate(VlmSettings, settings.vlm, "settings", "critic.vlm"), cache, anew)
    if settings.name == "shuffled":
        return ShuffledCritic(make_critic(settings.named(settings.shuffled.of), seed, truth, folder, anew, gen), seed)
    if settings.name == "noisy":
        inner = make_critic(settings.named(settings.noisy.of), seed, truth, folder, anew)
        return NoisyCritic(inner, settings.noisy.noise, settings.noisy.seed)
    if settings.name == "oracle":
        if truth is None:
            raise SettingsError(
                "critic 'oracle' judges by ground truth, and these photographs have none: use it on the embedded "
                "studio (without --images) or on [data] train with joints in space, or choose evidence, scorer, "
                "scorenet or vlm"
            )
        return OracleCritic(truth)
    raise SettingsError(f"there is no critic '{settings.name}'; there are {', '.join(CRITICS)}")


@task(task_run_name="score {gen} {shard}: {settings.name}", retries=2, retry_delay_seconds=(5, 30))
def score_shard(
    shard: str,
    gen: str,
    run: str,
    store_root: Path,
    body_path: Path | None,
    settings: CriticSection,
    overlay: OverlaySection,
    seed: int,
    truth: Errors | None = None,
    retry_abstained: bool = False,
    processes: int = 1,
    only: tuple[int, ...] | None = None,
) -> dict[str, int]:
    """Have the groups of a shard judged that have no verdict (of those in `only`, if given), and commit the verdicts.

    If a temporary fault kept a group from being judged, it is pending: no verdict is stored, and the next run tries
    again. `retry_abstained` also judges groups again whose answers could not be read. `only`: places of groups in the
    shard, see `GroupStore.group_ids`; no other one is judged. Returns how many hypotheses were `scored`, `abstained` on
    and `pending`, and how many groups have no score because of a fault (`failed_groups`).
    """
    store, folder = GroupStore(store_root), store_root.parent
    critic = make_critic(settings, seed, truth, folder, retry_abstained, gen)
    name = critic.name
    judged = shard in store.verdict_shards(gen, name)
    kept = {verdict.group_id: verdict for verdict in store.read_verdicts(gen, name, shard)} if judged else {}
    open_ids = set(store.unjudged(gen, name, shard))
    if retry_abstained:
        open_ids |= {group_id for group_id, verdict in kept.items() if not UNREADABLE.isdisjoint(verdict.statuses)}
    chosen = None
    if only is not None:
        ids = store.group_ids(gen, shard)
        chosen = {ids[place] for place in only}
        open_ids &= chosen
    if open_ids or (not judged and chosen is None):
        store.describe_critic(name, about(critic, settings, folder))
        asked = [group for group in store.read_groups(gen, shard) if group.person.group_id in open_ids]
        with slot(VLM, settings.asks_server and bool(asked)):
            verdicts = judge_all(asked, critic, body_path, overlay, processes, picture_store(store_root))
        final = [verdict for verdict in verdicts if not verdict.pending]
        note_pending(folder, name, gen, shard, open_ids, (verdict for verdict in verdicts if verdict.pending))
        if final or not asked:
            store.add_verdicts(gen, name, run, shard, final)
        kept = {group_id: verdict for group_id, verdict in kept.items() if not verdict.pending}
        kept |= {verdict.group_id: verdict for verdict in final}
        if fault := scale_fault(kept.values()):
            log.warning("%s: %s", name, fault)
    sizes = store.hypotheses_of(gen, shard)
    if chosen is not None:
        sizes = {key: size for key, size in sizes.items() if key in chosen}
        kept = {key: verdict for key, verdict in kept.items() if key in chosen}
    return counts_of(sizes, kept)


def verdict_counts(store: GroupStore, gen: str, critic: str) -> dict[str, int]:
    """The counts of `score_shard` for all shards of a generation, from the store."""
    total: dict[str, int] = dict.fromkeys(COUNTS, 0)
    judged = store.verdict_shards(gen, critic)
    for shard in store.group_shards(gen):
        verdicts = store.read_verdicts(gen, critic, shard) if shard in judged else []
        final = {verdict.group_id: verdict for verdict in verdicts if not verdict.pending}
        for name, count in counts_of(store.hypotheses_of(gen, shard), final).items():
            total[name] += count
    return total


def counts_of(sizes: dict[str, int], verdicts: dict[str, Verdict]) -> dict[str, int]:
    """The counts of `score_shard`.

    sizes: number of hypotheses of each group, by group id; verdicts: the final ones, by group id.
    """
    scored = sum(int((~np.isnan(verdict.scores)).sum()) for verdict in verdicts.values())
    pending = [group_id for group_id in sizes if group_id not in verdicts]
    unread = [v for v in verdicts.values() if np.isnan(v.scores).all() and not UNREADABLE.isdisjoint(v.statuses)]
    return {
        "scored": scored,
        "abstained": sum(len(verdict.scores) for verdict in verdicts.values()) - scored,
        "pending": sum(sizes[group_id] for group_id in pending),
        "failed_groups": len(pending) + len(unread),
    }


def drawn_for(
    critic: Critic, groups: Sequence[Group], body_path: Path | None, overlay: OverlaySection, processes: int = 1,
    kept: PictureStore | None = None,
) -> Iterator[DrawnGroup]:  # fmt: skip
    """The groups drawn, as far as the critic needs it."""
    needs = needs_of(critic)
    return drawn_groups(
        groups, body_path, overlay, sight=needs.sight, kept=kept, processes=processes, shapes=needs.shapes,
        pack=needs.pack,
    )  # fmt: skip


def judge_all(
    groups: list[Group], critic: Critic, body_path: Path | None, overlay: OverlaySection, processes: int = 1,
    kept: PictureStore | None = None,
) -> list[Verdict]:  # fmt: skip
    """Verdicts on groups, in order; pictures are drawn only for a critic that looks at them, by several processes.

    kept: the store of pictures that were drawn already.
    """

    def drawn() -> Iterator[DrawnGroup]:
        return drawn_for(critic, groups, body_path, overlay, processes, kept)

    if isinstance(critic, BatchCritic) and critic.by_batch:
        asyncio.run(critic.ask_by_batch(drawn()))  # `judge_many` finds the answers in the cache
    if isinstance(critic, ManyCritic):  # they are drawn as they are taken
        return asyncio.run(critic.judge_many(drawn()))
    return [critic.judge(group) for group in drawn()]

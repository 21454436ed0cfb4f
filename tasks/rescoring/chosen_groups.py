"""Which groups are judged again: those that lack a verdict of the critic, in an order, within a budget.

Nothing is sent and no mesh is read: groups and verdicts are counted from manifests, so that a plan for millions of
groups takes seconds. Names of groups are read only for a pattern that is about them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from critique.endpoint.cache import Spent, read_ledger
from critique.memory.memory import Memory
from critique.vlm.cost import Estimate, estimate
from critique.vlm.vlm_critic import name_of
from critique.vlm.vlm_settings import VlmSettings
from storage.group_store import GroupStore, Lacking
from tasks.critics.remembering import memory_of
from tasks.run.settings import Settings, SettingsError, validate

_AT_ONCE = 8  # shards of which names are read at once


class Portion(NamedTuple):
    """Groups of one shard."""

    gen: str
    shard: str
    sizes: NDArray[np.int64]  # hypotheses of each
    places: NDArray[np.int64] | None = None  # among the groups of the shard; None = all of them

    def only(self, which: NDArray) -> "Portion":
        """Some of the groups: their indices among these, or a mask."""
        return self._replace(sizes=self.sizes[which], places=self.all_places[which])

    @property
    def all_places(self) -> NDArray[np.int64]:
        """The places, also of all groups."""
        return np.arange(len(self.sizes)) if self.places is None else self.places


class Remote(NamedTuple):
    """A critic that asks a server: what its answers cost, and which rules it is shown."""

    settings: VlmSettings
    memory: Memory
    overlay_size: int  # px
    measured: Spent | None  # what answers of this same critic took so far

    def cost(self, groups: Mapping[int, int]) -> Estimate:
        """The cost of judging `groups[g]` groups of g hypotheses."""
        prototypes = min(len(self.memory.prototypes), self.settings.recall.prototypes)
        return estimate(self.settings, groups, self.overlay_size, prototypes, self.measured)

    def money_of_group(self, size: int) -> float:
        """Money for one group of so many hypotheses."""
        return self.cost({size: 1000}).money / 1000


class Choice(NamedTuple):
    """What a run of `rescore` will judge, and what that is estimated to cost."""

    critic: str  # name and version
    against: str | None  # the version that it is compared with; None = no other one has judged
    lacking: int  # groups that the critic has not judged
    matching: int  # of them, those that [rescore] where names
    portions: tuple[Portion, ...]  # in the order in which they are judged
    estimate: Estimate | None  # None: no server is asked
    new_rules: tuple[str, ...]  # texts of rules in the critic's memory that no stored verdict has used

    @property
    def groups(self) -> int:
        """How many groups are judged."""
        return count_of(self.portions)

    @property
    def money(self) -> float:
        """What judging is estimated to cost, in the currency of the configured prices; 0 without a server."""
        return self.estimate.money if self.estimate else 0.0

    def rows(self) -> list[dict[str, str]]:
        """The plan as a table."""
        hypotheses = sum(int(portion.sizes.sum()) for portion in self.portions)
        rows = [
            ("critic", self.critic),
            ("compared with", self.against or "nobody: no other version has judged here"),
            ("groups without its verdict", f"{self.lacking:,}"),
            ("of them asked for", f"{self.matching:,}"),
            ("judged now", f"{self.groups:,} groups, {hypotheses:,} hypotheses"),
        ]
        if self.estimate is None:
            rows.append(("money", "0: no server is asked"))
        else:
            found = self.estimate
            basis = "means of this critic's answers" if found.measured else "rules of thumb; none was measured yet"
            rows += [
                ("requests", f"{found.requests:,} with {found.pictures:,} pictures"),
                ("tokens", f"{found.prompt_tokens:,} in, {found.completion_tokens:,} out ({basis})"),
                ("money", f"{found.money:,.2f}"),
                ("hours", f"{found.hours:,.1f}"),
            ]
        rows += [("rule used for the first time", text) for text in self.new_rules]
        return [{"what": what, "value": value} for what, value in rows]


def choose(settings: Settings, critic: str, store: GroupStore) -> Choice:
    """What would be judged now by the critic with this name and version.

    Raises SettingsError if `[rescore] against` has not judged here, or if a budget is given without prices.
    """
    how, remote = settings.rescore, remote_critic(settings)
    if how.budget is not None and remote and not remote.settings.prompt_price + remote.settings.completion_price:
        raise SettingsError(
            "[rescore] budget needs prices: set prompt_price and completion_price in [critic.vlm], or limit the "
            "number of groups ([rescore] groups, --groups)"
        )
    gens = store.gens()[::-1]
    against = compared_with(store, critic, how.against)
    whole = [portion for gen in gens for portion in lacking_in(store, gen, critic)]
    wanted = matching(store, whole, how.where)
    order = most_unsure_first(store, wanted, against) if how.order == "uncertain" and against is not None else None
    prices = {size: remote.money_of_group(size) for size in sizes_of(wanted)} if remote else {}
    portions = within(wanted, prices, how.budget, how.groups, order)
    return Choice(
        critic=critic,
        against=against,
        lacking=count_of(whole),
        matching=count_of(wanted),
        portions=tuple(portions),
        estimate=remote.cost(sizes_of(portions)) if remote else None,
        new_rules=_new_rules(remote.memory, store) if remote else (),
    )


def remote_critic(settings: Settings) -> Remote | None:
    """The part of the critic that asks a server; None if it asks none."""
    section, folder = settings.critic, settings.run.folder
    if not section.asks_server:
        return None
    vlm = validate(VlmSettings, section.vlm, "settings", "critic.vlm")
    memory = memory_of(vlm, folder)
    name = name_of(vlm, memory)
    measured = next((line for line in read_ledger(folder) if line.critic == name), None)
    return Remote(vlm, memory, settings.overlay.size, measured)


def compared_with(store: GroupStore, critic: str, named: str | None = None) -> str | None:
    """The version that a critic is compared with: the one named, else the last other version of it that judged here,
    else the last other critic.

    None if no other one has judged. Raises SettingsError if the one named has not.
    """
    last = {
        name: judged
        for gen in store.gens()
        for name in store.critics(gen)
        if name != critic and (judged := store.last_judged(gen, name))
    }
    if named is not None:
        if named not in last:
            raise SettingsError(
                f"{store.root}: critic '{named}', to compare with, has not judged here; "
                f"others that have: {', '.join(sorted(last)) or 'none'}"
            )
        return named
    kind = critic.partition("@")[0]
    return max(last, key=lambda name: (name.partition("@")[0] == kind, last[name]), default=None)


def lacking_in(store: GroupStore, gen: str, critic: str) -> list[Portion]:
    """The groups of a generation without a verdict of a critic, the newest shard first."""
    found = store.lacking_groups(gen, critic)
    return [Portion(gen, shard, *lacking) for shard, lacking in reversed(found.items()) if len(lacking.sizes)]


def matching(store: GroupStore, portions: Sequence[Portion], where: str) -> list[Portion]:
    """The groups whose "<generation>/<group id>" matches a pattern."""
    known = {gen: matches_all(gen, where) for gen in {portion.gen for portion in portions}}

    def kept(portion: Portion) -> Portion:
        if (all_or_none := known[portion.gen]) is not None:
            return portion if all_or_none else portion.only(np.array([], np.int64))
        ids = store.group_ids(portion.gen, portion.shard)
        mask = np.array([fnmatchcase(f"{portion.gen}/{ids[place]}", where) for place in portion.all_places], bool)
        return portion if mask.all() else portion.only(mask)

    if None in known.values():
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(kept, portions))
    else:
        found = map(kept, portions)
    return [portion for portion in found if len(portion.sizes)]


def matches_all(gen: str, where: str) -> bool | None:
    """Whether a pattern takes all groups of a generation, or none of them; None if that is a matter of their names."""
    if where.endswith("*") and fnmatchcase(f"{gen}/", where):  # then whatever follows the slash matches too
        return True
    plain = re.split(r"[*?[]", where, maxsplit=1)[0]
    begin = f"{gen}/"
    return None if begin.startswith(plain) or plain.startswith(begin) else False


def most_unsure_first(store: GroupStore, portions: Sequence[Portion], critic: str) -> Int[np.ndarray, " group"]:
    """The order of all groups of these portions in which those come first about which another critic was least sure.

    Groups that it has not judged lead; of equal ones the first.
    """
    unsure: dict[tuple[str, str], NDArray[np.float32]] = {}
    for gen in {portion.gen for portion in portions}:
        own = {one.shard: Lacking(one.sizes, one.places) for one in portions if one.gen == gen}
        unsure |= {(gen, shard): each for shard, each in store.unsureness(gen, critic, own).items()}
    all_ = np.concatenate([np.empty(0, np.float32), *(unsure[one.gen, one.shard] for one in portions)])
    return np.argsort(-all_, kind="stable")


def within(
    portions: Sequence[Portion],
    prices: Mapping[int, float],
    budget: float | None,
    most: int | None,
    order: Int[np.ndarray, " group"] | None = None,
) -> list[Portion]:
    """The first groups that a budget pays for, at most so many; the chosen groups of a shard are one portion.

    prices: money for a group of so many hypotheses; sizes that it lacks cost nothing. order: of all groups, as
    `most_unsure_first` gives it; as they come by default.
    """
    sizes = _joined([portion.sizes for portion in portions])
    order = np.arange(len(sizes)) if order is None else order
    spent = np.cumsum(_priced(sizes[order], prices))
    count = len(order) if budget is None else int(np.searchsorted(spent, budget, side="right"))
    chosen = order[: count if most is None else min(count, most)]
    lengths = np.array([len(portion.sizes) for portion in portions], np.int64)
    owner = np.repeat(np.arange(len(portions)), lengths)[chosen]
    begins = np.cumsum(lengths) - lengths
    numbers, first, counts = np.unique(owner, return_index=True, return_counts=True)
    own = np.split(chosen[np.argsort(owner, kind="stable")], np.cumsum(counts)[:-1])
    taken: list[Portion] = []
    for k in np.argsort(first).tolist():
        number = int(numbers[k])
        portion, which = portions[number], own[k] - begins[number]
        taken.append(portion if len(which) == len(portion.sizes) else portion.only(np.sort(which)))
    return taken


def sizes_of(portions: Iterable[Portion]) -> Counter[int]:
    """How many groups there are of each size."""
    sizes, counts = np.unique(_joined([portion.sizes for portion in portions]), return_counts=True)
    return Counter(dict(zip(sizes.tolist(), counts.tolist())))


def count_of(portions: Iterable[Portion]) -> int:
    """How many groups there are."""
    return sum(len(portion.sizes) for portion in portions)


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _priced(sizes: Int[np.ndarray, " group"], prices: Mapping[int, float]) -> Float[np.ndarray, " group"]:
    """Money for each group."""
    kinds, which = np.unique(sizes, return_inverse=True)
    return np.array([prices.get(size, 0.0) for size in kinds.tolist()], float)[which]


def _new_rules(memory: Memory, store: GroupStore) -> tuple[str, ...]:
    """Rules that the critic would be shown and that no critic that judged here was."""
    known: set[str] = set()
    for name in store.all_critics():
        about = store.critic_description(name) or {}
        for one in (about, *about.get("members", ()), about.get("of") or {}):
            known |= {rule["text"] for rule in one.get("rules", ())}
    return tuple(rule.text for rule in memory.rules if rule.state == "admitted" and rule.text not in known)

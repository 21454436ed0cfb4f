"""Which groups are judged again: those that lack a verdict of the critic, in an order, within a budget.

Nothing is sent and no mesh is read: groups and verdicts are counted from manifests and small columns.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from critique.drift import unsureness_of
from critique.endpoint.cache import Spent, read_ledger
from critique.memory.memory import Memory
from critique.vlm.cost import Estimate, estimate
from critique.vlm.vlm_critic import name_of
from critique.vlm.vlm_settings import VlmSettings
from storage.group_store import GroupStore
from tasks.critics.remembering import memory_of
from tasks.run.settings import Settings, SettingsError, validate


class Portion(NamedTuple):
    """Groups of one shard, and how many hypotheses each has."""

    gen: str
    shard: str
    sizes: dict[str, int]


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
        hypotheses = sum(sum(portion.sizes.values()) for portion in self.portions)
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
    wanted = [chosen for portion in whole if (chosen := _matching(portion, how.where)).sizes]
    if how.order == "uncertain" and against is not None:
        wanted = most_unsure_first(store, wanted, against)
    prices = {size: remote.money_of_group(size) for size in sizes_of(wanted)} if remote else {}
    portions = within(wanted, prices, how.budget, how.groups)
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
    return [Portion(gen, *found) for found in reversed(store.lacking_groups(gen, critic).items())]


def most_unsure_first(store: GroupStore, portions: Sequence[Portion], critic: str) -> list[Portion]:
    """The same groups, those first about which another critic was least sure; groups that it has not judged lead.

    Neighbours of one shard stay together, so a shard may come in several portions.
    """
    ranked: list[tuple[float, int, str]] = []
    for place, (gen, shard, sizes) in enumerate(portions):
        rows = store.verdict_columns(gen, critic, shard, "group_id", "score", "uncertainty")
        scores, errors = (rows[name].to_numpy() for name in ("score", "uncertainty"))  # NULL becomes NaN
        unsure = unsureness_of(rows["group_id"].to_pylist(), scores, errors)
        ranked += [(unsure.get(group_id, float("inf")), place, group_id) for group_id in sizes]
    ranked.sort(key=lambda one: (-one[0], one[1]))
    ordered: list[Portion] = []
    last = None
    for _, place, group_id in ranked:
        gen, shard, sizes = portions[place]
        if place != last:
            ordered.append(Portion(gen, shard, {}))
        ordered[-1].sizes[group_id] = sizes[group_id]
        last = place
    return ordered


def within(
    portions: Iterable[Portion], prices: Mapping[int, float], budget: float | None, most: int | None
) -> list[Portion]:
    """The first groups that a budget pays for, at most so many; the groups of a shard are one portion.

    prices: money for a group of so many hypotheses; sizes that it lacks cost nothing.
    """
    taken: dict[tuple[str, str], dict[str, int]] = {}
    spent, count = 0.0, 0
    for gen, shard, sizes in portions:
        for group_id, size in sizes.items():
            spent += prices.get(size, 0.0)
            if (most is not None and count >= most) or (budget is not None and spent > budget):
                return [Portion(*key, chosen) for key, chosen in taken.items()]
            taken.setdefault((gen, shard), {})[group_id] = size
            count += 1
    return [Portion(*key, chosen) for key, chosen in taken.items()]


def sizes_of(portions: Iterable[Portion]) -> Counter[int]:
    """How many groups there are of each size."""
    return Counter(size for portion in portions for size in portion.sizes.values())


def count_of(portions: Iterable[Portion]) -> int:
    """How many groups there are."""
    return sum(len(portion.sizes) for portion in portions)


def _matching(portion: Portion, where: str) -> Portion:
    """The groups whose "<generation>/<group id>" matches the pattern."""
    if where == "*":
        return portion
    kept = {key: size for key, size in portion.sizes.items() if fnmatchcase(f"{portion.gen}/{key}", where)}
    return portion._replace(sizes=kept)


def _new_rules(memory: Memory, store: GroupStore) -> tuple[str, ...]:
    """Rules that the critic would be shown and that no critic that judged here was."""
    known: set[str] = set()
    for name in store.all_critics():
        about = store.critic_description(name) or {}
        for one in (about, *about.get("members", ()), about.get("of") or {}):
            known |= {rule["text"] for rule in one.get("rules", ())}
    return tuple(rule.text for rule in memory.rules if rule.state == "admitted" and rule.text not in known)

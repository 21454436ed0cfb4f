"""What judging the groups of a run would cost with a remote critic: nothing is sent, and nothing is drawn."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from critique.endpoint.cache import Spent, read_ledger
from critique.vlm.cost import Estimate, alternatives, estimate
from critique.vlm.vlm_critic import name_of
from critique.vlm.vlm_settings import VlmSettings
from storage.group_store import GroupStore
from tasks.critics.critic_names import stored_name
from tasks.critics.judges import answers_of
from tasks.critics.remembering import memory_of
from tasks.run.settings import CriticSection, Settings, validate


class RequestPlan(NamedTuple):
    """A table for the terminal, the chosen way of judging first, and notes about it."""

    heads: list[str]
    rows: list[tuple[str, ...]]
    notes: list[str]


def request_plan(settings: Settings) -> RequestPlan:
    """The cost of judging the groups without a verdict, with the chosen settings and in each other mode."""
    section, folder = settings.critic, settings.run.folder
    sections = [section, *([section.named(section.monitor)] if section.monitor else [])]
    asked = [one for one in sections if one.asks_server]
    if not asked:
        rows = [(one.name, "0") for one in sections]
        return RequestPlan(["critic", "requests"], rows, ["No server is asked, and it costs nothing."])
    vlm = validate(VlmSettings, section.vlm, "settings", "critic.vlm")
    memory = memory_of(vlm, folder)
    ledger = read_ledger(folder)
    prototypes = min(len(memory.prototypes), vlm.recall.prototypes)
    name = name_of(vlm, memory)
    known = next((line for line in ledger if line.critic == name), None)
    groups: Counter[int] = Counter()
    for one in asked:  # a group that critic and monitor both ask about is paid for once
        groups |= _to_be_asked(one, settings)
    own = estimate(vlm, groups, settings.overlay.size, prototypes, known)
    rows = [_row(f"as set ({vlm.mode}, {vlm.repeats}x)", own)]
    rows += [
        _row(way, estimate(other, groups, settings.overlay.size, prototypes))
        for way, other in alternatives(vlm).items()
    ]
    return RequestPlan(
        ["way of judging", "requests", "pictures", "tokens in", "tokens out", "money", "hours"],
        rows,
        [
            *([] if section.asks_server else [f"Only the monitor asks the server; '{section.name}' asks none."]),
            *_notes(vlm, sum(groups.values()), own, ledger, folder),
        ],
    )


def lacking_groups(store: GroupStore, critic: str) -> Counter[int]:
    """How many groups of each size have no verdict of a critic, over all generations."""
    found: Counter[int] = Counter()
    for gen in store.gens():
        for lacking in store.lacking_groups(gen, critic).values():
            found.update(lacking.sizes.tolist())
    return found


def _to_be_asked(section: CriticSection, settings: Settings) -> Counter[int]:
    """How many groups of each size a critic's server would be asked about: of a cascade, what its budget leaves."""
    store, seed, folder = GroupStore(settings.run.folder / "store"), settings.run.seed, settings.run.folder
    if section.name != "cascade":
        return lacking_groups(store, stored_name(section, seed, folder))
    teacher = stored_name(section.named(section.cascade.teacher), seed, folder)
    left = max(section.cascade.budget - sum(len(answers_of(store, gen, teacher)) for gen in store.gens()), 0)
    found: Counter[int] = Counter()
    for size, count in sorted(lacking_groups(store, teacher).items(), reverse=True):
        found[size] = min(count, left)
        left -= found[size]
    return +found


def _row(name: str, found: Estimate) -> tuple[str, ...]:
    counts = (found.requests, found.pictures, found.prompt_tokens, found.completion_tokens)
    return (name, *(f"{count:,}" for count in counts), f"{found.money:,.2f}", f"{found.hours:,.1f}")


def _notes(vlm: VlmSettings, groups: int, own: Estimate, ledger: list[Spent], folder: Path) -> list[str]:
    basis = "measured means of this critic's answers" if own.measured else "rules of thumb; no answer was measured yet"
    notes = [
        f"{groups:,} groups of {folder} lack a verdict. Estimates by {basis}; repairs and retries come on top.",
        "Not counted: groups that later rounds will draw, and those that `align` draws for its report.",
    ]
    if not vlm.prompt_price + vlm.completion_price:
        notes.append("No price is set, so money is 0: set prompt_price and completion_price (per million tokens).")
    if vlm.budget is not None and own.money > vlm.budget:
        notes.append(f"The budget of {vlm.budget:g} would stop it on the way.")
    if ledger:
        answers, sent = sum(line.answers for line in ledger), sum(line.prompt_tokens for line in ledger)
        cached, received = sum(line.cached_tokens for line in ledger), sum(line.completion_tokens for line in ledger)
        notes.append(
            f"Spent by this run so far: {answers:,} answers, {sent:,} tokens in ({cached:,} from the server's cache), "
            f"{received:,} out, money {sum(line.money for line in ledger):,.2f}."
        )
    return notes

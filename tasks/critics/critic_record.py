"""What a critic's name and version stand for: stored with its verdicts, printed by `critique --explain`; no key."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from critique.critic import Critic
from critique.endpoint.cache import FILE, read_adaptations
from critique.judge.cascade import CascadeCritic
from critique.judge.distilled import DistilledCritic
from critique.panel import PanelCritic
from critique.shuffled import ShuffledCritic
from critique.vlm.vlm_critic import VlmCritic
from storage.group_store import GroupStore
from storage.records import Verdict
from tasks.critics.remembering import version_of
from tasks.run.settings import CriticSection, SettingsError


def about(critic: Critic, section: CriticSection, folder: Path | None = None) -> dict[str, Any]:
    """The record of a critic; for a remote one: model, prompt, memory, settings and the rules that it may be shown."""
    known: dict[str, Any] = {"critic": critic.name}
    if isinstance(critic, VlmCritic):
        return known | critic.about() | {"memory_version": version_of(critic.settings, folder)}
    if isinstance(critic, PanelCritic):
        members = [about(member.critic, section, folder) | {"weight": member.weight} for member in critic.members]
        return known | {"combine": critic.combine, "members": members}
    if isinstance(critic, ShuffledCritic):
        return known | {"seed": critic.seed, "of": about(critic.inner, section, folder)}
    if isinstance(critic, DistilledCritic | CascadeCritic):
        learned = {key: value for key, value in critic.network.about.items() if key != "groups"}
        judge = {"digest": critic.network.digest, "groups": len(critic.network.about.get("groups", ())), **learned}
        return known | ({"teacher": critic.teacher} if isinstance(critic, CascadeCritic) else {}) | {"judge": judge}
    own = getattr(section, section.name, None)
    return known | ({"settings": own} if isinstance(own, Mapping) else {})


def explained(store: GroupStore, version: str) -> list[str]:
    """What the stored critic with this name (or this version after the @) stands for, line by line.

    Raises SettingsError if there is no such critic, or more than one.
    """
    known = store.all_critics()
    kind, _, digest = version.rpartition("@")
    found = [name for name in known if name == version] or [
        name for name in known
        if (name.rpartition("@")[2] == digest or version in name) and (not kind or name.startswith(kind))
    ]  # fmt: skip
    if len(found) != 1:
        details = f"several critics are called like '{version}'" if found else f"no critic '{version}' has judged here"
        raise SettingsError(f"{store.root}: {details}; there are {', '.join(found or known) or 'none'}")
    (name,) = found
    record = store.critic_description(name)
    lines = [f"critic: {name}"]
    if record is None:
        lines.append("Its verdicts are from before records were kept.")
        models = sorted({reply.model for verdict in _verdicts(store, name) for reply in verdict.replies})
        lines += [f"model, as its answers say: {', '.join(models)}"] if models else []
    else:
        lines += _text({key: value for key, value in record.items() if key != "critic"})
    changes = read_adaptations(store.root.parent / FILE, name) if isinstance(store.root, Path) else []
    lines += [f"adapted to the server: {change}" for change in changes]
    for gen in store.gens():
        if name in store.critics(gen):
            summary = store.verdict_summary(gen, name)
            counts = ", ".join(f"{count} {status}" for status, count in summary.statuses.items())
            lines.append(f"verdicts on {gen}: {summary.groups} groups; hypotheses: {counts}")
    shown = {rule for verdict in _verdicts(store, name) for rule in verdict.rules}
    return [*lines, f"rules shown with its verdicts: {', '.join(sorted(shown)) or 'none'}"]


def _verdicts(store: GroupStore, critic: str) -> list[Verdict]:
    gens = [gen for gen in store.gens() if critic in store.critics(gen)]
    return [
        verdict
        for gen in gens
        for shard in store.verdict_shards(gen, critic)
        for verdict in store.read_verdicts(gen, critic, shard)
    ]


def _text(value: Mapping[str, Any], indent: str = "") -> list[str]:
    """A record as lines of text."""
    lines = []
    for key, item in value.items():
        word = f"{indent}{key.replace('_', ' ')}:"
        if isinstance(item, Mapping):
            lines += [word, *_text(item, indent + "  ")]
        elif isinstance(item, list) and item and isinstance(item[0], Mapping):
            lines.append(word)
            for one in item:
                lines += ["  -", *_text(one, indent + "    ")]
        else:
            lines.append(f"{word} {item if isinstance(item, str) else json.dumps(item)}")
    return lines

"""The small judges of a run: where they lie, which one speaks for a generation, and what asking the teacher saved.

judges/<teacher>.safetensors           of `hmr-align distill`
judges/cascade-<gen>.safetensors       the judge of a cascade for one generation: it learned from all answers so far
cascade.json                           for each generation, how many groups the teacher judged and what that saved
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from critique.endpoint.cache import read_ledger
from critique.judge.cascade import CascadeCritic
from critique.judge.distilled import DistilledCritic
from critique.judge.network import Judge, read_judge, to_bytes, untaught
from storage.finished_file import read_again, write_bytes, write_text
from storage.group_store import GroupStore
from storage.records import Verdict
from storage.shards.manifest import natural
from tasks.run.settings import CascadeSettings, DistilledSettings, SettingsError

FOLDER = "judges"
SAVED = "cascade.json"


def distilled_critic(settings: DistilledSettings) -> DistilledCritic:
    """The critic of a judge's file. Raises SettingsError if none is named, JudgeError if it cannot be used."""
    if settings.judge is None:
        raise SettingsError(
            "[critic.distilled] needs the key 'judge': a file that `hmr-align distill` wrote, as in "
            '[critic] distilled = { judge = "judge.safetensors" }'
        )
    return DistilledCritic(read_judge(settings.judge))


def cascade_critic(settings: CascadeSettings, teacher: str, run: Path | None, gen: str | None) -> CascadeCritic:
    """The critic of a run's cascade; for a generation, with the teacher's verdicts on it.

    teacher: its name and version. Without a run or generation its newest judge speaks, and no answer is known.
    """
    answers = {} if run is None or gen is None else answers_of(GroupStore(run / "store"), gen, teacher)
    return CascadeCritic(cascade_judge(settings, run, gen), teacher, answers)


def cascade_judge(settings: CascadeSettings, run: Path | None, gen: str | None) -> Judge:
    """The judge of a generation, or the newest one; before there is any, the one that the settings name, or one that
    knows nothing.
    """
    if run is not None and gen is not None and (own := judge_file(run, gen)).exists():
        return read_judge(own)
    newest = newest_judge(run) if run is not None and gen is None else None
    file = newest or settings.judge
    return untaught() if file is None else read_judge(file)


def newest_judge(run: Path) -> Path | None:
    """The file of the cascade's judge for the last generation; None if there is none yet."""
    found = sorted((run / FOLDER).glob("cascade-*.safetensors"), key=lambda path: natural(path.stem))
    return found[-1] if found else None


def judge_file(run: Path, gen: str) -> Path:
    """The file of a cascade's judge for a generation; it need not exist."""
    return run / FOLDER / f"cascade-{gen}.safetensors"


def distilled_file(run: Path, teacher: str) -> Path:
    """Where `hmr-align distill` writes the judge of a teacher, if no other place is named."""
    return run / FOLDER / f"{teacher}.safetensors"


def write_judge(judge: Judge, path: Path) -> None:
    """Write a judge's file."""
    write_bytes(path, to_bytes(judge))


def answers_of(store: GroupStore, gen: str, teacher: str) -> dict[str, Verdict]:
    """The teacher's stored verdicts on a generation, by group id, without those that are still pending."""
    return {
        verdict.group_id: verdict
        for shard in store.verdict_shards(gen, teacher)
        for verdict in store.read_verdicts(gen, teacher, shard)
        if not verdict.pending
    }


def named_teacher(store: GroupStore, name: str) -> str:
    """The stored critic with this name and version, or the only one of this name, as "evidence" for "evidence@4".

    Raises SettingsError if there is none, or more than one.
    """
    known = store.all_critics()
    found = [one for one in known if one == name] or [one for one in known if one.split("@")[0] == name]
    if not found:
        found = [one for one in known if one.startswith(f"{name}-")]  # "vlm" for "vlm-<model>@..."
    if len(found) != 1:
        fault = f"several critics are called '{name}'" if found else f"no critic '{name}' has judged here"
        raise SettingsError(
            f"{store.root}: {fault}; name one of {', '.join(found or known) or 'none'}, version and all"
        )
    return found[0]


def note_saving(run: Path, gen: str, name: str, groups: int, asked: int, about: Mapping[str, Any]) -> None:
    """Note what a generation's cascade asked of the teacher called `name`; a later note replaces an earlier one.

    groups: all of the generation; asked: those that the teacher judged; about: how well its judge does.
    """
    learned = {"learned_from" if key == "groups" else key: value for key, value in about.items()}
    row = {"gen": gen, "teacher": name, "groups": groups, "asked": asked, **learned}
    kept = [one for one in savings(run) if one["gen"] != gen]
    write_text(run / SAVED, json.dumps(sorted([*kept, row], key=lambda one: natural(one["gen"])), indent=1))


def savings(run: Path) -> list[dict[str, Any]]:
    """What the cascade of a run asked and saved, generation by generation; empty if it has none."""
    return read_again(run / SAVED, lambda path: json.loads(path.read_text())) or []


def saving_text(run: Path) -> str:
    """What a run's cascade saved, as a sentence; "" without a cascade. Money is that of the ledger, per group asked."""
    rows = savings(run)
    if not rows:
        return ""
    asked, groups = (sum(row[key] for row in rows) for key in ("asked", "groups"))
    teacher = rows[-1]["teacher"]
    text = f"{teacher} judged {asked:,} of {groups:,} groups, the small judge the other {groups - asked:,}"
    spent = sum(line.money for line in read_ledger(run) if line.critic == teacher)
    if spent and asked:
        text += f", which saved about {spent / asked * (groups - asked):,.2f} in money beside {spent:,.2f} spent"
    if (srcc := rows[-1].get("srcc")) is not None:
        text += f". On photographs that it had not seen, its rank correlation with the teacher is {srcc:.2f}"
    return f"{text}."

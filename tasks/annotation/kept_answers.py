"""The answers of a run: kept one a line as they come, then written to the store as verdicts of critic `human@1`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from critique.annotation.accuracy import Accuracy, accuracy
from critique.annotation.answers import Answer, AnswersError, newest, parse_answer
from critique.annotation.verdicts import NAME, human_verdict
from storage.finished_file import make_folder
from storage.group_store import GroupStore
from storage.records import Verdict

FILE = "annotation/answers.jsonl"
"""In a run's folder: every answer, also those that were replaced later."""

ABOUT = {
    "critic": NAME,
    "what": "people's answers, of hmr-align annotate; members that nobody was shown have no score",
    "scores": "Plackett-Luce with a prior of N(0, 1), 100 sigmoid(worth)",
}


class Imported(NamedTuple):
    """What became of answers."""

    answers: int  # that say something
    skipped: int
    groups: int  # with a verdict that is new or has changed
    strangers: int  # answers about groups or members that the store does not have


def keep(folder: Path, answers: Sequence[Answer]) -> None:
    """Append answers to the file of a run; when this returns, they survive a kill of the process.

    A last line that a kill cut short goes.
    """
    path = folder / FILE
    make_folder(path.parent)
    text = "".join(f"{answer.model_dump_json()}\n" for answer in answers)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(text.encode())


def kept(folder: Path) -> list[Answer]:
    """The newest answer to each question of a run. A last line that a kill cut short is left out.

    Raises AnswersError for another line that cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")[:-1]  # the last one is empty, or was cut short
    found = []
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except ValueError:
            raise AnswersError(f"{path}, line {number}: not JSON; remove the line") from None
        found.append(parse_answer(value, f"{path}, line {number}"))
    return newest(found)


def to_store(store: GroupStore, run: str, answers: Sequence[Answer]) -> Imported:
    """Write verdicts on all groups that the answers are about; equal ones are not written again.

    Answers about what the store does not have are counted and left out.
    """
    by_group: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        by_group.setdefault((answer.gen, answer.group_id), []).append(answer)
    changed, known = 0, set()
    for gen in store.gens():
        for shard in store.group_shards(gen):
            sizes = store.hypotheses_of(gen, shard)
            judged = shard in store.verdict_shards(gen, NAME)
            before = {one.group_id: one for one in store.read_verdicts(gen, NAME, shard)} if judged else {}
            new: list[Verdict] = []
            for group_id, size in sizes.items():
                own = [one for one in by_group.get((gen, group_id), ()) if max(one.shown) < size]
                known |= {id(one) for one in own}
                verdict = human_verdict(own, size)
                if verdict is not None and not _same(before.get(group_id), verdict):
                    new.append(verdict)
            if new:
                store.describe_critic(NAME, ABOUT)
                store.add_verdicts(gen, NAME, run, shard, new)
            changed += len(new)
    said = sum(not answer.skipped for answer in answers)
    return Imported(said, len(answers) - said, changed, len(answers) - len(known))


def _same(before: Verdict | None, now: Verdict) -> bool:
    return (
        before is not None
        and before.comments == now.comments
        and all(abs(one - other) < 1e-6 or one != one for one, other in zip(before.scores, now.scores))
    )


def agreements(store: GroupStore, answers: Sequence[Answer]) -> list[Accuracy]:
    """How far each stored critic agrees with the answers, the best first; those that judged none of it are left out."""
    said = [answer for answer in answers if not answer.skipped and not answer.equal]
    wanted = {(answer.gen, answer.group_id) for answer in said}
    found = []
    for critic in store.all_critics():
        if critic == NAME:
            continue
        scores = {
            (gen, verdict.group_id): verdict.scores
            for gen in store.gens()
            if critic in store.critics(gen)
            for shard in store.verdict_shards(gen, critic)
            for verdict in store.read_verdicts(gen, critic, shard)
            if (gen, verdict.group_id) in wanted
        }
        measured = accuracy(critic, scores, said)
        if measured.answers:
            found.append(measured)
    return sorted(found, key=lambda one: -one.right)

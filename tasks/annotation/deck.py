"""The questions of a run: members of groups on which its critics disagree; and the pictures of one question."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from critique.annotation.questions import Candidate, Question, questions
from critique.annotation.verdicts import NAME
from hmr.rendering.renderers import open_renderer
from storage.group_store import GroupStore
from storage.records import DrawnGroup, Group
from tasks.groups.overlays import draw_group
from tasks.groups.sampled_groups import body
from tasks.run.settings import SettingsError

CONTROLS = ("shuffled", "noisy", "oracle")
"""Critics that do not count as disagreeing: a control, a study's teacher, and one that knows."""


@dataclass(frozen=True)
class Deck:
    """The questions of one sitting, the most informative first."""

    questions: Sequence[Question]
    seed: int
    places: dict[tuple[str, str], str]  # shard of each (generation, group id)


def make_deck(store: GroupStore, gens: Sequence[str], shown: int, count: int, seed: int) -> Deck:
    """At most `count` questions about the groups of some generations; members are shown `shown` at a time.

    Raises SettingsError if no group has so many members whose bodies differ.
    """
    found, places = [], {}
    for gen in gens:
        critics = [name for name in store.critics(gen) if name != NAME and not name.startswith(CONTROLS)]
        for shard in store.group_shards(gen):
            scores: dict[str, dict[str, NDArray[np.float64]]] = {}
            for critic in critics:
                if shard in store.verdict_shards(gen, critic):
                    for verdict in store.read_verdicts(gen, critic, shard):
                        scores.setdefault(verdict.group_id, {})[critic] = verdict.scores
            for group in store.read_groups(gen, shard):
                name = group.person.group_id
                sound = np.isfinite(group.joints).all((1, 2))
                joints = np.where(np.reshape(sound, (-1, 1, 1)), group.joints, np.nan)
                found.append(Candidate(gen, name, joints, scores.get(name, {})))
                places[gen, name] = shard
    chosen = questions(found, shown, count, seed)
    if not chosen:
        raise SettingsError(
            f"{store.root}: no group of {', '.join(gens) or 'any generation'} has {shown} members whose bodies differ; "
            "sample more hypotheses or at a higher temperature, or show two at a time (--show 2)"
        )
    return Deck(chosen, seed, places)


def group_of(store: GroupStore, deck: Deck, question: Question) -> Group:
    """The group that a question is about."""
    return store.read_group(question.gen, deck.places[question.gen, question.group_id], question.group_id)


def draw_question(
    store: GroupStore, deck: Deck, question: Question, body_path: Path | None, backend: str, size: int
) -> DrawnGroup:
    """The members of a question with their pictures, in the order in which they are shown; `size` px a side."""
    group, places = group_of(store, deck, question), list(question.members)
    names = ("seeds", "zero_start", "synthetic", "latents", "pose", "translation", "joints", "keypoints")
    some = replace(group, **{name: getattr(group, name)[places] for name in names})
    renderer = open_renderer(backend)
    try:
        return draw_group(body(body_path), some, renderer=renderer, size=size)
    finally:
        renderer.close()

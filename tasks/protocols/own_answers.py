"""Answers of a model of ours to a protocol: its people are found in their pictures, and hypotheses drawn for them.

    <folder>/people-<key>/             who is found at the records' boxes; the same for all models
    <folder>/answers-<key>/<shard>/    plain arrays, an `.npz` for each person, as of any other model

Only one shard of people is in memory at a time, and what was done before is kept: an interrupted run goes on.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from critique.critic import Critic
from hmr.body.body import Body, body_digest
from hmr.detection.pose_networks import detector_digest
from hmr.metrics.evaluation import MEASURED, in_parts
from storage.finished_file import make_folder, read_again, write_text
from storage.group_store import GroupStore
from storage.predictions.arrays_npz import write
from storage.predictions.predicted import Predicted
from storage.records import Group, Person, Verdict
from tasks.benchmarking import benchmark_sampler, true_placement
from tasks.data.record_people import find_records, read_found
from tasks.data.selection import Selected
from tasks.data.truth import TOO_FEW, record_truth
from tasks.run.settings import CriticSection, OverlaySection, Sample, SettingsError
from tasks.run.shard_task import task
from tasks.sampling import body, model, sample_hypotheses
from tasks.scoring import judge_all, make_critic


@dataclass(frozen=True)
class Answering:
    """How a model answers: M hypotheses of each person at its own spread, and the critic that chooses one."""

    model: str  # its name or file
    body: Path  # the user's neutral SMPL
    sample: Sample  # with M as its `hypotheses`
    placed: Literal["fit", "published"]  # published: with the true camera and root depth
    critic: CriticSection
    overlay: OverlaySection
    processes: int = 1

    def key(self, critic: str) -> str:
        """A digest of all that the answers depend on besides the people."""
        base = model(self.model)
        sampler = benchmark_sampler(self.sample, base)
        parts = (base.digest(), body_digest(self.body), sampler, self.sample.hypotheses, self.placed, critic)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def people_key(selected: Selected, crop_margin: float, focal_px: float | None) -> str:
    """A digest of all that finding the people depends on."""
    parts = (selected.digest(), crop_margin, focal_px, detector_digest())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def check_pictures(selected: Selected, photos: Path) -> None:
    """Raises SettingsError if none of the pictures is there, so that a wrong folder is known at once."""
    if not any(path.is_file() for path in dict.fromkeys(selected.photos)):
        raise SettingsError(
            f"--photos {photos}: none of the {len(set(selected.photos)):,} pictures is there; the first would be "
            f"{selected.photos[0]}. Give the folder that the records' picture paths start from."
        )


@task(task_run_name="find people in {shard}", retries=2, retry_delay_seconds=(2, 10))
def find_shard(
    selected: Selected, shard: str, rows: tuple[int, ...], folder: Path, crop_margin: float, focal_px: float | None,
    processes: int = 1,
) -> dict[str, int]:  # fmt: skip
    """Find the people of some records in their pictures; returns how many records are left out, by reason."""
    return find_records(
        selected, shard, rows, folder, labels=False, crop_margin=crop_margin, focal_px=focal_px, processes=processes
    )


@task(task_run_name="answers of {how.model} {shard}", retries=2, retry_delay_seconds=(5, 30))
def answer_shard(shard: str, people: Path, answers: Path, how: Answering) -> dict[str, int]:
    """Draw a group for each person of a shard, have it judged, and write it; a finished shard is kept.

    Returns counts: `people`, `pending` hypotheses that a passing fault kept from being judged (the next call asks
    again), and people who were left out, by reason. Raises SettingsError if the true camera is wanted and not known.
    """
    note = answers / f"{shard}.json"
    kept = read_again(note, _counts)
    if kept is not None and not kept["pending"]:
        return kept
    found, records = read_found(people, [shard])
    base, body_model = model(how.model), body(how.body)
    critic = make_critic(how.critic, seed=0, folder=answers.parent)
    counts = Counter({"people": 0, "pending": 0})
    depth = None
    if how.placed == "published":
        found, records, depth, lost = _truly_placed(found, records, body_model)
        counts.update({TOO_FEW: lost} if lost else {})
    make_folder(answers / shard)
    for some in in_parts(len(found), how.sample.hypotheses, MEASURED):
        groups = sample_hypotheses(
            found[some], base, body_model, how.sample.at_own_spread, seed=0, draw="benchmark",
            root_depth=None if depth is None else depth[some],
        )  # fmt: skip
        for group, verdict in zip(groups, _judged(groups, critic, how)):
            number = int(counts["people"])
            sample_id = records["sample_id"][number].as_py()
            write(_answer(group, verdict, how.model, sample_id), answers / shard, f"{number:05d}")
            counts.update(people=1, pending=verdict.pending)
    write_text(note, json.dumps(counts))
    return dict(counts)


def shards_of(people: Path) -> tuple[str, ...]:
    """The shards of people that were found."""
    return tuple(GroupStore(people / "store").people_shards())


def _counts(note: Path) -> dict[str, int]:
    return json.loads(note.read_text())


def _judged(groups: list[Group], critic: Critic, how: Answering) -> list[Verdict]:
    return judge_all(groups, critic, how.body, how.overlay, how.processes)


def _truly_placed(
    people: list[Person], records: pa.Table, body_model: Body
) -> tuple[list[Person], pa.Table, torch.Tensor, int]:
    """The people with true cameras, and the depths of their roots, metres; and how many have none."""
    truth = record_truth(body_model, records)
    kept = np.flatnonzero(truth.kept)
    if not len(kept):
        return [], records.take(pa.array(kept)), torch.zeros(0), len(people)
    camera, depth = true_placement(truth.people, body_model)
    placed = [replace(people[k], camera=one.numpy().copy()) for k, one in zip(kept, camera)]
    return placed, records.take(pa.array(kept)), depth, len(people) - len(kept)


def _answer(group: Group, verdict: Verdict, name: str, sample_id: str) -> Predicted:
    person: Any = group.person
    return Predicted(
        model=Path(name).stem, file=sample_id, image=sample_id, person="0", topology="smpl", orient=group.pose[:, 0],
        pose=group.pose[:, 1:], betas=np.repeat(group.betas[None], len(group), 0), transl=group.translation,
        camera=np.asarray(person.camera, np.float64), box=np.asarray(person.box, np.float64),
        scores=np.asarray(verdict.scores, np.float64),
    )  # fmt: skip

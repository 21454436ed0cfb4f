"""People shown in the report: their groups drawn at temperature 1, judged, ranked and saved as pictures."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from critique.critic import Critic, Sight
from critique.panel import PanelCritic
from critique.vlm.vlm_critic import VlmCritic
from hmr.alignment.advantage import group_advantages
from hmr.alignment.trainer import TrainSettings
from hmr.detection.photograph import whole_picture
from storage.group_store import GroupStore
from storage.records import DrawnGroup, Verdict
from tasks.critics.shown_request import request_words
from tasks.rendering import drawn_groups, save_pictures
from tasks.report.report import ShownGroup, ShownHypothesis, Told
from tasks.report.thumbnails import prepare
from tasks.run.kept_note import made_of, read_note, write_note
from tasks.run.settings import CriticSection, OverlaySection, Sample
from tasks.run.shard_task import task
from tasks.sampling import body, model, sample_hypotheses
from tasks.scoring import Errors, make_critic


@dataclass(frozen=True)
class NamedGroup:
    """One person's group in the report."""

    group_id: str
    photo: str
    group: ShownGroup


@task(task_run_name="show {name}")
def show_groups(
    name: str,
    group_ids: tuple[str, ...],
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    sample: Sample,
    section: CriticSection,
    overlay: OverlaySection,
    train: TrainSettings,
    folder: Path,
    seed: int,
    truth: Errors | None = None,
    processes: int = 1,
) -> list[NamedGroup]:
    """Draw, judge and save pictures of the groups of these people, in this order; results already on disk are read
    back.
    """
    note = folder / "groups.json"
    critic = make_critic(section, seed, truth, folder.parents[1])
    advantage = train.resolved().advantage
    of = made_of(model(model_path).digest(), sample.model_dump(), critic.name, advantage.model_dump(),
                 overlay.model_dump(), seed, group_ids)  # fmt: skip
    if (kept := read_note(note, of, lambda rows: _kept(rows, folder))) is not None:
        return kept
    places = {group_id: k for k, group_id in enumerate(group_ids)}
    people = [p for p in GroupStore(store_root).read_people() if p.group_id in places]
    people.sort(key=lambda p: places[p.group_id])
    shown = []
    groups = sample_hypotheses(people, model(model_path), body(body_path), sample, seed=seed, draw="shown")
    for drawn in drawn_groups(groups, body_path, overlay, sight=Sight(), processes=processes):
        group, verdict = drawn.group, critic.judge(drawn)
        place = group.person.group_id
        photograph, *pictures = save_pictures(drawn, folder / place)
        prepare(folder.parents[1], photograph, pictures[: len(group)], pictures[len(group) :])
        advantages = group_advantages(
            torch.from_numpy(verdict.scores)[None], **{**advantage.model_dump(), "min_std": 0.0}
        ).values[0]
        order = np.argsort(-np.nan_to_num(verdict.scores, nan=-np.inf), kind="stable")
        ranks = np.empty(len(order), int)
        ranks[order] = np.arange(1, len(order) + 1)
        hypotheses = tuple(
            ShownHypothesis(
                overlay=Path(place) / f"overlay_{k:02d}.jpg",
                side=Path(place) / f"side_{k:02d}.jpg",
                score=float(score),
                status=verdict.statuses[k],
                comment=verdict.comments[k],
                rank=None if np.isnan(score) else int(ranks[k]),
                advantage=float(advantages[k]),
                zero_start=bool(group.zero_start[k]),
            )
            for k, score in enumerate(verdict.scores)
        )
        seen = ShownGroup(Path(place) / "photograph.jpg", hypotheses, _told(critic, drawn, verdict))
        shown.append(NamedGroup(place, Path(group.person.photo).name, seen))
    write_note(note, of, [asdict(one) for one in shown])
    return [_placed(one, folder) for one in shown]


def _told(critic: Critic, drawn: DrawnGroup, verdict: Verdict) -> Told | None:
    """What a vision-language critic, or one in a panel, was sent first, and all its answers."""
    members = [member.critic for member in critic.members] if isinstance(critic, PanelCritic) else [critic]
    firsts = [one for asked in members if isinstance(asked, VlmCritic) for one in asked.first_requests(drawn)]
    if not firsts or not verdict.replies:
        return None

    def words(body: bytes) -> str:
        count = itertools.count(1)
        return request_words(body, lambda _: f"picture {next(count)}")

    return Told(tuple(words(one.body) for one in firsts), tuple(reply.text for reply in verdict.replies))


def _kept(rows: Sequence[dict[str, Any]], folder: Path) -> list[NamedGroup]:
    """The stored results of `show_groups`, if all their pictures can be read."""
    kept = [_read(row, folder) for row in rows]
    for one in kept:
        whole_picture(one.group.photograph)
        for hypothesis in one.group.hypotheses:
            whole_picture(hypothesis.overlay)
            whole_picture(hypothesis.side)
    return kept


def _read(row: dict, folder: Path) -> NamedGroup:
    group = row["group"]
    hypotheses = tuple(
        ShownHypothesis(**{**h, "overlay": Path(h["overlay"]), "side": Path(h["side"])}) for h in group["hypotheses"]
    )
    told = None if group.get("told") is None else Told(**{key: tuple(texts) for key, texts in group["told"].items()})
    shown = ShownGroup(Path(group["photograph"]), hypotheses, told)
    return _placed(NamedGroup(row["group_id"], row["photo"], shown), folder)


def _placed(shown: NamedGroup, folder: Path) -> NamedGroup:
    """Paths in the note are relative to its folder, so that a run can be moved."""
    hypotheses = tuple(
        ShownHypothesis(**{**vars(h), "overlay": folder / h.overlay, "side": folder / h.side})
        for h in shown.group.hypotheses
    )
    group = ShownGroup(folder / shown.group.photograph, hypotheses, shown.group.told)
    return NamedGroup(shown.group_id, shown.photo, group)

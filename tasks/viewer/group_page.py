"""All that is known of one group, for its page: hypotheses, verdicts of every critic, rules, raw answers, cameras."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.alignment.advantage import group_advantages
from storage.group_store import GroupStore
from storage.records import Group, Verdict
from tasks.critics.rebuilt_request import server_records
from tasks.groups.overlays import camera_of_crop, frame_about
from tasks.report.photograph_agreement import distances_of
from tasks.viewer.gallery import ranks

FRAME = 512
"""Side, px, of the frame in which the page gives the camera: the square part of the photograph that overlays show."""


def group_page(
    group: Group, verdicts: Mapping[str, Verdict], rules: Mapping[str, str], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The page of one group as JSON would hold it; what is not known is None.

    verdicts: of each critic that judged the group; rules: texts by id; about: what each critic's version stands for.
    """
    person = group.person
    frame = frame_about(person.crop, person.height, person.width)
    distances = distances_of(group)
    oracle = next((verdict for name, verdict in verdicts.items() if name.startswith("oracle")), None)
    return {
        "group_id": person.group_id,
        "photo": Path(person.photo).name,
        "photo_is_there": Path(person.photo).is_file(),
        "width": person.width,
        "height": person.height,
        "box": person.box.tolist(),
        "detection": person.detection,
        "model": group.model_digest,
        "temperature": group.temperature,
        "betas": [round(float(beta), 3) for beta in group.betas],
        "frame": {
            "size": FRAME,
            "camera": camera_of_crop(person.camera, frame, FRAME).tolist(),
            "part": frame.tolist(),
        },
        "hypotheses": [
            {
                "zero_start": bool(group.zero_start[k]),
                "synthetic": bool(group.synthetic[k]),
                "seed": str(group.seeds[k]),
                "distance": _known(distances[k]),
                "error": _error(oracle, k),
                "depth": _known(group.translation[k, 2]),
                "topology": None if not group.meshes or (own := group.meshes[k]) is None else own.topology,
            }
            for k in range(len(group))
        ],
        "critics": {name: _verdict(verdict, rules, about.get(name)) for name, verdict in verdicts.items()},
    }


def verdicts_on(store: GroupStore, gen: str, shard: str, group_id: str) -> dict[str, Verdict]:
    """The newest verdict of each critic on a group."""
    found: dict[str, Verdict] = {}
    for critic in store.critics(gen):
        if shard in store.verdict_shards(gen, critic):
            every = store.read_verdicts(gen, critic, shard)
            found.update((critic, verdict) for verdict in every if verdict.group_id == group_id)
    return found


def _verdict(verdict: Verdict, rules: Mapping[str, str], about: Any) -> dict[str, Any]:
    scores = verdict.scores
    errors = verdict.uncertainty
    servers = list(server_records(about))
    known = {**rules, **{rule["id"]: rule["text"] for record in servers for rule in record.get("rules", ())}}
    return {
        "scores": [_known(score) for score in scores],
        "statuses": verdict.statuses,
        "comments": verdict.comments,
        "uncertainty": None if errors is None else [_known(error) for error in errors],
        "ranks": [_known(rank) for rank in ranks(scores[None])[0]],
        "advantages": [_known(advantage) for advantage in advantages(scores, errors)],
        "seconds": verdict.seconds,
        "cost": verdict.cost,
        "rules": [{"id": rule, "text": known.get(rule)} for rule in verdict.rules],
        "answers": [asdict(reply) for reply in verdict.replies],
        "about": about,
        "servers": [record["critic"] for record in servers],
    }


def advantages(scores: NDArray[np.float64], uncertainty: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """(G,) advantages as the default settings of training have them, in standard deviations; NaN without a score.

    Flat groups, which training leaves out, have theirs too.
    """
    errors = None if uncertainty is None else torch.from_numpy(uncertainty)[None]
    found = group_advantages(torch.from_numpy(scores)[None], min_std=0.0, min_members=2, uncertainty=errors)
    return np.where(np.isnan(scores), np.nan, found.values[0].numpy())


def _error(oracle: Verdict | None, hypothesis: int) -> float | None:
    """MPJPE, mm, from the words of the oracle."""
    words = "" if oracle is None else oracle.comments[hypothesis]
    return float(words.split(" mm")[0]) if words.endswith("mm from the truth") else None


def _known(value: float) -> float | None:
    return None if not np.isfinite(value) else round(float(value), 4)


def rule_texts(memories: Sequence[Path]) -> dict[str, str]:
    """The sentences of all rules of some memories, by id; the newest wording counts."""
    from storage.memory_store import MemoryStore

    found: dict[str, str] = {}
    for root in memories:
        store = MemoryStore(root)
        for version in store.versions() if root.is_dir() else ():
            found |= {row["id"]: row["text"] for row in store.read(version)["rules"]}
    return found

"""Groups of the store for training: all scores at once, the rest shard by shard, in bounded memory.

The output of a frozen encoder for each person is computed once, and stored on disk beside the store under the
digest of the encoder, for later rounds. Training itself reads these files and copies of the diffused vectors.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from hmr.alignment.group_source import GroupBatch
from hmr.alignment.trainer import TrainError
from hmr.body.body import Body
from hmr.body.rotations import rotation_matrices
from hmr.diffusion.condition import Condition, Observation
from hmr.diffusion.latent import DIMS
from hmr.models.base_model import HmrModel
from hmr.models.compute import Compute, encode
from hmr.models.weights_file import weights_digest
from storage.finished_file import read_again, write_bytes
from storage.group_store import GroupStore
from storage.records import Group, Verdict
from tasks.sampling import observe

__all__ = ["GroupsWanted", "StoredGroups", "joined", "open_groups"]

SAME_PLACE = 1e-3  # metres: keypoints of the same body differ by less


class GroupsWanted(NamedTuple):
    """Which groups of a store are trained on, and in what form."""

    gen: str
    critic: str
    observations: bool = False  # people as observations: the encoder is trained too
    unjudged: str = "refuse"  # shards without a verdict: "refuse" or "skip"
    off_policy: bool = False
    window: int = 16  # shards in memory


class _Shard(NamedTuple):
    """The files of one shard, and its groups in their order."""

    people: Path
    latents: Path
    ids: list[str]


@dataclass
class StoredGroups:
    """A source for the trainer (`hmr.alignment.group_source.GroupSource`) that holds at most `window` shards."""

    scores: Float[Tensor, "n g"]
    uncertainty: Float[Tensor, "n g"] | None
    files: Sequence[_Shard]
    window: int
    skipped: Sequence[str] = ()  # shards without a verdict
    _held: OrderedDict[int, GroupBatch] = field(default_factory=OrderedDict)

    @property
    def shards(self) -> Sequence[int]:
        """Number of groups in each shard."""
        return [len(shard.ids) for shard in self.files]

    def fetch(self, rows: Int[Tensor, " some"]) -> GroupBatch:
        """The groups with these row indices, in their order: conditions, and latents (some, g, 133) of the model's
        diffused vectors.
        """
        ends = np.cumsum(self.shards)
        where = np.searchsorted(ends, rows.numpy(), side="right")
        found, places = [], []
        for shard in dict.fromkeys(where.tolist()):
            mine = np.flatnonzero(where == shard)
            inside = rows[mine] - int(ends[shard] - len(self.files[shard].ids))
            batch = self._shard(shard)
            found.append(GroupBatch(batch.condition.select(inside), batch.latents[inside]))
            places.append(mine)
        if not found:  # a process without groups in this step
            batch = self._shard(0)
            return GroupBatch(batch.condition.select(rows), batch.latents[rows])
        return _in_order(found, torch.from_numpy(np.argsort(np.concatenate(places))))

    def _shard(self, place: int) -> GroupBatch:
        if place in self._held:
            self._held.move_to_end(place)
        else:
            while len(self._held) >= self.window:
                self._held.popitem(last=False)
            files = self.files[place]
            self._held[place] = GroupBatch(_condition(load_file(files.people)), load_file(files.latents)["latents"])
        return self._held[place]


def open_groups(
    store: GroupStore, wanted: GroupsWanted, base: HmrModel, body: Body, folder: Path, compute: Compute
) -> StoredGroups:
    """Check the groups of a generation, and write to `folder` the files that training reads; finished shards are kept.

    Raises TrainError if there is no group or verdict, if a shard has none and `wanted.unjudged` is "refuse", if groups
    differ in size, or if they were drawn by another model or posed with another body.
    """
    gen, critic = wanted.gen, wanted.critic
    judged = _judged_shards(store, wanted)
    encoder = "pictures" if wanted.observations else f"{weights_digest(base.encoder)}-{_precision(compute)}"
    contents = store.group_contents(gen)
    files, scores, uncertainty = [], [], []
    checked = False
    for name in judged:
        people = folder / f"people-{encoder}" / f"{name}.safetensors"
        latents = folder / f"latents-{gen}" / f"{name}-{contents[name][:16]}.safetensors"
        about = _about(latents)
        if about is None or _about(people) is None or (_about(people) or {})["ids"] != about["ids"]:
            groups = store.read_groups(gen, name)
            _check(groups, wanted)
            if groups and not checked:
                _check_body(groups[0], body, gen)
                checked = True
            about = _lay_out(groups, people, latents, base, wanted, compute)
        if not about["ids"]:
            continue
        _check_model(about, base, wanted)
        verdicts = store.read_verdicts(gen, critic, name)
        ids = about["ids"].split("\n")
        _check_pairs(ids, int(about["hypotheses"]), verdicts, wanted, name)
        files.append(_Shard(people, latents, ids))
        condition = {verdict.group_id: verdict for verdict in verdicts}
        unjudged = np.full(int(about["hypotheses"]), np.nan)  # a pending group has no scores
        scores += [condition[one].scores if one in condition else unjudged for one in ids]
        uncertainty += [_errors(condition[one]) if one in condition else unjudged for one in ids]
    if not files:
        raise TrainError(f"no group of '{gen}' is in {store.root}: nobody was found in the photographs")
    sizes = {len(one) for one in scores}
    if len(sizes) > 1:
        raise TrainError(f"groups of '{gen}' hold {sorted(sizes)} hypotheses: sample them with one number")
    errors = torch.from_numpy(np.stack(uncertainty))
    return StoredGroups(
        torch.from_numpy(np.stack(scores)),
        None if errors.isnan().all() else errors,
        files,
        wanted.window,
        [name for name in store.group_shards(gen) if name not in judged],
    )


def joined(sources: Sequence[StoredGroups]) -> StoredGroups:
    """The groups of several generations as one source. Raises TrainError if they differ in size."""
    sizes = {source.scores.shape[1] for source in sources}
    if len(sizes) > 1:
        raise TrainError(f"generations hold groups of {sorted(sizes)} hypotheses: sample all with one number")
    condition = [torch.full_like(s.scores, torch.nan) if s.uncertainty is None else s.uncertainty for s in sources]
    return StoredGroups(
        torch.cat([source.scores for source in sources]),
        None if all(source.uncertainty is None for source in sources) else torch.cat(condition),
        [file for source in sources for file in source.files],
        sources[-1].window,
        [name for source in sources for name in source.skipped],
    )


def _judged_shards(store: GroupStore, wanted: GroupsWanted) -> list[str]:
    gen, critic = wanted.gen, wanted.critic
    judged = store.verdict_shards(gen, critic)
    lacking = [name for name in store.group_shards(gen) if name not in judged]
    if not judged:
        others = [name for name in store.critics(gen) if name != critic]
        raise TrainError(
            f"no group of '{gen}' has a verdict of critic '{critic}' in {store.root}: run sampling and critique first"
            + (f", or train on the verdicts of {', '.join(others)}" if others else "")
        )
    if lacking and wanted.unjudged == "refuse":
        shown = ", ".join(lacking[:8]) + (", ..." if len(lacking) > 8 else "")
        raise TrainError(
            f"{len(lacking)} of {len(judged) + len(lacking)} shards of '{gen}' have no verdict of critic '{critic}' "
            f"({shown}): run critique, or leave them out with [train] unjudged = 'skip'"
        )
    return judged


def _check(groups: Sequence[Group], wanted: GroupsWanted) -> None:
    dims = {group.latents.shape[1] for group in groups} - {DIMS}
    if dims:
        raise TrainError(
            f"groups of '{wanted.gen}' hold vectors of {sorted(dims)} numbers, models diffuse {DIMS}: "
            "they were drawn by another kind of network"
        )
    if meshes := {name for group in groups for name, own in zip(group.made_by, group.posed) if not own}:
        raise TrainError(
            f"groups of '{wanted.gen}' hold meshes without a pose (of {', '.join(sorted(meshes))}), which no model can "
            "be trained on: bring predictions in that have parameters of the body in use"
        )
    for what in ("model_digest", "hypotheses"):
        found = {len(group) if what == "hypotheses" else group.model_digest for group in groups}
        if len(found) > 1:
            names = ", ".join(str(one) for one in sorted(found))
            raise TrainError(f"a shard of '{wanted.gen}' mixes groups of {what} {names}: sample it again")


def _check_model(about: dict[str, str], base: HmrModel, wanted: GroupsWanted) -> None:
    if not wanted.off_policy and about["model"] != base.digest():
        raise TrainError(
            f"groups of '{wanted.gen}' were drawn by model {about['model']}, and {base.digest()} is to be trained: "
            "sample with this model, or allow it with [train] off_policy = true"
        )


def _check_body(group: Group, body: Body, gen: str) -> None:
    """Pose the first group again: with another body its keypoints are elsewhere. Raises TrainError then."""
    pose, betas, translation = map(torch.from_numpy, (group.pose, group.each_shape, group.translation))
    with torch.no_grad():
        keypoints = body.points(rotation_matrices(pose), betas, translation).keypoints
    apart = float((keypoints - torch.from_numpy(group.keypoints)).norm(dim=-1).max())
    if not apart < SAME_PLACE:
        raise TrainError(
            f"groups of '{gen}' were posed with another body than '{body.name}' (keypoints {1000 * apart:.0f} mm "
            "apart), and the critic saw that one: set [base] body to theirs, or sample again"
        )


def _check_pairs(ids: list[str], size: int, verdicts: Sequence[Verdict], wanted: GroupsWanted, shard: str) -> None:
    judged = {verdict.group_id for verdict in verdicts}
    drawn = [(one, size) for one in ids if one in judged]
    if drawn != [(verdict.group_id, len(verdict.scores)) for verdict in verdicts]:
        raise TrainError(
            f"shard '{shard}': the verdicts of {wanted.critic} do not follow the groups of '{wanted.gen}', which were "
            "drawn again since; score this shard in a new run"
        )


def _errors(verdict: Verdict) -> np.ndarray:
    return np.full(len(verdict.scores), np.nan) if verdict.uncertainty is None else verdict.uncertainty


def _precision(compute: Compute) -> str:
    return "bf16" if compute.bf16 else "float32"


def _about(path: Path) -> dict[str, str] | None:
    """The metadata of a complete file written before; None if there is none."""

    def read(path: Path) -> dict[str, str]:
        with safe_open(path, framework="pt") as file:
            return file.metadata()

    return read_again(path, read)


def _lay_out(
    groups: Sequence[Group], people: Path, latents: Path, base: HmrModel, wanted: GroupsWanted, compute: Compute
) -> dict[str, str]:
    """Write the two files of a shard; files about its people that another generation wrote are kept."""
    about = {
        "ids": "\n".join(group.person.group_id for group in groups),
        "hypotheses": str(len(groups[0]) if groups else 0),
        "model": groups[0].model_digest if groups else "",
    }
    if (_about(people) or {}).get("ids") != about["ids"] and groups:
        seen = observe([group.person for group in groups], base.picture_side)
        condition = seen if wanted.observations else encode(base, seen, compute)
        _write(people, dict(_named(condition)), {"ids": about["ids"]})
    elif not groups:
        _write(people, {}, {"ids": ""})
    vectors = np.stack([group.latents for group in groups]) if groups else np.empty((0, 0, DIMS), np.float32)
    _write(latents, {"latents": torch.from_numpy(vectors)}, about)
    return about


def _write(path: Path, tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    write_bytes(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=about))


STORED = "memory."  # prefix for the parts of a context in files, as in version 0.1


def _named(condition: Condition | Observation) -> Iterator[tuple[str, Tensor]]:
    if isinstance(condition, Observation):
        yield from condition._asdict().items()
    else:
        yield "betas", condition.betas
        yield from ((f"{STORED}{name}", part) for name, part in condition.context.items())


def _condition(tensors: dict[str, Tensor]) -> Condition | Observation:
    if "picture" in tensors:
        return Observation(**tensors)
    context = {name.removeprefix(STORED): part for name, part in tensors.items() if name != "betas"}
    return Condition(tensors["betas"], context)


def _in_order(parts: list[GroupBatch], order: Tensor) -> GroupBatch:
    """Parts one after the other, then their rows in `order`."""
    columns = zip(*([tensor for _, tensor in _named(part.condition)] for part in parts))
    names = [name for name, _ in _named(parts[0].condition)]
    condition = {name: torch.cat(column)[order] for name, column in zip(names, columns)}
    return GroupBatch(_condition(condition), torch.cat([part.latents for part in parts])[order])

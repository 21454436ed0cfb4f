"""How far other models' hypotheses, and ours beside them, are from the truth of a run's records."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.skeleton import EVAL_14
from hmr.metrics.evaluation import joint_errors, some_of, true_joints
from hmr.metrics.pose_metrics import critic_choice
from storage.group_store import GroupStore
from storage.records import Group
from tasks.data.record_people import records_file
from tasks.data.truth import record_truth
from tasks.run.plan import Plan
from tasks.run.settings import SettingsError

Row = dict[str, Any]


def prediction_errors(plan: Plan, body_model: Body, gen: str, critic: str | None) -> list[Row]:
    """Rows of MPJPE and PA-MPJPE, mm, of a generation's hypotheses by who made them, of the best of each group, and of
    what a critic chose. Means over people.

    Joints that a mesh's own model does not tell are left out for it, which its row says. critic: its stored name; None
    = no critic. Raises SettingsError if the run's people have no truth, or the critic no verdicts.
    """
    store = plan.store
    groups, truth, about = _with_truth(plan, store, body_model, gen)
    by_person = [hypothesis_errors(group, truth[k : k + 1]) for k, group in enumerate(groups)]
    makers = list(dict.fromkeys(name for group in groups for name in _makers(group)))
    rows = []
    for maker in makers:
        mine = [
            (errors[:, chosen].mean(1), int(told[chosen].min()))
            for group, (errors, told) in zip(groups, by_person)
            if (chosen := np.array([name == maker for name in _makers(group)])).any()
        ]
        found = about | {"joints": str(min(told for _, told in mine))}
        if any(np.isnan(group.joints[[name == maker for name in _makers(group)], 0]).any() for group in groups):
            found["root"] = "middle of the hips"  # a mesh whose model tells no pelvis
        rows.append(_row(f"of {maker}", [errors for errors, _ in mine], found))
    rows.append(_row("best of the group (oracle)", [np.nanmin(errors, 1) for errors, _ in by_person], about))
    if critic is not None:
        scores = _scores(store, gen, critic)
        chosen = [
            errors[:, critic_choice(scores[group.person.group_id][None], group.zero_start[None])[0]]
            for group, (errors, _) in zip(groups, by_person)
            if group.person.group_id in scores
        ]
        rows.append(_row(f"chosen by {critic}", chosen, about))
    return rows


def hypothesis_errors(group: Group, true: torch.Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(2, G) MPJPE and PA-MPJPE, mm, of each hypothesis, over the joints that both it and the truth tell; and of how
    many of the 14. true: (1, 29, 3) metres.
    """
    joints = torch.from_numpy(group.joints)[:, None]
    each = true.expand(len(group), -1, -1).where(joints[:, 0].isfinite(), torch.nan)
    told = each[:, list(EVAL_14)].isfinite().all(-1).sum(1).numpy()
    filled = joints.nan_to_num(0.0)
    errors = np.stack(joint_errors(filled, each))[:, :, 0]
    return errors, told


def _with_truth(
    plan: Plan, store: GroupStore, body_model: Body, gen: str
) -> tuple[list[Group], torch.Tensor, dict[str, str]]:
    groups, tables = [], []
    for shard in store.group_shards(gen):
        path = records_file(plan.folder, shard)
        if not path.is_file():
            raise SettingsError(
                f"{plan.folder}: its people are of photographs, which tell no truth: name records with joints in space "
                "under [data] train"
            )
        groups += store.read_groups(gen, shard)
        tables.append(pq.read_table(path).replace_schema_metadata(None))
    records = pa.concat_tables(tables).combine_chunks()
    told = record_truth(body_model, records)
    ids = [key for key, kept in zip(records["group_id"].to_pylist(), told.kept) if kept]
    place = {key: k for k, key in enumerate(ids)}
    some = [group for group in groups if group.person.group_id in place]
    if not some:
        raise SettingsError(f"{plan.folder}: the records of its people tell no joints in space")
    rows = torch.tensor([place[group.person.group_id] for group in some], dtype=torch.int64)
    truth = some_of(told.people.bodies, rows)
    with torch.no_grad():
        return some, true_joints(body_model, truth), told.about


def _makers(group: Group) -> tuple[str, ...]:
    return group.made_by or (f"ours {group.model_digest}",) * len(group)


def _scores(store: GroupStore, gen: str, critic: str) -> dict[str, NDArray[np.float64]]:
    judged = store.verdict_shards(gen, critic)
    if not judged:
        raise SettingsError(f"{store.root}: {critic} has judged no group of '{gen}': run `hmr-align critique` first")
    return {one.group_id: one.scores for shard in judged for one in store.read_verdicts(gen, critic, shard)}


def _row(name: str, errors: Sequence[NDArray], about: dict[str, str]) -> Row:
    mean = np.stack(errors).mean(0) if errors else np.full(2, np.nan)
    return {
        "hypotheses": name, "people": len(errors), "mpjpe_mm": float(mean[0]), "pa_mpjpe_mm": float(mean[1]), **about
    }  # fmt: skip

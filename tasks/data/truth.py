"""The truth of found people from their records: bodies if the body in use can pose all of them, else joints."""

import logging
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.rotations import rotation_matrices
from hmr.body.skeleton import EVAL_14, SMPL_JOINTS
from hmr.metrics.evaluation import TrueBodies, TrueJoints
from hmr.pretraining.labels import KnownPeople
from tasks.data.labelled_points import joints_of, measurable, names_told

log = logging.getLogger(__name__)

TOO_FEW = "with too few joints in space that our 14 have too, or without a root"
TURNED = {"smpl": 23, "smplx": 21}
"""Joints with a rotation of their own besides the root, in a record's parameters."""
CHUNK = 256


class RecordTruth(NamedTuple):
    """What records say of their people."""

    people: KnownPeople
    kept: NDArray[np.bool_]  # (n,) of the records: those whose truth is known
    about: dict[str, str]  # what was measured against: for every table of the results


def record_truth(body_model: Body, records: pa.Table) -> RecordTruth:
    """Bodies, where all records hold parameters of the body in use; else joints, metres, camera frame.

    Joints have the places that the dataset gives them; where only bodies are told, those of the body in use. If one
    person lacks a pelvis, all are measured about the middle of their hips.
    """
    rows = records.to_pylist()
    posed = np.array([_posable(row, body_model.name) for row in rows], bool)
    camera = torch.from_numpy(np.array([_camera(row) for row in rows], np.float32).reshape(-1, 4))
    if rows and posed.all():
        genders = names_told([row["gender"] for row in rows])
        if genders not in ("not told", "neutral"):
            log.warning("the records' bodies are %s, and one body file stands for all", genders)
        truth = KnownPeople(_bodies(rows), camera)
        about = {"truth": f"bodies ({body_model.name}), {genders}", "root": "pelvis", "joints": "14"}
        return RecordTruth(truth, np.ones(len(rows), bool), about)
    joints = np.array([joints_of(row) for row in rows], np.float32).reshape(-1, 29, 3)
    rooted = np.array([bool(row["kp3d_root"]) for row in rows], bool)  # "" = in the camera's frame
    lacking = np.isnan(joints).all((1, 2)) & posed
    if lacking.any():
        bodies = _bodies([row for row, wanted in zip(rows, lacking) if wanted])
        joints[lacking] = _posed(body_model, bodies)
    kept = np.array([measurable(one) for one in joints], bool)
    joints, rooted = joints[kept], rooted[kept]
    pelvis = bool(np.isfinite(joints[:, 0]).all())
    if not pelvis:
        joints[:, 0] = np.nan
    told = np.isfinite(joints[:, EVAL_14]).all(2).sum(1)
    makers = names_told([row["kp3d_regressor"] for row, one in zip(rows, kept) if one])
    about = {
        "truth": f"joints ({makers})",
        "root": "pelvis" if pelvis else "middle of the hips",
        "joints": "14" if (told == 14).all() else f"{told.min()} to {told.max()} of 14" if len(told) else "none",
    }
    known = KnownPeople(TrueJoints(torch.from_numpy(joints), torch.from_numpy(~rooted)), camera[torch.from_numpy(kept)])
    return RecordTruth(known, kept, about)


def _posable(row: dict, name: str) -> bool:
    whole = all(row[key] is not None for key in ("global_orient", "body_pose", "betas", "transl"))
    scaled = row["scale_factor"] is not None and abs(row["scale_factor"] - 1) > 1e-6
    return whole and not scaled and row["model_type"] == name and len(row["body_pose"]) == 3 * TURNED.get(name, 0)


def _bodies(rows: list[dict]) -> TrueBodies:
    """Hands of SMPL-X stay flat: the folded body has no fingers."""
    turns = np.zeros((len(rows), SMPL_JOINTS, 3), np.float32)
    for turn, row in zip(turns, rows):
        turn[0] = row["global_orient"]
        pose = np.asarray(row["body_pose"], np.float32).reshape(-1, 3)
        turn[1 : 1 + len(pose)] = pose
    betas, place = (np.array([row[key][:10] for row in rows], np.float32) for key in ("betas", "transl"))
    return TrueBodies(rotation_matrices(torch.from_numpy(turns)), torch.from_numpy(betas), torch.from_numpy(place))


@torch.no_grad()
def _posed(body_model: Body, bodies: TrueBodies) -> Float[np.ndarray, "n 29 3"]:
    parts = torch.arange(len(bodies.betas)).split(CHUNK)
    return torch.cat([body_model.points(*(part[some] for part in bodies)).joints for some in parts]).numpy()


def _camera(row: dict) -> list[float]:
    """fx, fy, cx, cy, px; NaN where the record has no camera."""
    if row["K"] is None:
        return [float("nan")] * 4
    fx, _, cx, _, fy, cy, *_ = row["K"]
    return [fx, fy, cx, cy]

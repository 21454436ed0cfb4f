"""Records as meshes: the bodies of an import as vertices, in the topology that the user asks for.

    smplx    SMPL-X's own 10,475 vertices, with the record's fingers and face
    folded   the same with flat hands and a still face: what the rest of the project works with
    smpl     SMPL's 6,890: of SMPL's parameters, or of SMPL-X's by the user's map

Files are `.npz` as `data predictions --from npz` reads them, one for each person.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from storage.predictions.arrays_npz import write
from storage.predictions.predicted import Predicted
from storage.sources import SourceError
from storage.sources.record import rows_of
from tasks.data.importing import open_records
from tasks.protocols.bodies import Bodies, turns_of

Kind = Literal["smplx", "folded", "smpl"]
KINDS: tuple[Kind, ...] = ("smplx", "folded", "smpl")
COLUMNS = ("global_orient", "body_pose", "betas", "transl", "jaw", "left_eye", "right_eye", "left_hand", "right_hand",
           "expression")  # fmt: skip
FACE_AND_FINGERS = slice(22, 55)


def write_meshes(records: Path, kind: Kind, bodies: Bodies, out: Path) -> Iterator[Path]:
    """Write the mesh of each record, metres in the camera's frame; yields the files.

    Records without a body, or without a translation, are left out. Raises SourceError if a record's body does not lead
    to `kind`, SettingsError or BodyFileError if a file of the user's is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    with open_records(records) as held:
        for group in range(held.num_row_groups):
            table = held.read_row_group(group)
            models, genders = table["model_type"].to_pylist(), table["gender"].to_pylist()
            kinds = [(model, gender or "neutral") if model else None for model, gender in zip(models, genders)]
            for model, gender in dict.fromkeys(one for one in kinds if one):
                some = table.take(np.array([k for k, one in enumerate(kinds) if one == (model, gender)]))
                yield from _write(some, model, gender, kind, bodies, out)


def _write(table: Any, model: str, gender: str, kind: Kind, bodies: Bodies, out: Path) -> Iterator[Path]:
    if (kind != "smpl" and model != "smplx") or (kind == "smpl" and model == "smplx" and bodies.smplx_map is None):
        fix = "Give --smplx-map smplx2smpl.pkl" if kind == "smpl" else "Choose --as smpl"
        raise SourceError(f"{table['sample_id'][0].as_py()}: a body of {model} does not become '{kind}'. {fix}.")
    columns = {name: rows_of(table, name).astype(np.float64) for name in COLUMNS if table[name].null_count < len(table)}
    if not {"global_orient", "body_pose", "betas", "transl"} <= columns.keys():
        return
    rows = np.flatnonzero(np.isfinite(columns["transl"]).all(1))
    turns = turns_of(columns, rows, model)
    face = columns.get("expression")
    shown = None if face is None or kind == "folded" else np.nan_to_num(face[rows])
    if kind == "folded":
        turns[:, FACE_AND_FINGERS] = 0
    vertices, _ = bodies.pose(model, gender, turns, columns["betas"][rows, :10], columns["transl"][rows], shown)
    if kind == "smpl" and model == "smplx" and bodies.smplx_map is not None:
        vertices = bodies.smplx_map(vertices)
    for mesh, row in zip(vertices, rows.tolist()):
        names = {key: str(table[key][row].as_py() or "") for key in ("sample_id", "image_path", "person_id")}
        yield write(
            Predicted(
                "truth", names["sample_id"], names["image_path"] or names["sample_id"], names["person_id"] or "0",
                "smplx" if kind != "smpl" else "smpl", vertices=mesh[None].astype(np.float32),
            ),
            out,
        )  # fmt: skip

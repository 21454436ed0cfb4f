"""Points of bodies for a protocol: vertices and joints of records and of predictions, in the camera's frame, metres.

The user's own files make them: bodies (SMPL_MALE.pkl, ...), a regressor, a map from SMPL-X to SMPL.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body, load_arrays, load_body
from hmr.body.body_file import BodyFileError, read_matrix
from hmr.body.mesh_map import MeshMap
from hmr.body.rotations import rotation_matrices
from hmr.body.smplx_whole import WholeSmplx
from storage.predictions.mhr_map import MeshMap as MhrMap
from storage.predictions.mhr_map import mapped, read_mhr_map
from storage.predictions.predicted import Predicted
from tasks.data.importing import body_path
from tasks.protocols.protocol import REGRESSED
from tasks.run.settings import SettingsError

Reals = NDArray[Any]
CHUNK = 256
"""Bodies posed at once; their vertices take 40 MB."""
HANDS = ("left_hand", "right_hand")


class Points(NamedTuple):
    """g bodies; metres, camera frame. None where the body files or the regressor for them are missing."""

    joints: Reals | None  # (g, J, 3) in the order of the regressor
    vertices: Reals | None  # (g, V, 3)


class Bodies:
    """What the user has to make bodies with. Files are read when they are first needed.

    Raises BodyFileError, SourceError or SettingsError, naming the flag, when one is needed and missing or unusable.
    """

    def __init__(
        self,
        folder: Path | None,
        regressor: Path | None = None,
        smplx_map: Path | None = None,
        mhr_maps: Path | None = None,
    ) -> None:
        self.folder = folder
        self._regressor, self._smplx_map, self._mhr_maps = regressor, smplx_map, mhr_maps
        self._read: dict[tuple[str, str], Body | WholeSmplx] = {}

    def body(self, model: str, gender: str) -> Body | WholeSmplx:
        """smpl as a body of 24 joints, smplx with all 55."""
        if self.folder is None:
            raise SettingsError(
                f"a body of {model} ({gender}) is needed. Give --bodies DIR with {model.upper()}_{gender.upper()}.npz "
                "or .pkl"
            )
        if (model, gender) not in self._read:
            path = body_path(self.folder, model, gender)
            self._read[model, gender] = WholeSmplx(path) if model == "smplx" else load_body(path)
        return self._read[model, gender]

    def faces(self, vertices: int) -> NDArray[np.int64] | None:
        """Triangles of the user's SMPL, whose genders share them, if its mesh has so many vertices; else None."""
        made = [body for (model, _), body in self._read.items() if model == "smpl"]
        return next((body.faces for body in made if body.faces.max() < vertices), None)

    @cached_property
    def regressor(self) -> Reals:
        """(J, V) from the user's .npy, or a .npz or .pkl that has J_regressor."""
        if self._regressor is None:
            raise SettingsError(
                "this protocol measures joints of J_regressor_h36m.npy. Give --regressor FILE (17 x 6890; it comes "
                "with the code of SPIN, HybrIK and others)"
            )
        path = self._regressor
        if path.suffix == ".npy":
            try:
                matrix = np.load(path, allow_pickle=False).astype(np.float64)
            except (OSError, ValueError) as error:
                raise BodyFileError(f"{path}: no array could be read ({error}). Give J_regressor_h36m.npy.") from error
        else:
            matrix = read_matrix(path, ("J_regressor_h36m", "J_regressor")).toarray()
        expected = len(REGRESSED["J_regressor_h36m"])
        off = np.abs(matrix.sum(1) - 1).max() if matrix.ndim == 2 else np.inf
        if matrix.ndim != 2 or len(matrix) != expected or off > 1e-2:
            raise BodyFileError(
                f"{path}: shape {matrix.shape}, rows off 1 by {off:.2g}; expected {expected} rows of shares of "
                "vertices. Give J_regressor_h36m.npy."
            )
        return matrix

    @cached_property
    def smplx_map(self) -> MeshMap | None:
        """SMPL-X to SMPL; None if the user has none."""
        return None if self._smplx_map is None else MeshMap(self._smplx_map)

    @cached_property
    def mhr_map(self) -> MhrMap | None:
        """MHR to SMPL; None if the user has no maps."""
        return None if self._mhr_maps is None else read_mhr_map(self._mhr_maps)

    def pose(
        self, model: str, gender: str, turns: Reals, betas: Reals, transl: Reals, expression: Reals | None = None
    ) -> tuple[Reals, Reals]:
        """Vertices (n, V, 3) and the body's own joints (n, 24 or 55, 3), metres.

        turns: (n, 24 or 55, 3) axis-angles, root first; betas: (n, 10); transl: (n, 3), added to the posed body.
        """
        body, vertices, joints = self.body(model, gender), [], []
        for start in range(0, len(turns), CHUNK):
            some = slice(start, start + CHUNK)
            pose, shape, shift = (torch.as_tensor(part[some], dtype=torch.float32) for part in (turns, betas, transl))
            with torch.no_grad():
                if isinstance(body, WholeSmplx):
                    face = None if expression is None else torch.as_tensor(expression[some], dtype=torch.float32)
                    made = body(pose, shape, shift, face)
                    joints.append(made.joints.double().numpy())
                else:
                    made = body(rotation_matrices(pose), shape, shift)
                    joints.append(made.joints[:, :24].double().numpy())
            vertices.append(made.vertices.numpy())
        return np.concatenate(vertices), np.concatenate(joints)

    def points(self, vertices: Reals, own: Reals | None, model: str, regressor: str) -> Points:
        """Joints and vertices in SMPL's topology where a map leads there, for the protocol's regressor.

        own: the body's own joints, from which `regressor = "body"` takes SMPL's 24 (SMPL-X's first 22).
        """
        if model == "mhr" and self.mhr_map is not None:
            vertices, model = mapped(vertices, self.mhr_map), "smpl"
        if model == "smplx" and self.smplx_map is not None:
            vertices, model = self.smplx_map(vertices), "smpl"
        if regressor == "body":
            return Points(None if own is None or own.shape[1] < 24 else own[:, :24], vertices)
        if vertices.shape[1] != self.regressor.shape[1]:
            return Points(None, vertices)
        return Points(self.regressor @ vertices, vertices)

    def of_prediction(self, one: Predicted, regressor: str, gender: str) -> Points:
        """Points of one model's hypotheses; joints of meshes by the regressor, else as the model gives them."""
        vertices, own, model = one.vertices, None, one.topology
        if vertices is None and one.orient is not None and one.pose is not None and one.betas is not None:
            turns = np.zeros((len(one), 55 if model == "smplx" else 24, 3))
            turns[:, 0], turns[:, 1 : 1 + one.pose.shape[1]] = one.orient, one.pose
            transl = np.zeros((len(one), 3)) if one.transl is None else one.transl
            vertices, own = self.pose(model, gender, turns, one.betas, transl)
        elif vertices is not None and regressor == "body":
            own = self._own_joints(model, vertices)
        if vertices is None:
            return Points(one.joints, None)
        return self.points(vertices, own, model, regressor)

    def _own_joints(self, model: str, vertices: Reals) -> Reals | None:
        """SMPL's 24 joints of a mesh whose pose is not known, by the neutral body's regressor: mm from the posed."""
        if model != "smpl" or self.folder is None:
            return None
        matrix = load_arrays(body_path(self.folder, "smpl", "neutral")).J_regressor
        return matrix @ vertices if matrix.shape[1] == vertices.shape[1] else None


def turns_of(columns: dict[str, Reals], rows: Sequence[int] | NDArray[np.int64], model: str) -> Reals:
    """(n, 24 or 55, 3) axis-angles of records; fingers and face are flat where a record has none."""
    count = 55 if model == "smplx" else 24
    turns = np.zeros((len(rows), count, 3))
    turns[:, 0] = columns["global_orient"][rows]
    pose = columns["body_pose"][rows]
    turns[:, 1 : 1 + pose.shape[1]] = pose[:, : count - 1]
    if model == "smplx":
        for first, name in ((22, "jaw"), (23, "left_eye"), (24, "right_eye"), (25, "left_hand"), (40, "right_hand")):
            if name in columns:
                part = np.nan_to_num(columns[name][rows]).reshape(len(rows), -1, 3)
                turns[:, first : first + part.shape[1]] = part
    return turns

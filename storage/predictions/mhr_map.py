"""From MHR's mesh to SMPL's or SMPL-X's: each vertex of the one lies on a triangle of the other.

The maps are public (facebookresearch/MHR, tools/mhr_smpl_conversion/assets, Apache-2.0); the user brings a copy:
`mhr2smpl_mapping.npz` holds a triangle and three shares for each vertex, `mhr_face_mask.ply` MHR's triangles.

    vertex = sum of shares x corners of its triangle
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.predictions.predicted import VERTICES, Predicted, Reals
from storage.sources import SourceError, adapter
from storage.sources.npz_file import NpzFile

WHERE = "Copy it from tools/mhr_smpl_conversion/assets of github.com/facebookresearch/MHR."


class MeshMap(NamedTuple):
    """Corners and shares of each target vertex."""

    corners: NDArray[np.int64]  # (V, 3) vertices of MHR
    shares: NDArray[np.float64]  # (V, 3) that sum to 1
    faces: NDArray[np.int64] | None = None  # (F, 3) of MHR's own mesh


def read_mhr_map(folder: Path, topology: str = "smpl") -> MeshMap:
    """The map to smpl or smplx from the folder of MHR's conversion assets.

    Raises SourceError if a file is missing, broken or does not fit the other."""
    path, faces_path = folder / f"mhr2{topology}_mapping.npz", folder / "mhr_face_mask.ply"
    for needed in (path, faces_path):
        if not needed.exists():
            raise SourceError(f"{needed}: there is no such file. {WHERE}")
    held = NpzFile(path)
    adapter.check_keys(path, held.names, ("triangle_ids", "baryc_coords"), ())
    triangles = np.asarray(held.whole("triangle_ids"), np.int64)
    shares = adapter.shaped(path, "baryc_coords", held.whole("baryc_coords"), (len(triangles), 3), kind=np.float64)
    import trimesh

    try:
        faces = np.asarray(trimesh.load(faces_path, process=False).faces, np.int64)  # type: ignore[union-attr]
    except Exception as error:  # a broken file may fail in any way
        raise SourceError(f"{faces_path}: no mesh could be read ({error}). {WHERE}") from error
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(faces)):
        raise adapter.unexpected(
            path,
            "triangle_ids",
            f"up to {triangles.max()}",
            f"below {len(faces)}, as many as {faces_path.name} has",
            WHERE,
        )
    if np.abs(shares.sum(1) - 1).max() > 1e-4:
        raise adapter.unexpected(path, "baryc_coords", "shares that do not sum to 1", "barycentric shares", WHERE)
    return MeshMap(faces[triangles], shares, faces)


def mapped(vertices: Reals, mesh_map: MeshMap) -> Reals:
    """(..., V, 3) vertices of the target mesh from MHR's (..., 18439, 3), in their unit (metres)."""
    return np.einsum("...vkc,vk->...vc", np.asarray(vertices, np.float64)[..., mesh_map.corners, :], mesh_map.shares)


def to_topology(one: Predicted, mesh_map: MeshMap) -> Predicted:
    """The same hypotheses with vertices of the map's target; unchanged if they are no MHR meshes.

    Raises SourceError if there are too few vertices for MHR's mesh.
    """
    if one.topology != "mhr" or one.vertices is None:
        return one
    most = int(mesh_map.corners.max())
    if most >= one.vertices.shape[1]:
        raise adapter.unexpected(
            one.file, "pred_vertices", f"{one.vertices.shape[1]} vertices", f"more than {most}", "Is it MHR's mesh?"
        )
    return replace(one, vertices=mapped(one.vertices, mesh_map), topology=VERTICES.get(len(mesh_map.corners), ""))

"""Meshes of hypotheses that have no pose of ours: a file each, named by its content; faces are kept once.

meshes/<digest>.npz          vertices (V, 3) float32 metres, the digest of the faces, the topology's name
meshes/faces-<digest>.npy    faces (F, 3) int32
"""

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from storage.records import Mesh
from storage.remote_path import Place, write_whole
from storage.schema import StoreError


@dataclass(frozen=True)
class MeshStore:
    """The meshes of one store. Raises StoreError for a mesh that is lost or damaged."""

    root: Place

    def write(self, mesh: Mesh) -> str:
        """Keep a mesh; returns its name. The same mesh is kept once."""
        faces_name, name = _faces_digest(mesh), mesh_digest(mesh)
        faces_path, path = self.root / f"faces-{faces_name}.npy", self.root / f"{name}.npz"
        if not faces_path.exists():
            content = io.BytesIO()
            np.save(content, np.asarray(mesh.faces, np.int32))
            write_whole(faces_path, content.getvalue())
        if not path.exists():
            content = io.BytesIO()
            np.savez(content, vertices=mesh.vertices, faces=faces_name, topology=mesh.topology)
            write_whole(path, content.getvalue())
        return name

    def read(self, name: str) -> Mesh:
        """The mesh of this name."""
        path = self.root / f"{name}.npz"
        try:
            with path.open("rb") as file, np.load(file) as kept:
                vertices, faces, topology = kept["vertices"], str(kept["faces"]), str(kept["topology"])
            return Mesh(vertices, _faces(self.root / f"faces-{faces}.npy"), topology)
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{path}: the mesh cannot be read ({error}); bring the predictions in again") from error


def mesh_digest(mesh: Mesh) -> str:
    """First 24 hex digits of the sha256 of vertices, faces and topology."""
    total = hashlib.sha256(f"{mesh.topology} {_faces_digest(mesh)}".encode())
    total.update(np.ascontiguousarray(mesh.vertices, np.float32).tobytes())
    return total.hexdigest()[:24]


def _faces_digest(mesh: Mesh) -> str:
    return hashlib.sha256(np.ascontiguousarray(mesh.faces, np.int32).tobytes()).hexdigest()[:16]


@lru_cache(maxsize=8)
def _faces(path: Place) -> NDArray[np.int32]:
    return np.load(io.BytesIO(path.read_bytes()))

"""Triangles that reach past the near plane are cut there, so that what lies in front of it is drawn and no more."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from hmr.rendering.rasterizer import NEAR, Floats

CUT = np.float32(1.001 * NEAR)
"""Metres in front of the camera at which triangles are cut: just past `NEAR`, so that rounding loses no corner."""


class Clipped(NamedTuple):
    """What lies in front of the near plane. New corners come after those of the mesh, which keep their numbers."""

    vertices: Floats  # (V + N, 3)
    faces: NDArray[np.int32]  # (F', 3)
    ends: NDArray[np.int32]  # (N, 2) the edge that each new corner lies on
    share: Floats  # (N,) how far along it
    source: NDArray[np.int32]  # (F',) the face that each face is a part of

    def carried(self, values: Floats) -> Floats:
        """Values of the mesh's vertices (V, ...), interpolated at the new corners: (V + N, ...)."""
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        new = (1 - share) * values[self.ends[:, 0]] + share * values[self.ends[:, 1]]
        return np.concatenate([values, new.astype(values.dtype)])


def clipped(vertices: Floats, faces: NDArray[np.int32]) -> Clipped | None:
    """The mesh without what is nearer than the near plane or behind the camera; None if all of it is in front.

    vertices (V, 3), metres, camera frame, all finite; faces (F, 3). A triangle with one corner in front leaves one
    triangle, with two corners two. A closed mesh is open where it was cut.
    """
    if vertices[:, 2].min(initial=np.inf) >= CUT:
        return None
    new, parts, ends, share, source = _clip(vertices, faces, CUT)
    return Clipped(np.concatenate([vertices, new]), parts, ends, share, source)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _clip(vertices, faces, cut):
    """Sutherland and Hodgman 1974, for one plane. Buffers for the worst case, two triangles and two corners a face."""
    count = len(faces)
    new = np.empty((2 * count, 3), np.float32)
    ends = np.empty((2 * count, 2), np.int32)
    share = np.empty(2 * count, np.float32)
    parts = np.empty((2 * count, 3), np.int32)
    source = np.empty(2 * count, np.int32)
    corners = parted = 0
    ring = np.empty(4, np.int32)
    for face in range(count):
        length = 0
        for k in range(3):
            here, there = faces[face, k], faces[face, (k + 1) % 3]
            here_in, there_in = vertices[here, 2] >= cut, vertices[there, 2] >= cut
            if here_in:
                ring[length] = here
                length += 1
            if here_in != there_in:
                low, high = min(here, there), max(here, there)  # both faces of an edge cut it at the same bits
                t = (cut - vertices[low, 2]) / (vertices[high, 2] - vertices[low, 2])
                for axis in range(2):
                    new[corners, axis] = vertices[low, axis] + t * (vertices[high, axis] - vertices[low, axis])
                new[corners, 2] = cut
                ends[corners, 0], ends[corners, 1], share[corners] = low, high, t
                ring[length] = len(vertices) + corners
                length += 1
                corners += 1
        for k in range(1, length - 1):
            parts[parted, 0], parts[parted, 1], parts[parted, 2] = ring[0], ring[k], ring[k + 1]
            source[parted] = face
            parted += 1
    return new[:corners], parts[:parted], ends[:corners], share[:corners], source[:parted]

"""One model's hypotheses of one person in one photograph. Metres, OpenCV camera frame, radians, pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.sources import SourceError, adapter
from storage.sources.npz_file import NpzFile, read_array
from storage.sources.plain_pickle import read_pickle

Reals = NDArray[Any]
VERTICES = {6890: "smpl", 10475: "smplx", 18439: "mhr"}
"""Topology by the number of vertices."""


ANOTHER = "Is it of another model? --from says whose layout it has."
"""What to do about a file whose keys are not those of the layout."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """G hypotheses (often one). At least one of parameters, vertices and joints is there; None = not given.

    Raises SourceError if none is there, if numbers of hypotheses differ, if a value is not finite, or if the body is
    not in front of the camera in metres.
    """

    model: str  # that made them: sam3d, romp, ...
    file: str  # they are from
    image: str  # name of the picture, or what the file is called
    person: str  # which of the people in it
    topology: str  # smpl, smplx or mhr: of the vertices and the parameters; "" = joints alone
    orient: Reals | None = None  # (G, 3) axis-angle
    pose: Reals | None = None  # (G, 23 or 21, 3) axis-angle
    betas: Reals | None = None  # (G, 10)
    transl: Reals | None = None  # (G, 3) what is added to the posed body; pelvis = transl + j0
    vertices: Reals | None = None  # (G, V, 3) metres, camera frame
    joints: Reals | None = None  # (G, K, 3) metres, camera frame
    pixels: Reals | None = None  # (G, K, 2) px, of the joints, from the model
    camera: Reals | None = None  # (4,) fx, fy, cx, cy, px
    box: Reals | None = None  # (4,) x0, y0, x1, y1, px
    scores: Reals | None = None  # (G,) the model's own confidence
    cam_rotation: Reals | None = None  # (3, 3) world to camera, as the model estimates it; for errors in the world
    names: tuple[str, ...] | None = None  # (K,) of the joints, by our names; "" = another point
    faces: Reals | None = None  # (F, 3) of the mesh

    def __len__(self) -> int:
        parts = (self.vertices, self.orient, self.joints)
        return next(len(part) for part in parts if part is not None)

    def __post_init__(self) -> None:
        counts = {
            name: len(part)
            for name in ("orient", "pose", "betas", "transl", "vertices", "joints", "pixels", "scores")
            if (part := getattr(self, name)) is not None
        }
        if len(set(counts.values())) != 1 or not {"orient", "vertices", "joints"} & counts.keys():
            raise SourceError(
                f"{self.file}: a group needs parameters, vertices or joints, one of each for every hypothesis; "
                f"found {', '.join(f'{count} {name}' for name, count in counts.items()) or 'none'}"
            )
        for name in ("vertices", "joints", "transl"):
            part = getattr(self, name)
            if part is not None and not np.isfinite(part).all():
                raise SourceError(f"{self.file}: '{name}' is not finite. Leave such a hypothesis out.")
        place = self.vertices if self.vertices is not None else self.joints
        if place is not None and (
            np.median(place[..., 2]) <= 0 or np.median(np.ptp(place[..., :2], axis=1).max(1)) > 20
        ):
            low, high = float(np.median(place[..., 2])), float(np.median(np.ptp(place[..., :2], axis=1).max(1)))
            raise adapter.unexpected(
                self.file, "vertices", f"a body at depth {low:.3g} that spans {high:.3g}",
                "metres before the camera, z forward",
                "Add the camera's translation, and turn y and z round if y is up.",
            )  # fmt: skip

    def off_px(self) -> float | None:
        """Largest distance, px, of the projected joints from the model's own pixels; None if it cannot be computed."""
        if self.joints is None or self.pixels is None or self.camera is None:
            return None
        return float(np.linalg.norm(project(self.joints, self.camera) - self.pixels, axis=-1).max())


def project(points: Reals, camera: Reals) -> Reals:
    """(..., 2) px of points (..., 3), metres, by a pinhole camera (4,), px."""
    exact = np.asarray(points, np.float64)
    return exact[..., :2] / exact[..., 2:] * np.asarray(camera)[:2] + np.asarray(camera)[2:]


class Fitted(NamedTuple):
    """A camera that projects points to pixels, and the largest remaining distance, px."""

    camera: Reals  # (4,)
    off_px: float


def camera_of_points(points: Reals, pixels: Reals) -> Fitted:
    """The pinhole camera with square pixels that projects (K, 3) points, metres, best to (K, 2) px.

    Least squares of u = f x / z + cx, v = f y / z + cy.
    """
    exact = np.asarray(points, np.float64).reshape(-1, 3)
    seen = np.asarray(pixels, np.float64).reshape(-1, 2)
    count = len(exact)
    equations = np.zeros((2 * count, 3))
    equations[:count, 0], equations[count:, 0] = exact[:, 0] / exact[:, 2], exact[:, 1] / exact[:, 2]
    equations[:count, 1] = equations[count:, 2] = 1
    (focal, cx, cy), *_ = np.linalg.lstsq(equations, seen.T.ravel(), rcond=None)
    camera = np.array([focal, focal, cx, cy])
    return Fitted(camera, float(np.linalg.norm(project(exact, camera) - seen, axis=1).max()))


def joined(predictions: Sequence[Predicted]) -> dict[tuple[str, str], list[Predicted]]:
    """Groups by picture and person: the outputs of several models or seeds for one person together."""
    groups: dict[tuple[str, str], list[Predicted]] = {}
    for one in predictions:
        groups.setdefault((one.image, one.person), []).append(one)
    return groups


def rotation_vectors(file: object, key: str, value: Any, count: int, joints: int) -> Reals:
    """(count, joints, 3) axis-angles, radians, from axis-angles or rotation matrices with any axes between.

    Raises SourceError if the numbers are neither; `file` and `key` are for the message.
    """
    array = np.asarray(value, np.float32)
    if array.size == count * joints * 9:
        return adapter.axis_angles(file, key, array.reshape(count, joints, 3, 3))
    if array.size == count * joints * 3:
        return array.reshape(count, joints, 3)
    raise adapter.unexpected(
        file, key, f"shape {array.shape}", f"{count} x {joints} axis-angles or rotation matrices", "Is it another body?"
    )


def files_of(path: Path, *suffixes: str) -> list[Path]:
    """The file, or those of a folder with these endings in order of name; raises SourceError if the path is missing."""
    found = adapter.found_file(path, "a file of predictions", "a folder of them")
    return sorted(one for one in found.rglob("*") if one.suffix in suffixes) if found.is_dir() else [found]


def held_in(file: Path) -> Any:
    """The content of a `.npz` (its arrays by name), `.npy` or `.pkl` of plain values.

    Raises SourceError if the file cannot be read or holds more than plain values.
    """
    if file.suffix == ".npz":
        archive = NpzFile(file)
        return {name: archive.whole(name) for name in archive.names}
    if file.suffix == ".npy":
        return read_array(file.read_bytes(), str(file))
    return read_pickle(file)

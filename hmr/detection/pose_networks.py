"""BlazePose's two networks: one finds heads and body circles, one places 33 landmarks in a square.

Sources: Bazarevsky et al. 2020 (arXiv:2006.10204); Grishchenko et al. 2022 (arXiv:2206.11678); the published
graphs `pose_detection` and `pose_landmark` of MediaPipe for anchors, thresholds and margins. The networks
run in this process, on one thread; nothing is sent anywhere.
"""

import functools
import hashlib
import math
import os
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from hmr.detection.photograph import crop_square
from hmr.detection.resampling import resample_affine

SEARCH = b"2"  # version of the search with these networks: raised when its results may change
DETECTOR_SIDE = 224  # px
LANDMARK_SIDE = 256  # px
MASK, HEATMAP = LANDMARK_SIDE**2, 64 * 64 * 39  # numbers in these outputs of the landmark networks
NO_MASK = np.zeros((0, 0, 1), np.float32)
MARGIN = 1.25  # side of the square over the diameter of the circle about the body
OVERLAP = 0.3  # heads that share more than this (intersection over union) are one
_GRIDS = ((28, 2), (14, 2), (7, 6))  # cells a side, anchors a cell: strides 8, 16 and three times 32


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads that the detector found, best first, in pixels of the photograph; n may be 0."""

    scores: NDArray[np.float32]  # (n,) 0..1
    boxes: NDArray[np.float32]  # (n, 4) x0, y0, x1, y1 of the head
    points: NDArray[np.float32]  # (n, 4, 2) mid hip, top of the circle about the body, mid shoulder, another top


@dataclass(frozen=True)
class Square:
    """A rotated square of the photograph, in which the body is upright."""

    x: float  # centre, px
    y: float
    side: float  # px
    angle: float  # radians, from the photograph's axes to the square's, clockwise as seen

    def scaled(self, factor: float) -> "Square":
        """The same square of the picture drawn `factor` times as large."""
        return Square(self.x * factor, self.y * factor, self.side * factor, self.angle)

    def to_photograph(self, size: int) -> NDArray[np.float64]:
        """(2, 3) affine map from px of the square drawn `size` pixels wide to px of the photograph."""
        scale = self.side / size
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = size / 2
        return np.array([[cos, -sin, self.x - half * (cos - sin)], [sin, cos, self.y - half * (sin + cos)]], np.float64)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The landmark network's answer for one square, in photograph pixels."""

    person: float  # 0..1 that the square shows a person
    points: NDArray[np.float32]  # (33, 4) x, y, z (px; z about the hips, smaller = nearer), visibility 0..1
    world: NDArray[np.float32]  # (33, 3) metres about the hips, axes of the photograph
    mask: NDArray[np.float32]  # (256, 256, 1) person probability over the square; (0, 0, 1) if not requested
    square: Square  # where it looked
    better: Square  # the square that its own landmarks point to

    def scaled(self, factor: float) -> "Landmarks":
        """The same in pixels of the picture drawn `factor` times as large."""
        if factor == 1:
            return self
        points = self.points * np.array([factor, factor, factor, 1], np.float32)
        return replace(self, points=points, square=self.square.scaled(factor), better=self.better.scaled(factor))


def body_square(hip: NDArray, top: NDArray) -> Square:
    """The square about a body whose circle has centre `hip` and passes through `top`, above the head; (2,) px."""
    right, down = float(top[0] - hip[0]), float(top[1] - hip[1])
    return Square(float(hip[0]), float(hip[1]), 2 * MARGIN * math.hypot(right, down), math.atan2(right, -down))


@functools.cache
def anchors() -> NDArray[np.float32]:
    """(2254, 2) centres of the anchors, as shares of the detector's square; row by row, fine grid first."""
    grids = []
    for cells, repeats in _GRIDS:
        centres = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(centres, centres)
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(grids).astype(np.float32)


class PoseNetworks:
    """Both networks, each loaded when it is first needed; calls from several threads wait for each other.

    heavy: landmarks by the largest network of the family, which is slower and better; the heads are the same. network:
    contents of a file with another landmark network of the family, which takes its place.
    """

    def __init__(self, heavy: bool = False, network: bytes | None = None) -> None:
        self._heavy, self._given = heavy, network
        self._lock = threading.Lock()

    @functools.cached_property
    def _detector(self) -> Interpreter:
        return _interpreter(_bundled("pose_detector.tflite"))

    @functools.cached_property
    def _landmarker(self) -> Interpreter:
        return _interpreter(self._landmark_network())

    @functools.cached_property
    def _maskless(self) -> Interpreter:
        return _interpreter(without_outputs(self._landmark_network(), {MASK, HEATMAP}))

    def _landmark_network(self) -> bytes:
        if self._given is not None:
            return self._given
        if self._heavy:
            return (resources.files("hmr") / "assets" / "pose_landmark_heavy.tflite").read_bytes()
        return _bundled("pose_landmarks_detector.tflite")

    def _run(self, network: Interpreter, tensor: NDArray[np.float32]) -> dict[int, NDArray[np.float32]]:
        """The outputs by their size."""
        with self._lock:
            network.set_tensor(network.get_input_details()[0]["index"], tensor[None])
            network.invoke()
            outputs = [network.get_tensor(output["index"]) for output in network.get_output_details()]
        return {output.size: output for output in outputs}

    def heads(self, pixels: NDArray[np.uint8], crop: tuple[float, float, float], *least: float) -> list[Heads]:
        """People in one square (centre x, y, side; px) of the picture (h, w, 3), by one run of the network.

        least: falling scores, 0-1. The first answer has the heads that score least[0] or more, the next those below it
        that score least[1] or more, and so on. Each is blended by itself, so that faint heads do not move sure ones.
        """
        x, y, side = crop
        tensor = crop_square(pixels, crop, DETECTOR_SIDE).astype(np.float32) / 127.5 - 1
        outputs = self._run(self._detector, tensor)
        count = len(anchors())
        scores = _sigmoid(outputs[count].reshape(count).clip(-100, 100))
        values = outputs[count * 12].reshape(count, 6, 2)
        bands, most = [], math.inf
        for bound in least:
            heads = _blend(_placed(scores, values, scores >= bound, (x - side / 2, y - side / 2), side))
            new = heads.scores < most
            bands.append(Heads(heads.scores[new], heads.boxes[new], heads.points[new]))
            most = bound
        return bands

    def landmarks(self, pixels: NDArray[np.uint8], square: Square, mask: bool = True) -> Landmarks:
        """Landmarks of the person in a square of the picture (h, w, 3), px; a third faster without the mask."""
        samples = min(4, max(1, math.ceil(square.side / LANDMARK_SIDE)))
        matrix = square.to_photograph(LANDMARK_SIDE)
        tensor = resample_affine(pixels, matrix, LANDMARK_SIDE, samples) / np.float32(255)
        outputs = self._run(self._landmarker if mask else self._maskless, tensor)
        raw = outputs[195].reshape(39, 5).astype(np.float64)
        placed = raw[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        depth = raw[:, 2] * square.side / LANDMARK_SIDE
        world = outputs[117].reshape(39, 3).astype(np.float64)
        turn = matrix[:, :2] * LANDMARK_SIDE / square.side
        return Landmarks(
            person=float(outputs[1].ravel()[0]),
            points=np.column_stack([placed, depth, _sigmoid(raw[:, 3])])[:33].astype(np.float32),
            world=np.column_stack([world[:, :2] @ turn.T, world[:, 2]])[:33].astype(np.float32),
            mask=_sigmoid(outputs[MASK].reshape(LANDMARK_SIDE, LANDMARK_SIDE, 1)) if mask else NO_MASK,
            square=square,
            better=body_square(placed[33], placed[34]),
        )


@functools.cache
def detector_digest() -> str:
    """First 16 hex digits of the sha256 of the networks' files and of the version of the search."""
    assets, total = resources.files("hmr") / "assets", hashlib.sha256(SEARCH)
    for name in ("pose_landmarker_full.task", "pose_landmark_heavy.tflite"):
        total.update((assets / name).read_bytes())
    return total.hexdigest()[:16]


@functools.cache
def pose_networks(heavy: bool = False) -> PoseNetworks:
    """The networks of this process, made once."""
    return PoseNetworks(heavy)


def _bundled(name: str) -> bytes:
    with (resources.files("hmr") / "assets" / "pose_landmarker_full.task").open("rb") as bundle:
        return zipfile.ZipFile(bundle).read(name)


def _interpreter(network: bytes) -> Interpreter:
    with _no_stderr():  # the runtime prints about its delegate
        made = Interpreter(model_content=network, num_threads=1)
        made.allocate_tensors()
    return made


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Hides what libraries write to the standard error file; exceptions still say what went wrong."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def without_outputs(network: bytes, sizes: set[int]) -> bytes:
    """A TFLite network without its outputs of these sizes, and without the steps that only they need.

    What is left computes what it did before, bit for bit. Lists in the file are shortened where they are: unpacking and
    packing all of it would take more than a second of every program's start.
    """
    content = bytearray(network)
    model: Any = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    outputs = [
        one for one in graph.OutputsAsNumpy().tolist() if math.prod(graph.Tensors(one).ShapeAsNumpy()) not in sizes
    ]
    needed, kept = set(outputs), []
    for number in reversed(range(graph.OperatorsLength())):  # they are in the order in which they run
        step = graph.Operators(number)
        if needed & set(step.OutputsAsNumpy().tolist()):
            needed |= set(step.InputsAsNumpy().tolist())
            kept.append(step._tab.Pos)
    _list(content, graph, _OUTPUTS, outputs)
    places = _list(content, graph, _OPERATORS, kept)
    for place, step in zip(places, kept[::-1]):
        struct.pack_into("<i", content, place, step - place)  # such a list has the distances to what it names
    _list(content, model, _SIGNATURES, [])  # they name the outputs
    return bytes(content)


_OUTPUTS, _OPERATORS, _SIGNATURES = 8, 10, 18
"""Where the tables of the format have these lists: `SubGraph`, `SubGraph` and `Model` of schema.fbs."""


def _list(content: bytearray, table: Any, field: int, values: list[int]) -> range:
    """Write a shorter list of 32-bit numbers over one of a table; returns where each of them is."""
    offset = table._tab.Offset(field)
    if not offset:
        return range(0)
    start = table._tab.Vector(offset)
    struct.pack_into(f"<I{len(values)}i", content, start - 4, len(values), *values)
    return range(start, start + 4 * len(values), 4)


def _placed(
    scores: NDArray, values: NDArray, chosen: NDArray[np.bool_], corner: tuple[float, float], side: float
) -> Heads:
    """The chosen of the detector's (2254,) scores and (2254, 6, 2) values, in pixels of the picture."""
    values = values[chosen] / DETECTOR_SIDE
    origin = np.array(corner, np.float32)
    centres = origin + (values[:, 0] + anchors()[chosen]) * side
    extents = values[:, 1] * side / 2
    points = origin + (values[:, 2:] + anchors()[chosen][:, None]) * side
    boxes = np.concatenate([centres - extents, centres + extents], 1)
    return Heads(scores[chosen], boxes.astype(np.float32), points.astype(np.float32))


def _same_head(box: NDArray, boxes: NDArray) -> NDArray[np.bool_]:
    """Which of (n, 4) boxes overlap one (4,) box so much that they are the same head."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return shared > OVERLAP * (areas - shared)


def _blend(heads: Heads) -> Heads:
    """Each cluster of overlapping answers as its score-weighted mean, with its best score; best first."""
    left = np.argsort(-heads.scores, kind="stable")
    scores, boxes, points = [], [], []
    while len(left):
        mine = _same_head(heads.boxes[left[0]], heads.boxes[left])
        mine[0] = True
        members, left = left[mine], left[~mine]
        weights = heads.scores[members] / heads.scores[members].sum()
        scores.append(heads.scores[members[0]])
        boxes.append(weights @ heads.boxes[members])
        points.append(weights @ heads.points[members].reshape(-1, 8))
    return Heads(
        np.array(scores, np.float32),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(points, np.float32).reshape(-1, 4, 2),
    )


def _sigmoid(logits: NDArray) -> NDArray:
    return 0.5 * (1 + np.tanh(0.5 * logits))  # never overflows

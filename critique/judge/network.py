"""The networks of a small judge: a line and sixteen curved units beside it, eight times, each from other groups.

    x = clip((features - mean of the group) / scale, -5, 5),  and the mean of the group / scale beside it
    u = line . x + out . tanh(x hidden + bias)

Each network was fitted without one eighth of the photographs, so the spread of their answers says how much a worth
would change with other groups: the grouped jackknife (Quenouille 1956; Tukey 1958),

    standard error^2 = (K - 1) / K sum_k (s_k - mean)^2

for K networks. Worths are divided by a temperature under which the chance that one hypothesis is ranked above another,
sigmoid((u_i - u_k) / temperature), is right on photographs that a network did not see.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from critique.judge.features import FEATURES

Floats = NDArray[np.float64]

MEMBERS = 8
HIDDEN = 16
FARTHEST = 5.0
"""Standardised features are clipped there."""

INPUTS = 2 * len(FEATURES)
SIZES = {"line": (INPUTS,), "hidden": (INPUTS, HIDDEN), "bias": (HIDDEN,), "out": (HIDDEN,)}
"""Shapes of the parts of one network, in the order in which they lie in its vector."""

WEIGHTS = sum(int(np.prod(shape)) for shape in SIZES.values())
FORMAT = "hmr-align judge 1"


class JudgeError(ValueError):
    """A file that holds no judge which this program can use."""


@dataclass(frozen=True, eq=False)
class Judge:
    """A fitted judge. Digest and file hold the same numbers, so a digest says which judge spoke."""

    weights: Floats  # (MEMBERS, WEIGHTS)
    scale: Floats  # (features,) standard deviation inside groups
    temperature: float
    about: dict[str, Any] = field(default_factory=dict)  # provenance: teacher, groups, how well it does

    @property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 of all that affects its scores."""
        numbers = b"".join(np.asarray(part, np.float32).tobytes() for part in (self.weights, self.scale))
        details = repr((FORMAT, FEATURES, float(np.float32(self.temperature))))
        return hashlib.sha256(details.encode() + numbers).hexdigest()[:16]

    def worths(self, features: Floats) -> Floats:
        """(MEMBERS, G) worth of each hypothesis by each network, nats, of one group's features (G, features)."""
        return worths(self.weights, inputs(features[None], self.scale))[:, 0] / self.temperature


def untaught() -> Judge:
    """A judge that has learned nothing: every hypothesis is worth the same to it."""
    return Judge(np.zeros((MEMBERS, WEIGHTS)), np.ones(len(FEATURES)), 1.0, {"teacher": "none"})


def inputs(features: Floats, scale: Floats) -> Floats:
    """(n, G, INPUTS) what the networks read, of features (n, G, features); a row of NaN is a missing hypothesis."""
    known = np.isfinite(features).all(-1, keepdims=True)
    count = np.maximum(known.sum(1, keepdims=True), 1)
    filled = np.where(known, features, 0.0)
    mean = filled.sum(1, keepdims=True) / count
    inside = np.clip((filled - mean) / scale, -FARTHEST, FARTHEST)
    whole = np.broadcast_to(np.clip(mean / scale / 3, -FARTHEST, FARTHEST), inside.shape)
    return np.where(known, np.concatenate([inside, whole], -1), 0.0)


def parts(weights: Floats) -> dict[str, Floats]:
    """The parts of networks, shapes (..., *SIZES), from their vectors (..., WEIGHTS)."""
    found, start = {}, 0
    for name, shape in SIZES.items():
        size = int(np.prod(shape))
        found[name] = weights[..., start : start + size].reshape(*weights.shape[:-1], *shape)
        start += size
    return found


def worths(weights: Floats, read: Floats) -> Floats:
    """(members, n, G) worths, nats, of inputs (n, G, INPUTS), by networks (members, WEIGHTS)."""
    own = parts(weights)
    units = np.tanh(np.einsum("ngi,mih->mngh", read, own["hidden"], optimize=True) + own["bias"][:, None, None])
    line = np.einsum("ngi,mi->mng", read, own["line"], optimize=True)
    return line + np.einsum("mngh,mh->mng", units, own["out"], optimize=True)


def to_bytes(judge: Judge) -> bytes:
    """The judge as a safetensors file, with its provenance in the metadata."""
    numbers = {
        "weights": judge.weights.astype(np.float32),
        "scale": judge.scale.astype(np.float32),
        "temperature": np.array([judge.temperature], np.float32),
    }
    return save(numbers, {"format": FORMAT, "features": ",".join(FEATURES), "about": json.dumps(judge.about)})


def from_bytes(content: bytes, where: str) -> Judge:
    """The judge in a file's content. Raises JudgeError, which names `where`, if it is none or of other features."""
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size]).get("__metadata__", {})
        numbers = {name: part.astype(np.float64) for name, part in load(content).items()}
    except (ValueError, SafetensorError, AttributeError) as error:
        raise JudgeError(f"{where}: no judge ({error}); make one with hmr-align distill") from None
    fits = {name: part.shape for name, part in numbers.items()} == {
        "weights": (MEMBERS, WEIGHTS), "scale": (len(FEATURES),), "temperature": (1,),
    }  # fmt: skip
    if header.get("format") != FORMAT or header.get("features") != ",".join(FEATURES) or not fits:
        raise JudgeError(
            f"{where}: a judge of another version, which reads other features than this program computes; "
            "make it anew with hmr-align distill"
        )
    if not all(np.isfinite(part).all() for part in numbers.values()) or numbers["temperature"][0] <= 0:
        raise JudgeError(f"{where}: its weights are not finite; make it anew with hmr-align distill")
    about = json.loads(header["about"])
    return Judge(numbers["weights"], numbers["scale"], float(numbers["temperature"][0]), about)


def read_judge(path: Path) -> Judge:
    """The judge in a file. Raises JudgeError if there is no such file, or it holds none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JudgeError(f"{path}: {error.strerror}; make a judge with hmr-align distill") from None
    return from_bytes(content, str(path))


def stored(judge: Judge, about: dict[str, Any]) -> Judge:
    """The judge exactly as its file holds it (single precision), with this provenance."""
    return from_bytes(to_bytes(replace(judge, about=about)), "a judge")

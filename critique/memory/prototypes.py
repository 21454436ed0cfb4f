"""The critic's prototypes: overlays that were judged before, as references, and which of them a case is shown."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from critique.memory.memory_settings import RECALL, RecallSettings
from critique.memory.rules import Identity, Line, Sentence, Tags

PICTURE_LIMIT = 2_000_000  # bytes of one picture


class Prototype(BaseModel):
    """An overlay that was judged before, with the score that it should have had according to the truth."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    id: Identity
    rationale: Sentence  # including the score
    score: Annotated[float, Field(ge=0, le=100)] | None = None
    tags: Tags = ()
    embedding: Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1)]
    embedder: Line = ""  # name of what made the embedding
    overlay: Line = ""  # which overlay it is: "<group id>#<hypothesis>"
    picture: Annotated[bytes, Field(max_length=PICTURE_LIMIT)] | None = None  # the overlay as JPEG or PNG
    created: Line = ""  # time, UTC


def nearest(
    embeddings: NDArray[np.floating], query: NDArray[np.floating], count: int, likeness: float = 1.0
) -> list[int]:
    """Row indices of `embeddings` (n, d) that are similar to the query (d,) and different from each other, best first.

    One by one the row with the largest

        likeness cos(q, i) - (1 - likeness) max_{j chosen} cos(i, j)

    is taken; ties by row. likeness: weight from 0 to 1. Source: maximal marginal relevance (Carbonell and Goldstein
    1998).
    """
    unit = _unit(np.asarray(embeddings, np.float64))
    to_query = unit @ _unit(np.asarray(query, np.float64))
    chosen: list[int] = []
    while len(chosen) < min(count, len(unit)):
        near = (unit @ unit[chosen].T).max(1) if chosen else np.zeros(len(unit))
        worth = likeness * to_query - (1 - likeness) * near
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    return chosen


def nearest_prototypes(
    prototypes: Sequence[Prototype], query: NDArray[np.floating], settings: RecallSettings = RECALL
) -> tuple[Prototype, ...]:
    """The prototypes shown for a case with the embedding `query` (d,), a unit vector; all embeddings have length d."""
    if not prototypes or not settings.prototypes:
        return ()
    ordered = sorted(prototypes, key=lambda prototype: prototype.id)
    embeddings = np.array([prototype.embedding for prototype in ordered])
    return tuple(ordered[row] for row in nearest(embeddings, query, settings.prototypes, settings.likeness))


def representative(scores: NDArray[np.float64], quality: NDArray[np.float64]) -> dict[str, int]:
    """Which hypotheses of a judged group to keep: {"best", "worst", "misjudged": index}.

    scores (G,), 0-100; quality (G,), 0-1, from the truth. Best and worst by the truth; misjudged is the one whose rank
    by score differs most from its rank by truth. Unjudged ones (NaN) and indices already taken are left out. Source:
    ours, the paper leaves it open.
    """
    judged = np.flatnonzero(np.isfinite(scores) & np.isfinite(quality))
    if len(judged) < 2:
        return {}
    by_truth = quality[judged]
    gap = np.abs(_ranks(scores[judged]) - _ranks(by_truth))
    wanted = {"best": by_truth.argmax(), "worst": by_truth.argmin(), "misjudged": gap.argmax()}
    found: dict[str, int] = {}
    for name, place in wanted.items():
        if int(judged[place]) not in found.values() and (name != "misjudged" or gap[place] > 0):
            found[name] = int(judged[place])
    return found


def varied(prototypes: Sequence[Prototype], most: int) -> tuple[Prototype, ...]:
    """At most `most` prototypes, spread over the cases: the next one kept is the farthest from those kept.

    The order stays the same.
    """
    if len(prototypes) <= most:
        return tuple(prototypes)
    unit = _unit(np.array([prototype.embedding for prototype in prototypes]))
    kept = [0] if most else []
    while len(kept) < most:
        near = (unit @ unit[kept].T).max(1)
        near[kept] = np.inf
        kept.append(int(near.argmin()))
    return tuple(prototypes[row] for row in sorted(kept))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0; equals share their mean."""
    smaller = (values[:, None] > values).sum(1)
    equal = (values[:, None] == values).sum(1)
    return smaller + (equal - 1) / 2


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)

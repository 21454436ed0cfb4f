"""Which groups of a gallery are shown, in which order: filters, ranges, words and a sort key."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported, unseen by type checkers)

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from critique.memory.rules import TAG_WORDS
from tasks.viewer.gallery import Gallery

SORTS = {
    "order": "order of the store",
    "mean": "mean score",
    "best": "best score",
    "spread": "spread of the scores",
    "disagreement": "disagreement of critics",
    "distance": "2-D distance",
    "diversity": "diversity of the group",
    "error": "true error",
    "best_error": "true error of the best",
}
"""Columns of numbers, which can be sorted by and limited, with their names."""

WORDS = {"photo": "name of the photograph", "dataset": "dataset", "status": "status"}
"""Columns of words, which can be sorted by, with their names."""


class SelectionError(ValueError):
    """A question to the gallery that has no answer; the message says what is asked wrongly."""


@dataclass(frozen=True)
class Selection:
    """A question to a gallery; "" and None leave all in."""

    critic: str = ""  # whose scores, status and comments are meant
    gen: str = ""
    dataset: str = ""
    status: str = ""
    tag: str = ""  # of `TAG_WORDS`: a comment of the critic, or of any if none is named, speaks of it
    words: str = ""  # each must occur in the critics' comments, the photograph's name or the group's id
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)  # of SORTS: least, most
    sort: str = "order"
    descending: bool = False


def selected(gallery: Gallery, asked: Selection) -> NDArray[np.int64]:
    """Rows of the gallery that fit, in the order asked for; groups whose sort key is not known come last.

    Raises SelectionError for a critic, a sort key or a limit that there is not.
    """
    if asked.critic and asked.critic not in gallery.critics:
        raise SelectionError(
            f"no critic '{asked.critic}' judged here; there are {', '.join(gallery.critics) or 'none'}"
        )
    strange = ({asked.sort} - set(WORDS) | set(asked.limits)) - set(SORTS)
    if strange:
        known = ", ".join([*SORTS, *WORDS])
        raise SelectionError(f"groups have no {', '.join(sorted(strange))}; there are {known}")
    if asked.tag and asked.tag not in TAG_WORDS:
        raise SelectionError(f"there is no tag '{asked.tag}'; there are {', '.join(TAG_WORDS)}")
    fits = np.ones(len(gallery), bool)
    for name in ("gen", "dataset"):
        if value := getattr(asked, name):
            fits &= pc.equal(gallery.table[name], value).to_numpy()
    if asked.status:
        judged = gallery.critics.get(asked.critic)
        fits &= np.full(len(gallery), asked.status == "not judged") if judged is None else judged.status == asked.status
    if asked.tag:
        critics = [asked.critic] if asked.critic else list(gallery.critics)
        spoken = [pc.match_substring_regex(gallery.critics[name].words, TAG_WORDS[asked.tag]) for name in critics]
        fits &= np.any([one.to_numpy(zero_copy_only=False) for one in spoken], axis=0)
    for name, (least, most) in asked.limits.items():
        values = gallery.numbers(name, asked.critic)
        if least is not None:
            fits &= values >= least
        if most is not None:
            fits &= values <= most
    for word in asked.words.lower().split():
        fits &= _said(gallery, word)
    rows = np.flatnonzero(fits)
    if asked.sort == "order":
        return rows[::-1] if asked.descending else rows
    keys = (_places(gallery, asked) if asked.sort in WORDS else gallery.numbers(asked.sort, asked.critic))[rows]
    order = np.argsort(-keys if asked.descending else keys, kind="stable")  # NaN comes last in both
    return rows[order]


def _places(gallery: Gallery, asked: Selection) -> NDArray[np.float64]:
    """Place of each group's word in the alphabet, by which words are sorted."""
    if asked.sort == "status":
        judged = gallery.critics.get(asked.critic)
        values = np.full(len(gallery), "") if judged is None else judged.status
    else:
        values = gallery.table[asked.sort].to_numpy(zero_copy_only=False).astype(str)
    return np.unique(values, return_inverse=True)[1].astype(float)


def _said(gallery: Gallery, word: str) -> NDArray[np.bool_]:
    """Whether a word, in lower case, occurs in what is known of each group in words."""
    places = [pc.utf8_lower(gallery.table[name]) for name in ("group_id", "photo")]
    texts: list[pa.Array | pa.ChunkedArray] = [*places, *(judged.words for judged in gallery.critics.values())]
    found = np.zeros(len(gallery), bool)
    for text in texts:
        found |= pc.match_substring(text, word).to_numpy(zero_copy_only=False)
    return found

"""Reads a remote critic's answer: one rule, one place, every spelling. Whatever it says is untrusted text.

The contract: one JSON object with a key for each picture, `image_2` to `image_{G+1}` (image_1: the photo):

    {"image_2": {"score": 88, "comment": "limbs follow the photo"}, "image_3": {"score": 41, "comment": ""}}
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMMENT_LIMIT = 300  # characters of a comment that are kept
REPLY_LIMIT = 100_000  # characters of a reply that are searched, from its end
FAILURES = (
    500  # places in a reply that look like an object and are none, before it is given up: bounds the time
)

_LABEL = re.compile(r"(?i)\s*image[\s._-]*([0-9]{1,6})\s*")
_START = re.compile(r'\{\s*"')
_NUMBER = re.compile(r"\s*[+-]?([0-9]{1,9}(\.[0-9]*)?|\.[0-9]+)\s*")


class ReplyError(ValueError):
    """The answer holds no judgement; the message says why, and is fit to be quoted to the critic."""


@dataclass(frozen=True, eq=False)
class ParsedReply:
    """What an answer says about each picture, in the order of the pictures: entry k is `image_{k + 2}`."""

    scores: NDArray[np.float64]  # (G,) 0-100; NaN where the status is not "ok"
    statuses: tuple[str, ...]  # (G,) "ok", "schema" (an unusable score) or "missing_item"
    comments: tuple[str, ...]  # (G,)
    ignored: int  # keys that name the photograph, no picture of this group, or no picture at all


class _Object(dict):
    """A JSON object that remembers a key given twice."""

    repeated: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.repeated = next(key for key in keys if keys.count(key) > 1)
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def picture_place(label: str) -> int | None:
    """Number of the picture that a reply's key names, in any case and spelling; None if it names none."""
    found = _LABEL.fullmatch(label)
    return int(found[1]) if found else None


def json_objects(text: str) -> Iterator[_Object]:
    """The outermost balanced JSON objects in a text, in order; fences and prose between them are skipped."""
    at, failures = 0, 0
    while failures < FAILURES and (start := _START.search(text, at)):
        try:
            value, at = _DECODER.raw_decode(text, start.start())
            yield value
        except (ValueError, RecursionError):  # prose in braces, a torn object, a deep nest
            at, failures = start.start() + 1, failures + 1


def plain_text(text: str, limit: int) -> str:
    """Untrusted text on one line, without control characters, at most `limit` characters long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _score(value: Any) -> float:
    """0-100, or NaN if the value is no such number."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    return float(value) if usable else math.nan


def _judgement(item: Any, label: str) -> tuple[float, str]:
    """Score (NaN if unusable) and comment of one picture."""
    if not isinstance(item, _Object):
        return math.nan, ""
    lowered = [(key.strip().lower(), value) for key, value in item.items()]
    fields = _object([(key, value) for key, value in lowered if key in ("score", "comment")])
    repeated = item.repeated or fields.repeated
    if repeated is not None:
        raise ReplyError(f"the key '{plain_text(repeated, 40)}' of {label} is given twice")
    comment = fields.get("comment")
    return _score(fields.get("score")), plain_text(comment, COMMENT_LIMIT) if isinstance(comment, str) else ""


def parse_reply(text: str, size: int) -> ParsedReply:
    """Reads the judgement of `size` pictures from the last JSON object that names any of them.

    A picture without an entry is `missing_item`; one whose score is no number in [0, 100] is `schema`: both
    have NaN, never 0. An answer without any picture, with a key given twice, or whose labels are shifted (the
    photograph has a score and the last picture has none) raises `ReplyError`.
    """
    judged = range(2, size + 2)
    chosen = None
    for found in json_objects(text[-REPLY_LIMIT:]):
        if any(picture_place(key) in judged for key in found):
            chosen = found
    if chosen is None:
        raise ReplyError(f'there is no complete JSON object with the keys "image_2" to "image_{size + 1}"')
    if chosen.repeated is not None:
        raise ReplyError(f"the key '{plain_text(chosen.repeated, 40)}' is given twice")

    items: dict[int, Any] = {}
    for key, item in chosen.items():
        place = picture_place(key)
        if place is None or place not in judged:
            continue
        if place in items:
            raise ReplyError(f"picture image_{place} is judged twice, under two spellings")
        items[place] = item
    scored = {place for key in chosen if (place := picture_place(key)) is not None}
    if size + 1 not in items and scored & {0, 1}:
        raise ReplyError(
            f"image_1 is the photograph and gets no score, and image_{size + 1} has none: the labels are shifted"
        )
    if 2 not in items and size + 2 in scored:
        raise ReplyError(f"image_{size + 2} was not shown, and image_2 has no score: the labels are shifted")

    scores, statuses, comments = np.full(size, np.nan), ["missing_item"] * size, [""] * size
    for place, item in items.items():
        index = place - 2
        scores[index], comments[index] = _judgement(item, f"image_{place}")
        statuses[index] = "schema" if np.isnan(scores[index]) else "ok"
    return ParsedReply(scores, tuple(statuses), tuple(comments), ignored=len(chosen) - len(items))

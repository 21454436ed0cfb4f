"""Reads a remote critic's answer in all accepted forms. Its text is untrusted.

The contract: one JSON object with a key for each picture, `image_2` to `image_{G+1}` (image_1: the photo):

    {"image_2": {"score": 88, "comment": "limbs follow the photo"}, "image_3": {"score": 41, "comment": ""}}

Other forms with one unambiguous meaning are read too: JSON with trailing commas or single quotes (lenient_json.py),
bare numbers in place of objects, an array, one object about all, and scores such as "90/100" or "9 out of 10".
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from critique.vlm.lenient_json import LooseObject as _Object
from critique.vlm.lenient_json import looser, read_loosely

COMMENT_LIMIT = 300  # characters of a comment that are kept
REPLY_LIMIT = 100_000  # characters of a reply that are searched, from its end
FAILURES = 500  # places in a reply that look like an object and are none, before we stop: limits the time

_LABEL = re.compile(r"(?i)\s*image[\s._-]*([0-9]{1,6})\s*")
_START = re.compile(r"""\{\s*["'“\w}]|\[\s*["'{\[0-9]""")
_NUMBER = re.compile(r"\s*[+-]?([0-9]{1,9}(\.[0-9]*)?|\.[0-9]+)\s*")
_OF = re.compile(r"(?i)\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*(?:(?:/|of|out of)\s*(100|10|5)|(%|points?|percent))\s*")
_THOUGHTS = re.compile(r"(?is)<(think|thinking|reasoning|thought)>.*?</\1>|◁think▷.*?◁/think▷|\[THINK\].*?\[/THINK\]")
_THOUGHTS_END = re.compile(r"(?i)</(?:think|thinking|reasoning|thought)>|◁/think▷|\[/THINK\]")
_THOUGHTS_START = re.compile(r"(?i)<(?:think|thinking|reasoning|thought)>|◁think▷|\[THINK\]")
_LABELS = ("image", "picture", "label", "key", "name", "id", "image_id", "candidate")
_POINTS = ("score", "rating", "points")


class ReplyError(ValueError):
    """The answer holds no judgement; the message gives the reason and may be quoted to the critic."""


@dataclass(frozen=True, eq=False)
class ParsedReply:
    """The scores and comments of an answer, in the order of the pictures: entry k is `image_{k + 2}`."""

    scores: NDArray[np.float64]  # (G,) 0-100; NaN where the status is not "ok"
    statuses: tuple[str, ...]  # (G,) "ok", "schema" (an unusable score) or "missing_item"
    comments: tuple[str, ...]  # (G,)
    ignored: int  # keys that name the photograph, no picture of this group, or no picture at all


_DECODER = json.JSONDecoder(object_pairs_hook=looser)


def picture_place(label: str) -> int | None:
    """Number of the picture that a reply's key names, in any case and spelling; None if it names none."""
    found = _LABEL.fullmatch(label)
    return int(found[1]) if found else None


def without_thoughts(text: str) -> str:
    """The text after a model's reasoning, if the reasoning is marked. Raises ReplyError if the reasoning never ends."""
    text = _THOUGHTS.sub(" ", text)
    *_, end = [None, *_THOUGHTS_END.finditer(text)]
    text = text if end is None else text[end.end() :]  # the template opened the block, the model closed it
    if _THOUGHTS_START.search(text):
        raise ReplyError("the answer ends inside its reasoning, before any judgement")
    return text


def json_values(text: str) -> Iterator[Any]:
    """The outermost balanced JSON objects and arrays in a text, in order; code fences and prose between them are
    skipped.
    """
    at, failures = 0, 0
    while failures < FAILURES and (start := _START.search(text, at)):
        try:
            value, at = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            try:
                value, at = read_loosely(text, start.start())
            except (ValueError, RecursionError, IndexError):  # prose in braces, an incomplete object, deep nesting
                at, failures = start.start() + 1, failures + 1
                continue
        yield value


def json_objects(text: str) -> Iterator[_Object]:
    """The objects among the `json_values` of a text."""
    return (value for value in json_values(text) if isinstance(value, _Object))


def items_of(value: Any, size: int, depth: int = 0) -> _Object | None:
    """A value in the standard form, an object with a key for each picture; None if it is not about the pictures.

    Raises ReplyError for an array of unlabelled scores whose length is not `size`.
    """
    judged = range(2, size + 2)
    if isinstance(value, _Object):
        if any(picture_place(key) in judged for key in value):
            return value
        if value and set(value) == {str(place) for place in judged}:
            return looser([(f"image_{key}", item) for key, item in value.items()])
        if label := _label(value, size):
            return looser([(label, value)])
        inner = [found for item in value.values() if (found := items_of(item, size, depth + 1)) is not None]
        return inner[0] if depth < 2 and len(inner) == 1 else None
    if not isinstance(value, list) or not value or depth > 2:
        return None
    if all(isinstance(item, _Object) for item in value):
        labels = [_label(item, size) for item in value]
        if all(labels):
            return looser([(str(label), item) for label, item in zip(labels, value)])
        named = [items_of(item, size, depth + 1) for item in value]
        if all(item is not None for item in named):
            return looser([pair for item in named if item is not None for pair in item.items()])
        if any(labels) or not all(any(name in _lowered(item) for name in _POINTS) for item in value):
            return None
    elif not all(isinstance(item, int | float | str) and not math.isnan(_score(item)) for item in value):
        return None
    if len(value) != size:
        raise ReplyError(f"an array of {len(value)} scores without labels does not say which of the {size} pictures")
    return looser([(f"image_{place}", item) for place, item in zip(judged, value)])


def _lowered(item: _Object) -> dict[str, Any]:
    return {key.strip().lower(): value for key, value in item.items()}


def _label(item: _Object, size: int) -> str | None:
    """The picture that an object in an array names."""
    lowered = _lowered(item)
    if not any(name in lowered for name in _POINTS):
        return None
    details = [lowered[name] for name in _LABELS if name in lowered]
    found = {value for value in details if isinstance(value, str) and picture_place(value) is not None}
    return found.pop() if len(found) == 1 else None


def plain_text(text: str, limit: int) -> str:
    """Untrusted text on one line, without control characters, at most `limit` characters long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _unwrapped(text: str) -> str:
    """The text inside a JSON string, if the whole answer is one."""
    details = text.strip(" \t\r\n\ufeff")
    if len(details) > 1 and details[0] == details[-1] == '"':
        try:
            inner = json.loads(details)
        except (ValueError, RecursionError):
            return text
        return inner if isinstance(inner, str) else text
    return text


def _score(value: Any) -> float:
    """0-100, or NaN if the value is no such number. "90/100" and "9/10" state their own scale."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    elif isinstance(value, str) and (found := _OF.fullmatch(value)):
        value = round(float(found[1]) * 100 / float(found[2] or 100), 6)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    return float(value) if usable else math.nan


def _judgement(item: Any, label: str) -> tuple[float, str]:
    """Score (NaN if unusable) and comment of one picture."""
    if not isinstance(item, _Object):
        return _score(item), ""
    lowered = [(key.strip().lower(), value) for key, value in item.items()]
    fields = looser([(key, value) for key, value in lowered if key in ("comment", *_POINTS)])
    repeated = item.repeated or fields.repeated
    if repeated is not None:
        raise ReplyError(f"the key '{plain_text(repeated, 40)}' of {label} is given twice")
    points = [fields[name] for name in _POINTS if name in fields]
    comment = fields.get("comment")
    score = _score(points[0]) if len(points) == 1 or "score" in fields else math.nan
    return score, plain_text(comment, COMMENT_LIMIT) if isinstance(comment, str) else ""


def parse_reply(text: str, size: int) -> ParsedReply:
    """The judgement of `size` pictures, from the last JSON object that names any of them.

    A picture without an entry is `missing_item`; one whose score is no number in [0, 100] is `schema`: both get NaN,
    never 0. Raises ReplyError for an answer without any picture, with a repeated key or picture, or with shifted labels
    (the photograph has a score and the last picture has none).
    """
    judged = range(2, size + 2)
    chosen = None
    fault = None
    for value in json_values(_unwrapped(without_thoughts(text[-REPLY_LIMIT:]))):
        if chosen is not None and isinstance(value, list) and not any(isinstance(item, _Object) for item in value):
            continue  # bare numbers after a judgement that names its pictures
        try:
            chosen = items_of(value, size) or chosen
        except ReplyError as error:
            fault = error
    if chosen is None and fault is not None:
        raise fault
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

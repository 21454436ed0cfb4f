"""JSON as models write it: also with single quotes, trailing commas, Python's constants and bare keys. Pure.

Strict JSON is read by the standard library; this reads what it refuses, and nothing that is ambiguous. (JSON5
readers know no Python constants and need the whole text to be JSON; repairing ones guess what was meant.)
"""

import re
from typing import Any

DEEPEST = 12  # nested objects and arrays
LARGEST = 20_000  # values in one text: limits the time

_SPACE = re.compile(r"\s*")
_STRING = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
    "“": re.compile(r"“([^“”]*)”"),
}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_][\w.-]*")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "nan": None, "True": True, "False": False,
          "None": None, "NaN": None}  # fmt: skip
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class LooseObject(dict):
    """A JSON object that remembers a repeated key."""

    repeated: str | None = None


def looser(pairs: list[tuple[str, Any]]) -> LooseObject:
    """An object from pairs of keys and values, in their order."""
    made = LooseObject(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.repeated = next(key for key in keys if keys.count(key) > 1)
    return made


def read_loosely(text: str, start: int) -> tuple[Any, int]:
    """The object or array that begins at index `start` of the text, and the index where it ends.

    Raises ValueError if there is none, or if it is incomplete, too deep or too large.
    """
    return _Reader(text).value(start, 0)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.left = text, LARGEST

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        at = self._space(at)
        self.left -= 1
        if depth > DEEPEST or self.left < 0 or at >= len(self.text):
            raise ValueError("too deep, too large or torn")
        first = self.text[at]
        if first == "{":
            return self._object(at + 1, depth)
        if first == "[":
            return self._array(at + 1, depth)
        if first in _STRING:
            return self._string(at)
        if number := _NUMBER.match(self.text, at):
            return float(number[0]), number.end()
        word = _WORD.match(self.text, at)
        if word and word[0] in _WORDS:
            return _WORDS[word[0]], word.end()
        raise ValueError("no value")

    def _object(self, at: int, depth: int) -> tuple[LooseObject, int]:
        pairs: list[tuple[str, Any]] = []
        while (at := self._space(at)) < len(self.text) and self.text[at] != "}":
            key, at = self._key(at)
            at = self._space(at)
            if self.text[at : at + 1] != ":":
                raise ValueError("a key without a value")
            value, at = self.value(at + 1, depth + 1)
            pairs.append((key, value))
            at = self._comma(at, "}")
        return looser(pairs), self._end(at)

    def _array(self, at: int, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while (at := self._space(at)) < len(self.text) and self.text[at] != "]":
            value, at = self.value(at, depth + 1)
            items.append(value)
            at = self._comma(at, "]")
        return items, self._end(at)

    def _key(self, at: int) -> tuple[str, int]:
        if self.text[at] in _STRING:
            return self._string(at)
        word = _WORD.match(self.text, at)
        if word is None:
            raise ValueError("no key")
        return word[0], word.end()

    def _string(self, at: int) -> tuple[str, int]:
        found = _STRING[self.text[at]].match(self.text, at)
        if found is None:
            raise ValueError("a torn string")
        return _ESCAPE.sub(_unescaped, found[1]), found.end()

    def _comma(self, at: int, end: str) -> int:
        at = self._space(at)
        if self.text[at : at + 1] == ",":
            return at + 1
        if self.text[at : at + 1] != end:
            raise ValueError("neither a comma nor an end")
        return at

    def _space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return at if found is None else found.end()

    def _end(self, at: int) -> int:
        if at >= len(self.text):
            raise ValueError("never closed")
        return at + 1


def _unescaped(found: re.Match[str]) -> str:
    details = found[1]
    return chr(int(details[1:], 16)) if len(details) == 5 else _ESCAPES.get(details, details)

"""TFRecord files of `tf.train.Example`s, without TensorFlow.

A record is its length (8 bytes), a checksum of it (4), the bytes and their checksum (4). An Example is a protocol
buffer: one map of names to lists of bytes, floats or whole numbers.

Source: TensorFlow's tfrecord guide; tensorflow/core/example/{example,feature}.proto.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import SourceError


def examples(path: Path) -> Iterator[dict[str, Any]]:
    """Name -> list of bytes, or array of numbers, of each example of a file.

    Raises SourceError if it cannot be read, is damaged or is of another format.
    """
    try:
        with path.open("rb") as stream:
            while head := stream.read(12):
                (length,) = struct.unpack("<Q", head[:8])
                body = stream.read(length + 4)
                if len(head) < 12 or len(body) < length + 4:
                    raise SourceError(f"{path}: ends within a record. Fetch it again.")
                yield dict(_entries(body[:length]))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}). Give a .tfrecord file.") from error
    except (ValueError, IndexError, struct.error) as error:
        raise SourceError(f"{path}: not a whole TFRecord of Examples ({error}). Fetch it again.") from error


def _entries(example: bytes) -> Iterator[tuple[str, Any]]:
    for _, features in _fields(example):
        for _, entry in _fields(features):
            key, value = "", b""
            for number, part in _fields(entry):
                key, value = (part.decode(), value) if number == 1 else (key, part)
            yield key, _values(value)


def _values(feature: bytes) -> Any:
    for kind, held in _fields(feature):
        if kind == 1:
            return [part for _, part in _fields(held)]
        parts = [part for _, part in _fields(held)]
        if kind == 2:
            packed = b"".join(part if isinstance(part, bytes) else b"" for part in parts)
            return np.frombuffer(packed, "<f4")
        whole: list[int] = []
        for part in parts:
            place = 0
            if isinstance(part, int):
                whole.append(part)
                continue
            while place < len(part):
                value, place = _number(part, place)
                whole.append(value)
        return np.array(whole, np.uint64).astype(np.int64)
    return []


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and content of each field: bytes, or a whole number."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        kind = key & 7
        if kind == 2:
            length, place = _number(message, place)
            if place + length > len(message):
                raise ValueError("a field reaches past its message")
            yield key >> 3, message[place : place + length]
            place += length
        elif kind == 0:
            value, place = _number(message, place)
            yield key >> 3, value
        elif kind == 5:
            yield key >> 3, message[place : place + 4]
            place += 4
        elif kind == 1:
            yield key >> 3, message[place : place + 8]
            place += 8
        else:
            raise ValueError(f"a field of kind {kind}")


def _number(message: bytes, place: int) -> tuple[int, int]:
    """A number stored with seven bits per byte, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
        shift += 7

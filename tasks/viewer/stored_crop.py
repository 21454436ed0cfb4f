"""The small picture of a person that the store keeps, as a JPEG: without torch, so at once."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.group_store import GroupStore
from storage.schema import GROUPS, shape_of

Pixels = NDArray[np.uint8]


def crops(store: GroupStore, gen: str, shard: str) -> dict[str, Pixels]:
    """The stored crop of each group of a shard, RGB (128, 128, 3), by group id; reads no hypothesis."""
    rows = store.columns("groups", gen, shard, "group_id", "picture")
    shape = shape_of(GROUPS.field("picture"))
    pictures = [np.frombuffer(one, np.uint8).reshape(shape) for one in rows["picture"].to_pylist()]
    return dict(zip(rows["group_id"].to_pylist(), pictures))


def resized(pixels: Pixels, size: int) -> Pixels:
    """A square picture at another size, px."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


def jpeg(pixels: Pixels) -> bytes:
    """RGB pixels (h, w, 3) as a JPEG file."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "jpeg", quality=86)
    return sink.getvalue()

"""Pictures of the viewer, drawn when they are asked for: a hypothesis over its photograph, from the side, from above.

Drawing one takes some hundredths of a second, so nothing is drawn ahead and nothing is stored. Where the photograph is
gone, or has changed, the small crop that the store keeps takes its place.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from hmr.body.body import Body
from hmr.detection.photograph import PhotographError
from hmr.rendering.mesh import fault_of
from hmr.rendering.overlay import Overlay
from hmr.rendering.renderers import open_renderer
from hmr.rendering.sheet import strip
from hmr.rendering.views import side_view, top_view
from storage.records import Group, Person
from tasks.groups.overlays import camera_of_crop, frame_about, framed, marked, photograph_of
from tasks.viewer.mesh import drawn_mesh
from tasks.viewer.stored_crop import Pixels, jpeg, resized

View = Literal["photograph", "front", "side", "top", "card"]
"""`card`: a hypothesis over the person's picture as it is stored, small and quick; `photograph` shows no hypothesis."""


class Shown(NamedTuple):
    """One hypothesis of a strip."""

    group: Group
    hypothesis: int
    label: str  # burnt in


_EMPTY = 232  # grey where a stored crop does not reach


class Painter:
    """Draws pictures with one renderer, one at a time; many threads may ask."""

    def __init__(self, body: Callable[[], Body], backend: str) -> None:
        self._body, self._backend = body, backend
        self._lock = Lock()
        self._framed = lru_cache(maxsize=32)(framed_or_stored)  # photographs are large, and asked for again and again

    def jpeg(self, group: Group, view: View, hypothesis: int, size: int) -> bytes:
        """One picture of `size` px as a JPEG file."""
        return jpeg(self.draw(group, view, hypothesis, size))

    def draw(self, group: Group, view: View, hypothesis: int, size: int) -> Pixels:
        """One picture, RGB (size, size, 3); a mesh that cannot be drawn is named in it."""
        person = group.person
        if view == "card":
            backdrop, frame = resized(person.picture, size), person.crop
        else:
            backdrop, frame = self._framed(_Once(person), size), frame_about(person.crop, person.height, person.width)
        if view == "photograph":
            return backdrop
        mesh = drawn_mesh(self._body(), group, hypothesis)
        with self._lock:
            if view in ("side", "top"):
                look = side_view if view == "side" else top_view
                picture, fault = look([mesh], size, renderer=self._renderer), fault_of(mesh)
                return marked(Overlay(picture, np.zeros((1, 1), bool), (fault,))) if fault else picture
            camera = camera_of_crop(person.camera, frame, size)
            return marked(self._renderer.draw([mesh], camera, backdrop))

    def strip(self, sides: Sequence[Shown], size: int) -> bytes:
        """The photograph, then each hypothesis from the front and from the side, as one JPEG file; `size` px each."""
        pictures, labels = [self.draw(sides[0].group, "photograph", 0, size)], ["photograph"]
        for group, hypothesis, label in sides:
            pictures += [self.draw(group, "front", hypothesis, size), self.draw(group, "side", hypothesis, size)]
            labels += [label, f"{label}, side"]
        return jpeg(strip(pictures, labels))

    @property
    def _renderer(self):
        if "renderer" not in self.__dict__:
            self.renderer = open_renderer(self._backend)
        return self.renderer


class _Once:
    """A person as a key of a cache: two with the same photograph and crop have the same pictures."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self._key = (person.photo, person.photo_sha256, person.group_id, person.crop.tobytes())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and other._key == self._key


def framed_or_stored(one: _Once, size: int) -> Pixels:
    """The part of the photograph that overlays show, RGB (size, size, 3); made of the stored crop if it is gone."""
    person = one.person
    try:
        return framed(photograph_of(person), person, size)[0]
    except (PhotographError, OSError):
        return stored_frame(person, size)


def stored_frame(person: Person, size: int) -> Pixels:
    """The same part made of the person's stored crop, grey where the crop does not reach."""
    frame = frame_about(person.crop, person.height, person.width)
    factor = size / frame[2]
    side = max(1, round(float(person.crop[2] * factor)))
    left, top = ((person.crop[:2] - person.crop[2] / 2 - (frame[:2] - frame[2] / 2)) * factor).round().astype(int)
    picture = Image.new("RGB", (size, size), (_EMPTY, _EMPTY, _EMPTY))
    picture.paste(Image.fromarray(resized(person.picture, side)), (int(left), int(top)))
    return np.asarray(picture)

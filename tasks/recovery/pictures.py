"""Pictures of recovered people: all in the photograph, each one alone, and each one's group."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hmr.body.body import Body
from hmr.detection.photograph import crop_square, shrink
from hmr.rendering.mesh import Mesh
from hmr.rendering.overlay import OverlayRenderer
from hmr.rendering.sheet import strip
from hmr.rendering.style import DEFAULT_STYLE, PAPER, Style
from hmr.rendering.views import side_view
from storage.records import Person
from tasks.groups.overlays import camera_of_crop, frame_about, mesh_of
from tasks.recovery.files import colour_of
from tasks.recovery.recovery import Recovered

Picture = NDArray[np.uint8]

WIDEST = 1280  # px, long side of the picture with everybody
SHEET = 1200  # px, width of the sheet of a group
COLUMNS = 4
SHOWN = 24  # alternatives on a sheet, the critic's best
GAP = 10
BEYOND = PAPER
"""RGB of the area outside the photograph, the same as behind side views."""
LINE = 24
_PAPER, _INK, _SOFT = (255, 255, 255), (28, 36, 48), (98, 108, 122)


def everybody(
    pixels: Picture, people: Sequence[Recovered], body: Body, renderer: OverlayRenderer, style: Style = DEFAULT_STYLE
) -> tuple[Picture, Picture]:
    """The photograph, at most WIDEST px, once plain and once with all picked meshes, who hide each other by depth, and
    their numbers.
    """
    plain, factor = shrink(pixels, WIDEST)
    meshes = [mesh_of(body, one.vertices, f"person {k}", colour_of(k)) for k, one in enumerate(people)]
    image = renderer.draw(meshes, people[0].person.camera / factor, plain, style).image
    if len(people) < 2:
        return plain, image
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(18)
    tags: list[tuple[float, float]] = []
    for k, one in enumerate(people):
        x, y = (float(v) for v in one.person.box[:2] / factor)
        x, y = min(max(x, 2.0), canvas.width - 28.0), min(max(y - 26, 2.0), canvas.height - 28.0)
        while any(abs(x - other) < 26 and abs(y - height) < 26 for other, height in tags):
            x += 27  # next to the number that is there already
        tags.append((x, y))
        fill = tuple(round(255 * part) for part in colour_of(k))
        draw.rounded_rectangle((x, y, x + 24, y + 24), 5, fill=fill, outline=_INK)
        draw.text((x + 12, y + 12), str(k), fill=_INK, font=font, anchor="mm")
    return plain, np.asarray(canvas)


def person_picture(
    pixels: Picture, one: Recovered, index: int, body: Body, renderer: OverlayRenderer, size: int,
    style: Style = DEFAULT_STYLE,
) -> Picture:  # fmt: skip
    """The picked mesh over the area around the person, RGB pixels (size, size, 3)."""
    photograph, camera = surroundings(pixels, one.person, size)
    return renderer.draw([_person(body, one, index)], camera, photograph, style).image


def before_and_after(
    pixels: Picture, one: Recovered, index: int, body: Body, renderer: OverlayRenderer, size: int,
    style: Style = DEFAULT_STYLE,
) -> Picture:  # fmt: skip
    """The picked mesh as it was drawn and as it was fitted to the landmarks, side by side."""
    photograph, camera = surroundings(pixels, one.person, size)
    drawn = mesh_of(body, one.meshes[one.picked], f"person {index}", colour_of(index))
    meshes = (drawn, _person(body, one, index))
    return strip([renderer.draw([mesh], camera, photograph, style).image for mesh in meshes], ["before", "fitted"])


def _person(body: Body, one: Recovered, index: int) -> Mesh:
    return mesh_of(body, one.vertices, f"person {index}", colour_of(index))


def group_sheet(
    pixels: Picture, one: Recovered, index: int, body: Body, renderer: OverlayRenderer, style: Style = DEFAULT_STYLE
) -> Picture:
    """The photograph, the picked mesh from two sides, and below them the alternatives by the critic's rank."""
    others = sorted(
        (k for k in range(len(one.scores)) if k != one.picked), key=lambda k: (np.isnan(one.scores[k]), -one.scores[k])
    )
    shown = others[:SHOWN]
    large = (SHEET - 4 * GAP) // 3
    cell = (SHEET - (COLUMNS + 1) * GAP) // COLUMNS
    over = round(cell * 0.62)
    side = cell - over
    rows = -(-len(shown) // COLUMNS)
    top = GAP + LINE + large + GAP
    height = top + LINE + 4 + rows * (over + LINE + GAP) + GAP
    sheet = Image.new("RGB", (SHEET, height), _PAPER)
    draw, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(17), ImageFont.load_default(14)

    photograph, _ = surroundings(pixels, one.person, large)
    mesh = person_picture(pixels, one, index, body, renderer, large, style)
    beside = side_view([_person(body, one, index)], large, style, renderer)
    details = (f"person {index}", f"picked: {_label(one, one.picked)}", "the same, seen from the photograph's right")
    for k, (picture, text) in enumerate(zip((photograph, mesh, beside), details)):
        x = GAP + k * (large + GAP)
        draw.text((x, GAP), text, fill=_INK, font=font)
        sheet.paste(Image.fromarray(picture), (x, GAP + LINE))

    left_out = f", the best {len(shown)} of {len(others)}" if len(shown) < len(others) else ""
    heading = f"The other hypotheses by the critic's score{left_out}, each over the photograph and from its right"
    draw.text((GAP, top), heading, fill=_INK, font=font)
    photograph, camera = surroundings(pixels, one.person, over)
    for place, k in enumerate(shown):
        x = GAP + (place % COLUMNS) * (cell + GAP)
        y = top + LINE + 4 + (place // COLUMNS) * (over + LINE + GAP)
        other = mesh_of(body, one.meshes[k], f"hypothesis {k}")
        picture = renderer.draw([other], camera, photograph, style).image
        sheet.paste(Image.fromarray(picture), (x, y))
        view = _narrow_side_view(other, over, side, renderer, style)
        sheet.paste(Image.fromarray(view), (x + over, y))
        draw.text((x, y + over + 3), _label(one, k), fill=_SOFT, font=small)
    return np.asarray(sheet)


def surroundings(pixels: Picture, person: Person, size: int) -> tuple[Picture, NDArray[np.float32]]:
    """The square around a person, RGB pixels (size, size, 3), moved into the photograph if it fits, and its camera
    (4,), px.
    """
    height, width = pixels.shape[:2]
    square = frame_about(person.crop, height, width)
    half = square[2] / 2
    for axis, length in enumerate((width, height)):
        square[axis] = np.clip(square[axis], half, length - half) if 2 * half <= length else length / 2
    picture = crop_square(pixels, square, size)
    middles = (np.arange(size) + 0.5) / size - 0.5
    x, y = square[0] + middles * square[2], square[1] + middles * square[2]
    picture[:, (x < 0) | (x > width)] = BEYOND
    picture[(y < 0) | (y > height)] = BEYOND
    return picture, camera_of_crop(person.camera, square, size)


def _narrow_side_view(mesh: Mesh, height: int, width: int, renderer: OverlayRenderer, style: Style) -> Picture:
    """A side view (height, width, 3), as high as fits; a body that reaches out far is drawn smaller."""
    style = replace(style, ground=False)  # there is no room for it
    view = side_view([mesh], height, style, renderer)
    margin = (height - width) // 2
    paper = view[0, 0]
    if (view[:, :margin] == paper).all() and (view[:, margin + width :] == paper).all():
        return view[:, margin : margin + width]
    small = side_view([mesh], width, style, renderer)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = paper
    picture[margin : margin + width] = small
    return picture


def _label(one: Recovered, k: int) -> str:
    """ "rank 3 of 20, score 71", and what is special about it."""
    rank = one.rank(k)
    judged = "not judged" if rank is None else f"rank {rank} of {len(one.scores)}, score {one.scores[k]:.0f}"
    special = "zero noise" if one.group.zero_start[k] else "mean" if one.group.synthetic[k] else ""
    return f"{special}, {judged}" if special else judged

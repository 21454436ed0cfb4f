"""From a group to a drawn group: silhouettes for every critic, pictures for those that look, files for people.

Free of prefect, so that a command without a server can use it.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from critique.critic import Sight
from hmr.body.body import Body, body_digest
from hmr.body.penetration import self_penetration
from hmr.body.rotations import rotation_matrices
from hmr.detection.photograph import PhotographError, crop_square, read_photograph
from hmr.processes import in_processes
from hmr.rendering.mesh import Mesh
from hmr.rendering.overlay import Overlay, OverlayRenderer
from hmr.rendering.renderers import open_renderer, renderer_name
from hmr.rendering.sheet import burn_label, contact_sheet
from hmr.rendering.style import DEFAULT_STYLE, Colour, Style
from hmr.rendering.surface import silhouettes
from hmr.rendering.views import side_view, turntable
from storage.finished_file import finished_file, write_bytes, write_text
from storage.picture_file import Encoding, animated, encoded, filmed
from storage.picture_store import Pictures, PictureStore, digest_of
from storage.records import DrawnGroup, Group, Person
from tasks.groups.look import DRAWN_AS, LOOK
from tasks.groups.sampled_groups import body
from tasks.run.settings import OverlaySection

log = logging.getLogger(__name__)

SILHOUETTE = 64
ALL = Sight()
Done = TypeVar("Done")
MARGIN = 1.25
"""Overlays show this many times the model crop, so that a mesh far from the person is still visible."""


class Surface(NamedTuple):
    """A mesh; vertices (V, 3) in metres, camera frame, faces (F, 3)."""

    vertices: NDArray[np.float32]
    faces: NDArray


@torch.no_grad()
def group_vertices(body_model: Body, group: Group) -> NDArray[np.float32]:
    """Vertices (G, V, 3) of a group, metres, camera frame; NaN for hypotheses that are meshes of their own."""
    pose, betas, translation = map(torch.from_numpy, (group.pose, group.each_shape, group.translation))
    return body_model(rotation_matrices(pose), betas, translation).vertices.numpy()


def surfaces(body_model: Body, group: Group, vertices: NDArray[np.float32] | None = None) -> list[Surface]:
    """The mesh of each hypothesis; vertices: those of `group_vertices`, if they are known already."""
    posed = group_vertices(body_model, group) if vertices is None else vertices
    meshes = group.meshes or (None,) * len(group)
    return [
        Surface(own, body_model.faces) if mesh is None else Surface(mesh.vertices, mesh.faces)
        for own, mesh in zip(posed, meshes)
    ]


def draw_group(
    body_model: Body, group: Group, *, renderer: OverlayRenderer | None = None, size: int = 512, sight: Sight = ALL,
    vertices: NDArray[np.float32] | None = None, shapes: bool = True, style: Style = DEFAULT_STYLE,
) -> DrawnGroup:  # fmt: skip
    """The group with its meshes drawn; overlays and side views only if a renderer is given.

    size: side of the pictures, px; vertices: (G, V, 3) of the group, metres, camera frame, if they are known already;
    shapes: also silhouettes and self-penetration. A hypothesis that cannot be drawn is named in the log and on its
    picture; the others are drawn.
    """
    if vertices is None and (shapes or renderer is not None):
        vertices = group_vertices(body_model, group)
    drawn = shaped(body_model, group, vertices) if shapes and vertices is not None else shapeless(group)
    if renderer is None or vertices is None:
        return drawn
    photograph, camera = framed_photograph(group, size, sight.whole)
    meshes = meshes_of(body_model, group, vertices)
    drawings = [renderer.draw([mesh], camera, photograph, style) for mesh in meshes]
    for remark in (remark for overlay in drawings for remark in overlay.remarks):
        log.warning("%s, %s", group.person.group_id, remark)
    overlays = tuple(marked(overlay) for overlay in drawings)
    sides = tuple(side_view([mesh], size, style) for mesh in meshes) if sight.sides else ()
    return DrawnGroup(group, drawn.silhouettes, drawn.penetration, photograph, overlays, sides)


def shaped(body_model: Body, group: Group, vertices: NDArray[np.float32]) -> DrawnGroup:
    """The group with silhouettes and self-penetration, from its vertices (G, V, 3), metres, camera frame."""
    camera = camera_of_crop(group.person.camera, group.person.crop, SILHOUETTE)
    if group.meshes:
        each = surfaces(body_model, group, vertices)
        drawn = np.concatenate([silhouettes(v[None], f, camera, SILHOUETTE) for v, f in each])
    else:
        drawn = silhouettes(vertices, body_model.faces, camera, SILHOUETTE)
    return DrawnGroup(
        group=group,
        silhouettes=drawn,
        penetration=np.asarray(self_penetration(group.joints), np.float32),
    )


def shapeless(group: Group) -> DrawnGroup:
    """The group for a critic that needs neither silhouettes nor self-penetration."""
    return DrawnGroup(group, np.zeros((0, SILHOUETTE, SILHOUETTE), np.uint8), np.zeros(0, np.float32))


def meshes_of(body_model: Body, group: Group, vertices: NDArray[np.float32]) -> list[Mesh]:
    """The hypotheses as meshes to draw: left and right limbs are told apart in those of the body in use."""
    brought = group.meshes or (None,) * len(group)
    return [
        mesh_of(body_model, own, name) if mesh is None else Mesh(mesh.vertices, mesh.faces, name=name)
        for own, mesh, name in zip(vertices, brought, (f"hypothesis {k}" for k in range(len(group))))
    ]


def mesh_of(body_model: Body, vertices: NDArray[np.float32], name: str, colour: Colour | None = None) -> Mesh:
    """Vertices (V, 3) of a body, metres, camera frame, as a mesh whose left and right limbs are told apart."""
    return Mesh(vertices, body_model.faces, body_model.sides, colour, name=name)


def style_of(overlay: OverlaySection) -> Style:
    """The look that the settings ask for."""
    return Style(
        opacity=overlay.opacity, contour=overlay.contour, outline=overlay.outline, limbs=overlay.limbs,
        antialias=overlay.antialias, ground=overlay.ground,
    )  # fmt: skip


def marked(overlay: Overlay) -> NDArray[np.uint8]:
    """The picture, with a label if it shows no mesh because of a fault: a judge must not take it for a photograph."""
    if overlay.mask.any() or not overlay.remarks:
        return overlay.image
    picture = Image.fromarray(overlay.image)
    burn_label(picture, f"NOT DRAWN: {overlay.remarks[0]}"[:60], 0, 0, max(12, picture.height // 24))
    return np.asarray(picture)


class _Drawing(NamedTuple):
    """A group to be drawn with pictures, and the settings for it."""

    group: Group
    body_path: Path | None
    overlay: OverlaySection
    sight: Sight
    kept: PictureStore | None
    shapes: bool = True
    pack: Callable[[DrawnGroup], DrawnGroup] | None = None


def drawn_groups(
    groups: Sequence[Group], body_path: Path | None, overlay: OverlaySection, *, sight: Sight | None,
    kept: PictureStore | None = None, processes: int = 1, shapes: bool = True,
    pack: Callable[[DrawnGroup], DrawnGroup] | None = None,
) -> Iterator[DrawnGroup]:  # fmt: skip
    """The groups drawn, in order; pictures are drawn by several processes, a few groups ahead, with the same result.

    sight: what the pictures show; None = no pictures. kept: store from which pictures are read; new ones are stored by
    `keep_pictures` alone, as that takes half as long again as drawing them. shapes and pack: as in
    `critique.critic.Needs`.
    """
    if sight is None:
        yield from (draw_group(body(body_path), group, shapes=shapes) for group in groups)
        return
    jobs = [_Drawing(group, body_path, overlay, sight, kept, shapes, pack) for group in groups]
    yield from _done(_drawn, jobs, processes)


def keep_pictures(
    groups: Sequence[Group], body_path: Path | None, overlay: OverlaySection, sight: Sight, kept: PictureStore,
    processes: int = 1,
) -> None:  # fmt: skip
    """Draw and store the pictures of those groups that have none in the store, and nothing else."""
    jobs = [_Drawing(group, body_path, overlay, sight, kept, shapes=False) for group in groups]
    for _ in _done(_stored, jobs, processes):
        pass


def _done(work: Callable[[_Drawing], Done], jobs: Sequence[_Drawing], processes: int) -> Iterator[Done]:
    """`work` on each job; the renderer of this process is closed at the end, those of others end with them."""
    try:
        yield from in_processes(work, jobs, processes)
    finally:
        if _renderer.cache_info().currsize:
            _renderer(jobs[0].overlay.backend).close()
            _renderer.cache_clear()


def _drawn(job: _Drawing) -> DrawnGroup:
    drawn = _kept(job) or _draw(job)
    return drawn if job.pack is None else job.pack(drawn)


def _stored(job: _Drawing) -> None:
    digest = picture_digest(job)
    if job.kept is not None and not job.kept.holds(digest):
        drawn = _draw(job)
        assert drawn.photograph is not None
        job.kept.write(digest, Pictures(drawn.photograph, drawn.overlays, drawn.sides))


def _draw(job: _Drawing) -> DrawnGroup:
    return draw_group(
        body(job.body_path), job.group, renderer=_renderer(job.overlay.backend), size=job.overlay.size,
        sight=job.sight, shapes=job.shapes, style=style_of(job.overlay),
    )  # fmt: skip


def _kept(job: _Drawing) -> DrawnGroup | None:
    """The group with its stored pictures, if there are any."""
    if job.kept is None or (pictures := job.kept.read(picture_digest(job))) is None:
        return None
    drawn = draw_group(body(job.body_path), job.group, shapes=job.shapes)
    return DrawnGroup(job.group, drawn.silhouettes, drawn.penetration, *pictures)


def picture_store(store_root: Path) -> PictureStore:
    """The store of pictures beside the groups of a store."""
    return PictureStore(store_root / "pictures")


def kept_pictures(
    group: Group, body_path: Path | None, overlay: OverlaySection, sight: Sight, store_root: Path
) -> tuple[str, Path]:
    """Digest and file of a group's pictures; the file need not exist."""
    digest = picture_digest(_Drawing(group, body_path, overlay, sight, None))
    return digest, picture_store(store_root).file(digest)


_body_digest = lru_cache(maxsize=2)(body_digest)  # the file of a body may be large


def picture_digest(job: _Drawing) -> str:
    """Digest of all that the pictures of a group depend on."""
    group, person = job.group, job.group.person
    look = job.overlay.model_dump(include=LOOK)
    how = (DRAWN_AS, _body_digest(job.body_path), renderer_name(job.overlay.backend), sorted(look.items()), *job.sight)
    return digest_of(
        [repr(how), person.photo_sha256, person.camera, person.crop, group.betas, group.pose, group.translation,
         *([] if group.shapes is None else [group.shapes]), *(mesh.vertices for mesh in group.meshes if mesh)]
    )  # fmt: skip


@lru_cache(maxsize=1)
def _renderer(backend: str) -> OverlayRenderer:
    """One renderer per process."""
    return open_renderer(backend)


def framed_photograph(group: Group, size: int, whole: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The photograph around the person or all of it, RGB pixels (size, size, 3), and its camera (4,), px.

    If a body extends beyond the photograph, the frame ends at the photograph's border. Raises PhotographError if the
    photograph is gone or has changed.
    """
    return framed(photograph_of(group.person), group.person, size, whole)


def photograph_of(person: Person) -> NDArray[np.uint8]:
    """RGB pixels (h, w, 3) of a person's photograph. Raises PhotographError if it is gone or has changed."""
    photograph = read_photograph(Path(person.photo))
    if photograph.sha256 != person.photo_sha256:
        raise PhotographError(
            f"{person.photo}: has changed since its people were found, so their meshes belong to another picture. "
            "Put it back, or run `hmr-align sample` again: it is then looked at anew"
        )
    return photograph.pixels


def framed(
    pixels: NDArray[np.uint8], person: Person, size: int, whole: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """`framed_photograph` from RGB pixels (h, w, 3) that have been read already; camera (4,) in px."""
    height, width = pixels.shape[:2]
    if whole:
        crop = np.array([width / 2, height / 2, max(width, height)], np.float32)
    else:
        crop = frame_about(person.crop, height, width)
    return crop_square(pixels, crop, size), camera_of_crop(person.camera, crop, size)


def save_pictures(drawn: DrawnGroup, folder: Path) -> list[Path]:
    """Write photograph, overlays and side views as JPEG files; returns their paths, the photograph first."""
    pictures: Sequence[tuple[str, NDArray[np.uint8] | None]] = [
        ("photograph.jpg", drawn.photograph),
        *((f"overlay_{k:02d}.jpg", picture) for k, picture in enumerate(drawn.overlays)),
        *((f"side_{k:02d}.jpg", picture) for k, picture in enumerate(drawn.sides)),
    ]
    written = []
    for name, picture in pictures:
        if picture is not None:
            save_jpeg(picture, folder / name)
            written.append(folder / name)
    return written


def save_encoded(
    drawn: DrawnGroup, folder: Path, encoding: Encoding, turntables: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, str]:
    """Write a group's pictures under names made of their content, and a sheet of all overlays with their numbers.

    turntables: animations that are written too, by the ending of their files, "gif" and "mp4". Returns the names by
    what they show ("overlay_03", "side_03", "photograph", "sheet", "turntable_gif"), which `pictures.json` holds too;
    files of an earlier call that are not among them are removed.
    """
    shown: dict[str, NDArray[np.uint8]] = {f"overlay_{k:02d}": picture for k, picture in enumerate(drawn.overlays)}
    shown |= {f"side_{k:02d}": picture for k, picture in enumerate(drawn.sides)}
    if drawn.photograph is not None:
        shown["photograph"] = drawn.photograph
    if drawn.overlays:
        shown["sheet"] = contact_sheet(drawn.overlays, [str(k) for k in range(len(drawn.overlays))], most=2048)
    files = {role: encoded(picture, encoding) for role, picture in shown.items()}
    names = {role: picture.name(role) for role, picture in files.items()}
    contents = {names[role]: picture.data for role, picture in files.items()}
    for ending, content in turntables.items():
        names[f"turntable_{ending}"] = f"turntable.{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
        contents[names[f"turntable_{ending}"]] = content
    index = folder / "pictures.json"
    earlier = json.loads(index.read_text()).values() if index.is_file() else ()
    for name, data in contents.items():
        if not (folder / name).is_file():
            write_bytes(folder / name, data)
    write_text(index, json.dumps(names, indent=1))
    for name in set(earlier) - set(names.values()):
        (folder / Path(name).name).unlink(missing_ok=True)
    return names


def turntables_of(
    body_model: Body, group: Group, size: int, style: Style = DEFAULT_STYLE, mp4: bool = False
) -> dict[str, bytes]:
    """Files in which a group's first mesh turns about itself, by their ending: a GIF, and an MP4 if asked for.

    Raises FilmError if an MP4 cannot be made here.
    """
    mesh = meshes_of(body_model, group, group_vertices(body_model, group))[0]
    frames = list(turntable([mesh], size, style=style))
    return {"gif": animated(frames), **({"mp4": filmed(frames)} if mp4 else {})}


def save_jpeg(picture: NDArray[np.uint8], path: Path) -> None:
    """Write RGB pixels (h, w, 3) as a JPEG file."""
    with finished_file(path) as unfinished:
        Image.fromarray(picture).save(unfinished, quality=88)


def frame_about(crop: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The square (centre x, centre y, side), px, around the part of the photograph that the enlarged crop shows.

    crop: (3,) centre x, centre y, side, px; height and width of the photograph, px.
    """
    reach = crop[2] * MARGIN / 2
    low = np.clip(crop[:2] - reach, 0, (width, height))
    high = np.clip(crop[:2] + reach, 0, (width, height))
    return np.array([*((low + high) / 2), max((high - low).max(), 32.0)], np.float32)


def camera_of_crop(camera: NDArray[np.float32], crop: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Camera (4,) of a square crop (3,) of the photograph that was resized to `size` px; all in px."""
    factor = size / crop[2]
    corner = crop[:2] - crop[2] / 2
    return np.array([*(camera[:2] * factor), *((camera[2:] - corner) * factor)], np.float32)

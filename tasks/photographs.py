"""Where the photographs of a run come from: the user's folder, or the embedded default."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from hmr.detection.photograph import whole_picture
from hmr.processes import in_processes
from hmr.studio.studio import Split, photographs
from storage.finished_file import finished_file, read_again, write_bytes
from tasks.run.shard_task import task
from tasks.sampling import body

CHUNK = 64


@task(task_run_name="copy free photographs")
def free_photographs(folder: Path) -> Path:
    """Copy the free photographs into a folder of the run; `tasks/assets/photographs/NOTICE.md` gives their sources."""
    for shipped in resources.files("tasks").joinpath("assets", "photographs").iterdir():
        path, content = folder / shipped.name, shipped.read_bytes()
        if path.suffix == ".jpg" and not (path.exists() and path.read_bytes() == content):
            write_bytes(path, content)
    return folder


@task(task_run_name="photograph {split}")
def studio_photographs(split: Split, count: int, folder: Path, processes: int = 1) -> Path:
    """Draw a split of the studio as files `<split>-<scene>.png`: pictures, without any labels.

    Always with the embedded body: the studio is one fixed benchmark.
    """
    save_scenes(split, range(count), folder, processes)
    return folder


def save_scenes(split: Split, scenes: Iterable[int], folder: Path, processes: int = 1) -> None:
    """Draw these scenes as `studio_photographs` does; existing files stay.

    The scenes of a chunk are always placed together, even if some exist: another batch would change the last bits.
    """
    every = list(scenes)
    parts = [_Chunk(split, every[start : start + CHUNK], folder) for start in range(0, len(every), CHUNK)]
    for _ in in_processes(_save_chunk, parts, processes):
        pass


class _Chunk(NamedTuple):
    split: Split
    scenes: list[int]
    folder: Path


def _save_chunk(chunk: _Chunk) -> None:
    paths = {index: chunk.folder / f"{chunk.split}-{index:06d}.png" for index in chunk.scenes}
    missing = [index for index, path in paths.items() if read_again(path, whole_picture) is None]
    if missing:
        for index, pixels in zip(chunk.scenes, photographs(body(None), chunk.split, chunk.scenes)):
            if index in missing:
                _save(Image.fromarray(pixels), paths[index])


def _save(picture: Image.Image, path: Path) -> None:
    with finished_file(path) as unfinished:
        picture.save(unfinished, compress_level=1)

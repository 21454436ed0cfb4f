"""Loads, saves, pins, exports and imports the critic's memory."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from critique.memory.embedders import CaseEmbedder, case_embedder
from critique.memory.memory import Memory, from_rows, read_toml, to_rows, to_toml, untrusted, with_imported
from critique.memory.memory_settings import RECALL
from critique.vlm.vlm_critic import VlmCritic
from critique.vlm.vlm_settings import VlmSettings
from storage.finished_file import write_bytes, write_text
from storage.memory_store import MemoryStore
from tasks.run.settings import SettingsError

PINNED = "memory.json"
"""File in a run's folder with the version of each memory that the run uses."""


def vlm_critic(settings: VlmSettings, cache: Path | None = None, anew: bool = False) -> VlmCritic:
    """The critic with the memory that its settings name; `cache`, a file in the run's folder, stores its answers."""
    return VlmCritic(settings, memory=memory_of(settings, cache and cache.parent), cache=cache, anew=anew)


def memory_of(settings: VlmSettings, run: Path | None = None) -> Memory:
    """The memory that a critic's settings name: the version that the run is pinned to, else the newest."""
    root = settings.memory
    return Memory() if root is None else load_memory(root, settings, _pinned(run).get(str(root.absolute())))


def pin_memory(run: Path, root: Path) -> None:
    """Pin a run to the newest version of a memory now, whatever `hmr-align reflect` adds later.

    If the run is pinned to a version already, that stays; to judge with a newer one, remove `memory.json` of the run.
    """
    kept, name, version = _pinned(run), str(root.absolute()), newest(root)
    if version is None or name in kept:
        return
    write_text(run / PINNED, json.dumps(kept | {name: version}, indent=1))


@contextmanager
def newest_memory(run: Path, root: Path | None) -> Iterator[Callable[[], None]]:
    """Context in which a run is pinned to the newest version of a memory; yields a function that makes it stay so.

    Without that the run goes back to its version at the end. None as a memory: nothing is pinned.
    """
    path, kept = run / PINNED, _pinned(run)
    version = None if root is None else newest(root)
    stays: list[bool] = []
    if root is not None and version is not None and kept.get(str(root.absolute())) not in (None, version):
        write_text(path, json.dumps(kept | {str(root.absolute()): version}, indent=1))
        try:
            yield lambda: stays.append(True)
        finally:
            if not stays:
                write_text(path, json.dumps(kept, indent=1))
    else:
        yield lambda: None


def older_memory(run: Path, root: Path) -> str | None:
    """A message if a run is pinned to a version of a memory that is not the newest; None if it is not."""
    version, last = _pinned(run).get(str(root.absolute())), newest(root)
    if version in (None, last):
        return None
    return f"{root}: version {version}, with which the run began, not {last}; remove {run / PINNED} to take the newest"


def version_of(settings: VlmSettings, run: Path | None = None) -> str | None:
    """The version of the memory that `memory_of` reads; None without a memory."""
    root = settings.memory
    return None if root is None else _pinned(run).get(str(root.absolute())) or newest(root)


def _pinned(run: Path | None) -> dict[str, str]:
    """Memory -> version that the run is pinned to. Raises SettingsError if the file is damaged."""
    path = run and run / PINNED
    try:
        return dict(json.loads(path.read_bytes())) if path and path.exists() else {}
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"{path}: damaged ({error}), so nobody can tell which version of its memory this run keeps to. Restore the "
            "file from a copy, or remove it to go on with the newest"
        ) from None


def load_memory(root: Path, critic: VlmSettings | None = None, version: str | None = None) -> Memory:
    """A version of a memory, the newest by default, with retrieval and embedder as in a critic's settings."""
    rows = MemoryStore(root).read(version)
    if critic is None:
        return from_rows(rows, str(root), RECALL)
    return from_rows(rows, str(root), critic.recall, embedder_of(critic))


def embedder_of(critic: VlmSettings) -> CaseEmbedder:
    """The embedder that finds prototypes near a case; an endpoint is the critic's own, asked for embeddings."""
    remote = critic.recall.embedder.startswith("endpoint:")
    return case_embedder(critic.recall.embedder, critic.address if remote else None, critic.api_key_variable)


def save_memory(root: Path, memory: Memory, after: str | None) -> str:
    """Commit a memory as the version after the one that it was made from; returns the version's name."""
    return MemoryStore(root).write(to_rows(memory), after)


def newest(root: Path) -> str | None:
    """The newest version of a memory; None if there is none yet."""
    return next(reversed(MemoryStore(root).versions()), None)


def export_memory(root: Path, folder: Path) -> Path:
    """Write a memory as `memory.toml` and pictures into a folder; returns the TOML file."""
    text, pictures = to_toml(load_memory(root))
    for name, picture in pictures.items():
        write_bytes(folder / name, picture)
    file = folder / "memory.toml"
    write_text(file, text)
    return file


def import_memory(root: Path, file: Path, time: str, *, trust: bool = False) -> tuple[str, int, int]:
    """Add the content of a TOML file to a memory, which may be new; returns version, new rules and new prototypes.

    A rule that is nearly a copy of a known one is merged with it and does not count as new. Rules come in as
    candidates, to be tested when the critic next reflects; with `trust` they keep the state that the file gives.
    """
    brought = read_toml(file)
    if not trust:
        brought = untrusted(brought)
    before = newest(root)
    memory = Memory() if before is None else load_memory(root)
    after = with_imported(memory, brought, time)
    added = len(after.rules) - len(memory.rules), len(after.prototypes) - len(memory.prototypes)
    if before is not None and (after.rules, after.prototypes) == (memory.rules, memory.prototypes):
        return before, 0, 0
    return save_memory(root, after, before), *added

"""The critic's memory between its store, its readable form and the critics that are shown it."""

import json
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
"""In a run's folder: which version of each memory it keeps to."""


def vlm_critic(settings: VlmSettings, cache: Path | None = None, anew: bool = False) -> VlmCritic:
    """The critic with the memory that its settings name; `cache`, a file in the run's folder, keeps its answers."""
    return VlmCritic(settings, memory=memory_of(settings, cache and cache.parent), cache=cache, anew=anew)


def memory_of(settings: VlmSettings, run: Path | None = None) -> Memory:
    """The memory that a critic's settings name: the version that the run is pinned to, else the newest."""
    root = settings.memory
    return Memory() if root is None else load_memory(root, settings, _pinned(run).get(str(root.absolute())))


def pin_memory(run: Path, root: Path) -> None:
    """Have a run keep to the version of a memory that is the newest now, whatever `hmr-align reflect` adds meanwhile.

    A version that the run is pinned to already stays; to judge with a newer one, remove `memory.json` of the run.
    """
    kept, name, version = _pinned(run), str(root.absolute()), newest(root)
    if version is None or name in kept:
        return
    write_text(run / PINNED, json.dumps(kept | {name: version}, indent=1))


def older_memory(run: Path, root: Path) -> str | None:
    """What to tell about a run that is pinned to an older version of a memory than the newest; None if it is not."""
    version, last = _pinned(run).get(str(root.absolute())), newest(root)
    if version in (None, last):
        return None
    return f"{root}: version {version}, with which the run began, not {last}; remove {run / PINNED} to take the newest"


def version_of(settings: VlmSettings, run: Path | None = None) -> str | None:
    """The version of the memory that `memory_of` takes; None without a memory."""
    root = settings.memory
    return None if root is None else _pinned(run).get(str(root.absolute())) or newest(root)


def _pinned(run: Path | None) -> dict[str, str]:
    """Memory -> version, as far as a run is pinned."""
    path = run and run / PINNED
    try:
        return dict(json.loads(path.read_bytes())) if path and path.exists() else {}
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"{path}: damaged ({error}), so nobody can tell which version of its memory this run keeps to. Restore the "
            "file from a copy, or remove it to go on with the newest"
        ) from None


def load_memory(root: Path, critic: VlmSettings | None = None, version: str | None = None) -> Memory:
    """A version of a memory, the newest by default, recalled and embedded as a critic's settings say."""
    rows = MemoryStore(root).read(version)
    if critic is None:
        return from_rows(rows, str(root), RECALL)
    return from_rows(rows, str(root), critic.recall, embedder_of(critic))


def embedder_of(critic: VlmSettings) -> CaseEmbedder:
    """What places cases among prototypes; an endpoint is the critic's own, asked for its embeddings."""
    remote = critic.recall.embedder.startswith("endpoint:")
    return case_embedder(critic.recall.embedder, critic.address if remote else None, critic.api_key_variable)


def save_memory(root: Path, memory: Memory, after: str | None) -> str:
    """Commit a memory as the version after the one that it was made from; returns its name."""
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
    """Add what a TOML file holds to a memory, which may be new; returns version, new rules and new prototypes.

    A rule that says nearly what a known one says goes into that one, and is no new rule.
    Rules come in as candidates, to be tested when the critic next reflects; with `trust` as what the file calls them.
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

"""A short record of a photograph's results: `photograph.json` in its folder, written last.

Free of prefect and torch: a second call that has nothing to do ends within a second.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from storage.finished_file import read_again
from tasks.groups.look import DRAWN_AS, LOOK
from tasks.run.settings import Settings, SettingsError

FILE = "photograph.json"
FORMAT = "hmr-align/recovered/1"

Record = dict[str, Any]

_IDLE = {
    "recover": ("out", "name", "processes"),
    "sample": ("hypotheses", "temperature", "temperature_spread", "device", "compile"),  # [recover] has its own
}
"""Settings that do not change results."""


@dataclass(frozen=True)
class Job:
    """One photograph to be processed."""

    photograph: Path
    folder: Path  # for its results
    inputs_sha256: str
    settings: Settings
    settings_sha256: str


def read_record(folder: Path) -> Record | None:
    """The record of a folder whose results are complete; None if there are none, or a file is missing or cut short."""
    return read_again(folder / FILE, _whole)


def _whole(path: Path) -> Record:
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["format"] != FORMAT:
        raise ValueError(f"of another format, {record['format']}")
    files = record["files"]
    sizes = files if isinstance(files, dict) else dict.fromkeys(files)  # version 0.1 kept the names alone
    for name, size in sizes.items():
        if not (path.parent / name).is_file() or size not in (None, (path.parent / name).stat().st_size):
            raise ValueError(f"{name} beside it is lost or cut short")
    return record


def records_in(results: Path) -> dict[str, Record]:
    """Folder -> record of all photographs with complete results, ordered by the photograph's name."""
    if not results.is_dir():
        return {}
    folders = [path for path in results.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = {path.name: record for path in folders if (record := read_record(path))}
    return dict(sorted(found.items(), key=lambda pair: (Path(pair[1]["photo"]).name.lower(), pair[0])))


def is_done(job: Job) -> bool:
    """Whether the photograph's results are complete and were made from the same bytes with the same settings."""
    record = read_record(job.folder)
    wanted = (str(job.photograph), job.inputs_sha256, job.settings_sha256)
    return record is not None and (record["photo"], record["inputs_sha256"], record["settings_sha256"]) == wanted


def recovery_sha256(settings: Settings) -> str:
    """Digest of all that can change a photograph's results, including the bytes of body and model.

    Raises SettingsError if the file of body or model cannot be read.
    """
    plain = settings.model_dump(mode="json")
    for section, names in _IDLE.items():
        for name in names:
            del plain[section][name]
    plain["recover"]["formats"] = sorted({"npz", *settings.recover.formats})
    parts = {
        "format": FORMAT,
        "version": version("hmr-align"),
        "body": _file_sha256(settings.base.body) if settings.base.body else "embedded",
        "model": _model_sha256(checkpoint_of(settings)),
        "focal_px": settings.photographs.focal_px,
        "crop_margin": settings.photographs.crop_margin,
        "evidence": plain["critic"]["evidence"],
        "overlay": {key: plain["overlay"][key] for key in ("backend", *sorted(LOOK))},
        "drawn_as": DRAWN_AS,
        "seed": settings.run.seed,
        "recover": plain["recover"],
        "sample": plain["sample"],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def checkpoint_of(settings: Settings) -> str:
    """The model that draws the groups: the one in the settings, else the default one."""
    return str(settings.base.checkpoint or "default")


def _model_sha256(name: str) -> str:
    shipped = resources.files("hmr") / "assets" / f"base_{name}.safetensors"
    if shipped.is_file():
        return hashlib.sha256(shipped.read_bytes()).hexdigest()
    return _file_sha256(Path(name))


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}. Give --checkpoint or --body the path of a file that can be read."
        ) from None

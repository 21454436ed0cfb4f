"""What the settings name and is not there, all at once: a list that somebody can work through."""

import os
from collections.abc import Iterator
from pathlib import Path

from critique.vlm.vlm_settings import VlmSettings
from tasks.critics.remembering import newest
from tasks.data.selection import files_of, some_pictures
from tasks.run.settings import CriticSection, Records, Settings, SettingsError, validate

LOOKED_FOR = 20  # pictures of each dataset


def refuse_missing(settings: Settings) -> None:
    """Raises one SettingsError that lists every missing file, each with its key and what to do."""
    lacking = list(missing_files(settings))
    if lacking:
        raise SettingsError("\n    ".join([f"{len(lacking)} of the files that the settings name:", *lacking]))


def missing_files(settings: Settings) -> Iterator[str]:
    """Each missing file, folder or memory, and each dataset whose pictures are not where it says."""
    folder = settings.photographs.folder
    if folder is not None and not folder.is_dir():
        yield f"[photographs] folder = {folder}: there is no such folder"
    for name in ("train", "val", "test"):
        for one in getattr(settings.data, name):
            yield from _of_records(f"[data] {name}", one)
    base = settings.base
    if base.body is not None and not base.body.is_file():
        yield f"[base] body = {base.body}: get it from the body's own site"
    if isinstance(base.checkpoint, Path) and not base.checkpoint.is_file():
        yield f"[base] checkpoint = {base.checkpoint}: get it from its authors; `hmr-align convert` makes .safetensors"
    yield from _of_critic(settings.critic)


def missing_variables(settings: Settings) -> Iterator[str]:
    """What the judge's server will need and neither settings nor environment say."""
    for vlm in [vlm_of(settings)] if asks_somewhere(settings) else []:
        if vlm.model is None:
            yield '[critic.vlm] model: unset; name it as the server lists it, as in model = "the-model-you-serve"'
        if vlm.base_url is None and not os.environ.get("OPENAI_BASE_URL", "").strip():
            yield "OPENAI_BASE_URL: not set in the environment; the address of the judge's server"
        if not os.environ.get(vlm.api_key_variable, "").strip():
            yield f"{vlm.api_key_variable}: not set in the environment; the server's key, or any word without one"


def vlm_of(settings: Settings) -> VlmSettings:
    """The settings of the judge on a server. Raises SettingsError if they are invalid."""
    return validate(VlmSettings, settings.critic.vlm, "settings", "critic.vlm")


def asks_somewhere(settings: Settings) -> bool:
    """Whether the critic, the monitor, or the critic that chooses in the benchmark asks a server."""
    section = settings.critic
    names = [section.name, section.monitor, settings.benchmark.critic]
    return any(section.named(name).asks_server for name in names if name is not None)


def _of_records(where: str, one: Records) -> Iterator[str]:
    try:
        files_of(one.records)
    except SettingsError:
        yield f"{where} records = {one.records}: no such file; `hmr-align data import` writes it"
        return
    if not one.photos.is_dir():
        yield f"{where} photos = {one.photos}: there is no such folder"
        return
    wanted = some_pictures(one, LOOKED_FOR)
    lost = [path for path in wanted if not path.is_file()]
    if lost:
        yield f"{where} {one.records.name}: {len(lost)} of {len(wanted)} pictures looked for, as {lost[0]}"


def _of_critic(section: CriticSection) -> Iterator[str]:
    used = {section.name, *section.judges, section.monitor}
    named = {
        "scorenet": ("checkpoint", section.scorenet.checkpoint),
        "distilled": ("judge", section.distilled.judge),
        "cascade": ("judge", section.cascade.judge),
    }
    for name, (key, file) in named.items():
        if name in used and file is not None and not file.is_file():
            yield f"[critic.{name}] {key} = {file}: there is no such file"
    if "vlm" in used:
        memory = validate(VlmSettings, section.vlm, "settings", "critic.vlm").memory
        if memory is not None and newest(memory) is None:
            yield f"[critic.vlm] memory = {memory}: holds no memory; `hmr-align reflect` makes one, or leave it out"

"""A folder of photographs -> an event when it has changed, on which `hmr-align deploy` can have sampling started."""

import logging

from prefect import flow

from flows.record.run_labels import labelled
from tasks.groups.folder_watch import look, note, noted
from tasks.run.events import tell_event
from tasks.run.settings import Settings, SettingsError

log = logging.getLogger(__name__)


@flow(name="watch-photographs", **labelled("watch"))
def watch_photographs(settings: Settings) -> bool:
    """Look at the run's folder of photographs once; returns whether it has changed since the last look.

    A folder into which files are still being copied counts as unchanged until they are still. Raises SettingsError
    without `[photographs] folder`, or if the folder is gone.
    """
    folder = settings.photographs.folder
    if folder is None or not folder.is_dir():
        raise SettingsError(f"[photographs] folder = {str(folder)!r}: name a folder that is there, to watch it")
    found, before = look(folder, settings.photographs.nested), noted(settings.run.folder)
    if found.busy or found.files == before:
        log.info("%s: %s", folder, "files are still being written" if found.busy else "nothing has changed")
        return False
    counts = {"added": len(found.files.keys() - before.keys()), "removed": len(before.keys() - found.files.keys())}
    counts["changed"] = sum(before[name] != sign for name, sign in found.files.items() if name in before)
    log.info("%s: %s", folder, ", ".join(f"{count} {what}" for what, count in counts.items()))
    tell_event("photographs-changed", settings.run.name, folder=folder, **counts)
    note(settings.run.folder, found.files)
    return True

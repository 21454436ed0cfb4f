"""`hmr-align doctor`: what this machine has, and how to fix what is missing.

Every check returns a `Diagnosis` and never raises. To add one: a function here, a line in `examine`.
No secret is ever printed: only names of variables, and only host and port of an address.
"""

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from critique.vlm.vlm_settings import VlmConfigError, check_address
from flows.cli.faults import one_line
from flows.record.clock import seconds_ahead, warning_of
from flows.record.dead_runs import free_flow_runs, silent_runs
from flows.server.prefect_settings import PrefectSettingsError, load_prefect
from flows.server.server import Server, ServerError, find_server, recording_into
from tasks.run.settings import Settings

ROOM_WANTED = 2e9  # free bytes needed for the embedded main job, with a margin


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check."""

    name: str
    state: Literal["ok", "optional", "missing"]  # only `missing` stops the main job
    found: str
    fix: str = ""


def examine(settings: Settings) -> list[Diagnosis]:
    """All results for these settings, those that the main job needs first."""
    with ThreadPoolExecutor(1) as beside:
        driver = beside.submit(gl)  # waits for a process of its own, while torch is imported here
        return [
            python(),
            torch(),
            accelerator(),
            *assets(),
            body(settings),
            weights(settings),
            room(settings.run.out),
            driver.result(),
            vlm(settings.critic.vlm),
            *prefect(),
        ]


def python() -> Diagnosis:
    """The interpreter, and whether its version is supported."""
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Diagnosis("Python", "ok", found)
    return Diagnosis("Python", "missing", found, "Use Python 3.11, 3.12 or 3.13.")


def torch() -> Diagnosis:
    """The installed PyTorch."""
    try:
        return Diagnosis("PyTorch", "ok", importlib.import_module("torch").__version__)
    except ImportError as error:
        return Diagnosis("PyTorch", "missing", str(error), "pip install -c constraints.txt -e .")


def accelerator() -> Diagnosis:
    """The GPU that torch sees, if any."""
    cores = f"{len(os.sched_getaffinity(0))} CPU cores"
    try:
        cuda = importlib.import_module("torch").cuda
        if cuda.is_available():
            gigabytes = cuda.get_device_properties(0).total_memory / 1e9
            return Diagnosis("GPU", "ok", f"{cuda.get_device_name(0)}, {gigabytes:.0f} GB; {cores}")
    except (ImportError, RuntimeError, AssertionError) as error:
        return Diagnosis("GPU", "optional", f"{error}; {cores}")
    return Diagnosis(
        "GPU",
        "optional",
        f"none; {cores} do all the work",
        "For a GPU install a CUDA build of torch (docs/bring-your-own.md).",
    )


def assets() -> Iterator[Diagnosis]:
    """The files shipped in hmr/assets."""
    files = {
        "Embedded body": "body_light.npz",
        "Person detector": "pose_landmarker_full.task",
        "Second look": "pose_landmark_heavy.tflite",
    }
    for name, file in files.items():
        yield _asset(name, file)


def _asset(name: str, file: str) -> Diagnosis:
    try:
        with resources.as_file(resources.files("hmr") / "assets" / file) as path:
            return Diagnosis(name, "ok", f"hmr/assets/{file}, {path.stat().st_size / 1e6:.1f} MB")
    except OSError:
        return Diagnosis(name, "missing", f"no hmr/assets/{file}", f"git checkout hmr/assets/{file}")


def body(settings: Settings) -> Diagnosis:
    """The licensed body file that the settings name, if any."""
    path = settings.base.body
    if path is None:
        return Diagnosis(
            "Licensed body",
            "optional",
            "none given; the embedded body is used",
            "Give SMPL_NEUTRAL.pkl or .npz: --body FILE.",
        )
    try:
        loaded = importlib.import_module("hmr.body.body").load_body(path)
    except (OSError, ValueError) as error:
        return Diagnosis("Licensed body", "missing", str(error), "Correct [base] body or --body.")
    return Diagnosis("Licensed body", "ok", f"{path}: {loaded.name}, {loaded.vertex_count} vertices")


def weights(settings: Settings) -> Diagnosis:
    """The weights that the settings start from."""
    chosen = settings.base.checkpoint or ("default" if settings.photographs.folder else "lab")
    if isinstance(chosen, str):
        finding = _asset("Model weights", f"base_{chosen}.safetensors")
        return (
            finding
            if finding.state == "ok"
            else Diagnosis(
                finding.name,
                "missing",
                finding.found,
                f"{finding.fix}, or train them: hmr-align pretrain {chosen}",
            )
        )
    if chosen.is_file():
        return Diagnosis("Model weights", "ok", f"{chosen}, {chosen.stat().st_size / 1e6:.1f} MB")
    return Diagnosis("Model weights", "missing", f"no file {chosen}", "Correct [base] checkpoint or --checkpoint.")


def room(out: Path) -> Diagnosis:
    """Whether results can be written, and the free space."""
    folder = next(place for place in (out, *out.parents) if place.exists())
    free = shutil.disk_usage(folder).free
    found = f"{out}: {free / 1e9:.1f} GB free"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Diagnosis("Results folder", "missing", f"{out} cannot be written", "Choose another: --out DIR.")
    if free < ROOM_WANTED:
        return Diagnosis("Results folder", "optional", found, f"{ROOM_WANTED / 1e9:.0f} GB are wanted: --out DIR.")
    return Diagnosis("Results folder", "ok", found)


def gl() -> Diagnosis:
    """Whether pyrender can draw here."""
    works, how = importlib.import_module("hmr.rendering.gl_platform").check_gl()
    if works:
        return Diagnosis("OpenGL", "ok", how)
    fix = "Nothing needs it. For pyrender's pictures: apt-get install libegl1, or libosmesa6."
    return Diagnosis("OpenGL", "optional", f"{how}; the software rasteriser draws", fix)


def vlm(table: dict[str, Any]) -> Diagnosis:
    """Whether a remote critic can be asked, and to which host its pictures would be sent."""
    key = str(table.get("api_key_variable", "OPENAI_API_KEY"))
    set_here = table.get("base_url")
    address = str(set_here or os.environ.get("OPENAI_BASE_URL", "").strip())
    where = "[critic.vlm] base_url" if set_here else "OPENAI_BASE_URL"
    if address:
        try:
            check_address(address, where)
        except VlmConfigError as error:
            fix = f"Only for --critic vlm: correct {where}."
            return Diagnosis("VLM critic", "optional", f"no picture can be sent: {error}", fix)
    unset = [] if os.environ.get(key) else [key]
    unset += [] if address else ["OPENAI_BASE_URL"]
    unset += [] if table.get("model") else ["[critic.vlm] model"]
    goal = f"pictures would be sent to {_host(address)}" if address else "no address, so no picture can be sent"
    if not unset:
        return Diagnosis("VLM critic", "ok", f"{key} is set; {goal}")
    fix = "Only for --critic vlm: set " + ", ".join(unset) + "."
    return Diagnosis("VLM critic", "optional", f"not set: {', '.join(unset)}; {goal}", fix)


def _host(address: str) -> str:
    """host:port of an address, the port also where it is the scheme's own."""
    url = urlsplit(address)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port or {'http': 80, 'https': 443}[url.scheme]}"


def prefect() -> Iterator[Diagnosis]:
    """The Prefect server, and runs of ours that are stuck on it."""
    try:
        server = find_server()
    except (ServerError, PrefectSettingsError) as error:
        yield Diagnosis("Prefect server", "missing", str(error), "Mend what it says, or unset PREFECT_API_URL.")
        return
    if server is None:
        yield Diagnosis("Prefect server", "ok", "none runs; each command starts its own and stops it")
        return
    yield Diagnosis("Prefect server", "ok", server.url)
    try:
        stuck, ahead = stuck_runs(server), ahead_of(server)
    except Exception as error:  # whatever another server does: a check never raises
        yield Diagnosis("Dead runs", "optional", one_line(error), "hmr-align doctor --debug says more.")
        return
    if words := warning_of(ahead):
        yield Diagnosis("Clock", "optional", words, "Set the clock of this machine or of the server.")
    if stuck:
        found = ", ".join(f"{name} ({run})" for run, name in stuck.items())
        yield Diagnosis("Dead runs", "optional", found, "hmr-align doctor --free marks them Crashed.")


def stuck_runs(server: Server) -> dict[UUID, str]:
    """Our flow runs in the state Running without heartbeat: id -> name."""
    with recording_into(server):
        load_prefect()
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return silent_runs(client)


def ahead_of(server: Server) -> float:
    """By how many seconds this machine's clock is ahead of the server's."""
    with recording_into(server):
        load_prefect()
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return seconds_ahead(client)


def free_runs(server: Server) -> dict[UUID, str]:
    """Mark the runs of `stuck_runs` and their tasks Crashed; returns them: id -> name."""
    with recording_into(server):
        load_prefect()
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return free_flow_runs(client)

"""Ten thousand photographs' worth of groups, from writing to looking: whether memory stays flat, how long pages take.

Each part is a process of its own, as users run it; its memory is read every few hundredths of a second, and the largest
value in each quarter of its time is kept. Groups are made up, and the critic is one that looks at no picture: what is
measured is what grows with the number of groups.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

GROUPS, VIEWED = 10_000, 200
"""Groups, and how many of them are opened in the viewer."""
LOOK = 0.05  # seconds between two readings of memory

_WRITE = "import sys\nfrom pathlib import Path\nfrom tasks.viewer.made_up_run import make_run\n" \
         "make_run(Path(sys.argv[1]), int(sys.argv[2]))"  # fmt: skip
_CRITIC = '[critic.noisy]\nof = "scorer"\n'
_LISTS = (
    "sort=-mean", "sort=distance", "sort=-disagreement", "sort=best_error&start=5000", "words=feet+float",
    "words=degrees+77", "words=street_00123", "sort=-mean&start=9900",
)  # fmt: skip


def measure_endurance(groups: int = GROUPS, viewed: int = VIEWED) -> list[dict[str, Any]]:
    """All measurements, each with metric, value and unit."""
    from flows.server.server import prefect_server

    memory: dict[str, list[float]] = {}
    with TemporaryDirectory() as made, _home(Path(made) / "home"):
        root = Path(made) / "many"
        memory["write"] = _ended([sys.executable, "-c", _WRITE, str(root), str(groups)])
        settings = Path(made) / "noisy.toml"
        settings.write_text(_CRITIC)
        with prefect_server():
            ours = [sys.executable, "-m", "flows.cli.command_line", "rescore", "--name", "many", "--out", made]
            memory["rescore"] = _ended([*ours, "--critic", "noisy", "--settings", str(settings), "--approve"])
            dashboard, report = _slowest_of_dashboard(), _report_seconds()
        memory["view"], viewer = _viewed(root, groups, viewed)
    unit = f"{groups:,} groups"
    rows = {
        **{
            f"{part}_mb_{k}": (value, f"MB, peak in quarter {k} of the time: {part}, {unit}")
            for part, peaks in memory.items()
            for k, value in enumerate(peaks, 1)
        },
        "viewer_page_s": (viewer, f"s, the slowest of {viewed} groups and {len(_LISTS)} lists of {unit}"),
        "dashboard_page_s": (dashboard, "s, the slowest answer of which the dashboard's pages of the run are made"),
        "report_s": (report, "s, the report beside the dashboard"),
    }
    return [
        {"metric": f"endurance.{name}", "value": value, "unit": said, "baseline": None, "ratio": None}
        for name, (value, said) in rows.items()
    ]


def quarters(samples: Sequence[tuple[float, float]]) -> list[float]:
    """The largest value in each quarter of the time. samples: (seconds, value); a quarter without one is as before."""
    begin, whole = samples[0][0], samples[-1][0] - samples[0][0]
    found: list[float] = []
    for k in range(4):
        low, high = begin + k * whole / 4, begin + (k + 1) * whole / 4
        own = [value for when, value in samples if low <= when <= high]
        found.append(max(own) if own else found[-1])
    return found


@contextmanager
def _memory_of(process: int) -> Iterator[list[tuple[float, float]]]:
    """A list that fills with (seconds, MB) of a process while the block lasts."""
    import psutil

    found: list[tuple[float, float]] = []
    over, watched = Event(), psutil.Process(process)

    def look() -> None:
        while not over.wait(LOOK):
            try:
                found.append((time.monotonic(), watched.memory_info().rss / 1e6))
            except psutil.NoSuchProcess:
                return

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _ended(command: Sequence[str]) -> list[float]:
    """Memory in quarters of a command's time, MB. Raises RuntimeError if it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}  # as in a user's shell
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=own)
    with process, _memory_of(process.pid) as samples:
        _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} ended with {process.returncode}: {said[-2000:]}")
    return quarters([one for one in samples if one[1] > 0])


def _viewed(root: Path, groups: int, viewed: int) -> tuple[list[float], float]:
    """Memory in quarters while the viewer is used, and its slowest answer."""
    import psutil

    from flows.cli.viewer.view_benchmark import serving
    from tasks.viewer.made_up_run import CRITICS

    critic = quote(CRITICS[0])
    with serving(root) as (address, _):
        (viewer,) = [one for one in psutil.Process().children() if str(root) in one.cmdline() and one.is_running()]
        _seconds(lambda: _asked(f"{address}/api/run"))  # reads the store once
        with _memory_of(viewer.pid) as samples:
            taken = [_seconds(lambda: _asked(f"{address}/"))]
            for place in range(viewed):
                number = place * groups // viewed
                name, which = f"street_{number:05d}-{number:08x}-p0", _LISTS[place % len(_LISTS)]
                for path in (f"group/0/round0/{name}", f"crop/0/round0/{name}", f"groups?critic={critic}&{which}"):
                    taken.append(_seconds(lambda path=path: _asked(f"{address}/api/{path}")))
    return quarters(samples), max(taken)


def _slowest_of_dashboard() -> float:
    """Seconds of the slowest of the requests that Prefect's pages of the last run and its artifacts make."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        (run,) = client.request("POST", "/flow_runs/filter", json={"limit": 1, "sort": "START_TIME_DESC"}).json()
        own = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        logs = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200}
        artifacts = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
        kept = client.request("POST", "/artifacts/filter", json=artifacts).json()
        asked: list[tuple[Any, Any, Mapping[str, Any] | None]] = [
            ("POST", "/flow_runs/filter", {"limit": 100, "sort": "START_TIME_DESC"}),
            ("GET", f"/flow_runs/{run['id']}", None),
            ("GET", f"/flow_runs/{run['id']}/graph-v2", None),
            ("POST", "/task_runs/filter", {**own, "limit": 200}),
            ("POST", "/task_runs/count", own),
            ("POST", "/logs/filter", logs),
            ("POST", "/artifacts/filter", artifacts),
            *(("GET", f"/artifacts/{one['id']}", None) for one in kept),
        ]
        if not kept:
            raise RuntimeError(f"the run {run['name']} left no artifact: what was to be measured is not there")
        return max(
            _seconds(lambda one=one: client.request(one[0], one[1], json=one[2]).raise_for_status()) for one in asked
        )


def _report_seconds() -> float:
    """Seconds of the report to which the last run's artifact leads."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        kept = client.request("POST", "/artifacts/filter", json={"limit": 200}).json()
    links = [found[1] for one in kept if (found := re.search(r"\[Open the report\]\((\S+)\)", json.dumps(one["data"])))]
    return max(_seconds(lambda link=link: _asked(link)) for link in links)


def _asked(address: str) -> bytes:
    with urlopen(address, timeout=120) as reply:
        return reply.read()


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """A home of its own for the server and what is recorded."""
    before = os.environ.get("HMR_ALIGN_HOME")
    os.environ["HMR_ALIGN_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HMR_ALIGN_HOME"]
        else:
            os.environ["HMR_ALIGN_HOME"] = before

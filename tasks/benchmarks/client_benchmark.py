"""Rate and memory of the remote critic's client, from groups to verdicts, against a slow server and two cores.

Groups are those of people in the shipped photographs. They are judged as `hmr-align critique` judges them, with
pictures that are drawn meanwhile (`live`) or were drawn by the render stage before (`kept`). The ideal is the smaller
of two rates: the server's at its concurrency, and that of the same processes which only draw (or read) and encode.
The server is the loopback server in a process of its own, on the same cores.

On a busy machine rates swing. What does not is `pictures_share`: the share of all processor time that goes into the
pictures, the rest being the client's and the server's. Where the cores are the limit, the ratio can be no more.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from critique.vlm.picture_encoder import PictureEncoder
from critique.vlm.vlm_critic import VlmCritic
from critique.vlm.vlm_settings import VlmSettings
from hmr.detection.photograph import read_photograph
from hmr.processes import processes_kept
from storage.picture_store import PictureStore
from storage.records import Group, Verdict
from tasks.groups.overlays import drawn_groups, keep_pictures
from tasks.groups.people import people_in
from tasks.groups.sampled_groups import body, model, sample_hypotheses
from tasks.run.settings import OverlaySection, Sample
from tasks.scoring import drawn_for

SERVER = (
    "import json, sys; from critique.endpoint.loopback import LoopbackVlm, says, slow\n"
    "judgement = {f'image_{k + 2}': {'score': 90 - k, 'comment': 'fits'} for k in range(int(sys.argv[2]))}\n"
    "with LoopbackVlm([slow(float(sys.argv[1]), says(json.dumps(judgement)))], keep=False, read=False) as server:\n"
    "    print(server.base_url, flush=True)\n"
    "    sys.stdin.read()\n"
)
KEY = "HMR_ALIGN_BENCH_KEY"
PEOPLE = 12  # different ones; more groups are the same people under other names
BURST = 16  # requests under way when the server alone is measured


class Case(NamedTuple):
    """What is measured, and with what."""

    groups: Sequence[Group]
    overlay: OverlaySection
    in_flight: int
    processes: int
    folder: Path


class Run(NamedTuple):
    """One measurement of the client."""

    rate: float  # groups a second
    cores: float  # the same of the processes alone, measured just before and after
    cpu: float  # seconds of processor time of this process for each group
    server_cpu: float  # the same of the server
    memory: float  # MiB by which this process grew while the counted groups were judged


def measure_client(
    seconds: Sequence[float] = (0.3, 5.0), in_flight: int = 32, groups: int = 96, processes: int = 2,
    hypotheses: int = 20, size: int = 512,
) -> list[dict[str, Any]]:  # fmt: skip
    """Groups per second of `VlmCritic` relative to the ideal, for servers that take so many seconds for an answer.

    groups: for each measurement; the first third is a warm-up and does not count. hypotheses: of a group; size: of an
    overlay, px. Raises RuntimeError if the loopback server does not answer well.
    """
    os.environ[KEY] = "any"
    with tempfile.TemporaryDirectory() as folder, processes_kept():
        case = Case(_groups(groups, hypotheses), OverlaySection(size=size), in_flight, processes, Path(folder))
        kept = PictureStore(Path(folder) / "pictures")
        started = time.perf_counter()
        with _server(0.0, hypotheses) as server:
            critic = _critic(case, server.address, "any")
            keep_pictures(case.groups[:PEOPLE], None, case.overlay, critic.sight, kept, processes)
            storing = time.perf_counter() - started
            alone = _server_rate(critic, case, server.address)
        ways: dict[str, PictureStore | None] = {"live": None, "kept": kept}
        own = {name: _picture_seconds(critic, case, store) for name, store in ways.items()}
        before = {name: _drawing_rate(critic, case, store) for name, store in ways.items()}
        runs: dict[tuple[str, float], Run] = {}
        for pause in seconds:
            for name, store in ways.items():
                run = _judge(case, pause, store)
                after = _drawing_rate(critic, case, store)
                runs[name, pause] = run._replace(cores=(before[name] + after) / 2)
                before[name] = after
    details = {"hypotheses": hypotheses, "picture_px": size, "groups": groups, "processes": processes}
    details |= {"in_flight": in_flight}
    rows = []
    for (name, pause), run in runs.items():
        ideal, by = min(
            (run.cores, f"{processes} processes that only make pictures"), (in_flight / pause, "the server")
        )
        more = {
            "ideal": ideal, "cores": run.cores, "server": in_flight / pause,
            "pictures_share": own[name] / (own[name] + run.cpu + run.server_cpu),
            "ms_of_pictures": 1000 * own[name], "ms_of_client": 1000 * run.cpu, "ms_of_server": 1000 * run.server_cpu,
        }  # fmt: skip
        baseline = f"{by}, {pause:g} s an answer"
        rows.append(
            _row(f"critic.{name}_{pause:g}s", run.rate, "groups/s", baseline, run.rate / ideal) | more | details
        )
        rows.append(_row(f"critic.{name}_{pause:g}s_growth", run.memory, "MiB"))
    return [
        *rows,
        _row("critic.server_alone", alone, "requests/s") | {"picture_px": size, "in_flight": BURST},
        _row("critic.storing", PEOPLE / storing, "groups/s, with the start of the processes"),
        _row("critic.encoding", _encoding_rate(), "pictures/s") | {"picture_px": 512, "threads": 1},
    ]


def _groups(count: int, hypotheses: int) -> list[Group]:
    """Groups of the first people in the shipped photographs, as the default base draws them."""
    people = []
    with resources.as_file(resources.files("tasks") / "assets" / "photographs") as folder:
        for path in sorted(folder.glob("*.jpg")):
            if len(people) < PEOPLE:
                found = people_in(path, read_photograph(path), thorough=False, crop_margin=1.25, focal_px=None)
                people += found.people
    drawn = sample_hypotheses(
        people[:PEOPLE],
        model("default"),
        body(None),
        Sample(hypotheses=hypotheses, temperature=1.0),
        seed=0,
        draw="bench",
    )
    ids = [f"bench-{number}" for number in range(count)]
    alike = [drawn[number % len(drawn)] for number in range(count)]
    return [replace(group, person=replace(group.person, group_id=id)) for id, group in zip(ids, alike)]


class _Server(NamedTuple):
    """A loopback server in another process."""

    address: str
    process: int

    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _server(seconds: float, hypotheses: int) -> Iterator[_Server]:
    """A loopback server that takes so many seconds for an answer."""
    command = [sys.executable, "-c", SERVER, str(seconds), str(hypotheses)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield _Server(server.stdout.readline().strip(), server.pid)
    finally:
        server.communicate()


def _critic(case: Case, address: str, name: str) -> VlmCritic:
    settings = VlmSettings(base_url=address, model="loopback", api_key_variable=KEY, max_in_flight=case.in_flight)
    return VlmCritic(settings, cache=case.folder / f"{name}.sqlite")


def _judge(case: Case, seconds: float, kept: PictureStore | None) -> Run:
    """The client from groups to verdicts. Counted are whole waves of `in_flight` answers after the first third."""
    times: list[float] = []
    memory: list[float] = []

    def done(_: int, verdict: Verdict) -> None:
        if set(verdict.statuses) != {"ok"}:
            raise RuntimeError(f"the loopback server answered badly: {verdict.comments[0]}")
        times.append(time.perf_counter())
        memory.append(_resident())

    with _server(seconds, len(case.groups[0])) as server:
        critic = _critic(case, server.address, f"{'live' if kept is None else 'kept'}-{seconds:g}")
        started, before = time.process_time(), server.cpu()
        pictures = drawn_for(critic, case.groups, None, case.overlay, case.processes, kept)
        asyncio.run(critic.judge_each(pictures, done))
        cpu, served = time.process_time() - started, server.cpu() - before
    waves = max(1, (2 * len(times) // 3) // case.in_flight)
    first = max(0, len(times) - 1 - waves * case.in_flight)
    rate = (len(times) - 1 - first) / (times[-1] - times[first])
    return Run(rate, 0.0, cpu / len(times), served / len(times), memory[-1] - memory[first])


def _drawing_rate(critic: VlmCritic, case: Case, kept: PictureStore | None) -> float:
    """Groups a second of processes that draw or read, and encode, as for the critic, and whose results nobody waits
    for.
    """
    some = case.groups[: max(2 * PEOPLE, 4 * case.processes)]
    times = [time.perf_counter() for _ in _made(critic, case, some, kept, case.processes)]
    first = 2 * case.processes  # these waited for the start of the processes
    return (len(times) - 1 - first) / (times[-1] - times[first])


def _picture_seconds(critic: VlmCritic, case: Case, kept: PictureStore | None) -> float:
    """Processor time for the pictures of a group, read or drawn, and encoded, s."""
    some = case.groups[:PEOPLE]
    for _ in _made(critic, case, some[:1], kept, 1):
        pass  # loads what is loaded once
    started = time.process_time()
    for _ in _made(critic, case, some, kept, 1):
        pass
    return (time.process_time() - started) / len(some)


def _made(critic: VlmCritic, case: Case, groups: Sequence[Group], kept: PictureStore | None, processes: int):
    needs = critic.needs
    return drawn_groups(
        groups, None, case.overlay, sight=needs.sight, shapes=needs.shapes, kept=kept, processes=processes,
        pack=_Packed(needs.pack),
    )  # fmt: skip


class _Packed(NamedTuple):
    """Packs a group and leaves only the group, so that nothing is sent between processes."""

    pack: Callable[[Any], Any] | None

    def __call__(self, drawn: Any) -> Any:
        assert self.pack is not None
        self.pack(drawn)
        return replace(drawn, photograph=None, overlays=(), sides=())


def _server_rate(critic: VlmCritic, case: Case, address: str) -> float:
    """Requests a second that the loopback server takes from plain threads, with the pictures of a group in each."""
    needs = critic.needs
    (drawn,) = drawn_groups(case.groups[:1], None, case.overlay, sight=needs.sight, shapes=False, pack=needs.pack)
    body, place = critic.first_requests(drawn)[0].body, urlsplit(address)

    def ask(count: int) -> None:
        connection = HTTPConnection(place.netloc)
        for _ in range(count):
            connection.request("POST", f"{place.path}/chat/completions", body, {"content-type": "application/json"})
            connection.getresponse().read()
        connection.close()

    ask(1)
    each = 8
    threads = [threading.Thread(target=ask, args=(each,)) for _ in range(BURST)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return BURST * each / (time.perf_counter() - started)


def _encoding_rate() -> float:
    """JPEG pictures of 512 px per second, in one thread."""
    import numpy as np

    encode = PictureEncoder()
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    started, count = time.perf_counter(), 40
    for _ in range(count):
        encode(picture)
    return count / (time.perf_counter() - started)


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _row(
    metric: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None
) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}

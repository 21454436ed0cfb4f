"""Rate and memory of the remote critic's client against a loopback server in a process of its own."""

import asyncio
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from critique.vlm.prompt import PictureEncoder
from critique.vlm.vlm_critic import VlmCritic
from critique.vlm.vlm_settings import VlmSettings
from storage.records import DrawnGroup, Group, Person, Verdict

HYPOTHESES = 4
STEP = 32  # groups between two measurements of the memory
SIDE = 64  # px; small, so that the client is measured and not the JPEG encoder
SERVER = (
    "import sys, time; from critique.endpoint.loopback import LoopbackVlm, good, slow\n"
    "with LoopbackVlm([slow(float(sys.argv[1]), good())], keep=False) as server:\n"
    "    print(server.base_url, flush=True)\n"
    "    sys.stdin.read()\n"
)


def measure_client(seconds: float, in_flight: int, groups: int) -> list[dict[str, Any]]:
    """Groups per second of `VlmCritic` relative to the ideal in_flight / seconds, and the growth of its memory, MiB.

    The first tenth of the groups is a warm-up and does not count. Raises RuntimeError if the loopback server does not
    answer well.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SERVER, str(seconds)]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            times, memory, cpu = _judge(address, in_flight, groups, Path(folder) / "answers.sqlite")
        finally:
            server.communicate()
    warm = max(groups // 10, 2 * in_flight)
    rate = (len(times) - 1 - warm) / (times[-1] - times[warm])
    ideal = in_flight / seconds if seconds else math.inf
    details = f"{in_flight} in flight, {1000 * seconds:g} ms an answer"
    settled = memory[warm // STEP :]
    encoding = _encoding_rate()
    return [
        _row("critic.client_rate", rate, "groups/s", f"ideal of {details}", rate / ideal)
        | {"ideal": ideal, "groups": groups, "hypotheses": HYPOTHESES, "picture_px": SIDE},
        _row("critic.client_memory_growth", settled[-1] - settled[0], "MiB")
        | {"groups": groups, "at": [round(settled[k], 1) for k in np.linspace(0, len(settled) - 1, 6).astype(int)]},
        _row("critic.client_cpu", 1000 * cpu / groups, "ms/group"),
        _row("critic.encoding", encoding, "pictures/s") | {"picture_px": 512, "threads": 1},
    ]


def _judge(address: str, in_flight: int, groups: int, cache: Path) -> tuple[list[float], list[float], float]:
    """Time of each verdict, s; this process's memory after every STEP verdicts, MiB; its processor time, s."""
    times: list[float] = []
    memory: list[float] = []

    def done(_: int, verdict: Verdict) -> None:
        if set(verdict.statuses) != {"ok"}:
            raise RuntimeError(f"the loopback server answered badly: {verdict.comments[0]}")
        times.append(time.perf_counter())
        if len(times) % STEP == 0:
            memory.append(_resident())

    name = "HMR_ALIGN_BENCH_KEY"
    os.environ[name] = "any"
    settings = VlmSettings(
        base_url=address, model="loopback", api_key_variable=name, max_in_flight=in_flight, shuffle=False
    )
    started = time.process_time()
    asyncio.run(VlmCritic(settings, cache=cache).judge_each(_groups(groups), done))
    return times, memory, time.process_time() - started


def _groups(count: int) -> Iterator[DrawnGroup]:
    """Groups that differ in their photograph."""
    rng = np.random.default_rng(0)
    zeros = {"pose": (24, 3), "translation": (3,), "joints": (29, 3), "keypoints": (23, 3), "latents": (133,)}
    arrays = {name: np.zeros((HYPOTHESES, *shape), np.float32) for name, shape in zeros.items()}
    flat = {"box": (4,), "crop": (3,), "camera": (4,), "landmarks": (33, 4), "world_landmarks": (33, 3)}
    person = {name: np.zeros(shape, np.float32) for name, shape in flat.items()}
    pictures = {"mask": np.zeros((64, 64), np.uint8), "picture": np.zeros((128, 128, 3), np.uint8)}
    for number in range(count):
        photograph = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        group = Group(
            person=Person(
                group_id=f"bench-{number}", photo="", photo_sha256="", width=SIDE, height=SIDE, detection=1.0,
                **person, **pictures,
            ),
            model_digest="", temperature=1.0, betas=np.zeros(10, np.float32), seeds=np.arange(HYPOTHESES),
            zero_start=np.zeros(HYPOTHESES, bool), synthetic=np.zeros(HYPOTHESES, bool), **arrays,
        )  # fmt: skip
        silhouettes, depth = np.zeros((HYPOTHESES, 64, 64), np.uint8), np.zeros(HYPOTHESES, np.float32)
        yield DrawnGroup(group, silhouettes, depth, photograph, (photograph,) * HYPOTHESES)


def _encoding_rate() -> float:
    """JPEG pictures of 512 px per second, in one thread."""
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

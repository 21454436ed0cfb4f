"""One server and one cache of studio people for all programs that the integration tests start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.server.server import client_environment, start_server, stop_server

ROOT = Path(__file__).parents[2]
TINY = """
[run]
shard_size = 8
[sample]
hypotheses = 5
[overlay]
size = 128
groups_shown = 2
[align]
rounds = 1
[train]
steps = 6
evaluate_every = 3
groups_per_step = 4
guard = { min_gain_percent = 0.0, max_rise_percent = 50.0 }
[benchmark]
hypotheses = 4
bootstrap = 50
[studio]
wild = 20
val = 8
test = 8
"""
WATCHED = """
import sys
def watch(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in ("local", "localhost", "::1") and not str(host).startswith("127."):
            sys.stderr.write(f"OUTSIDE {address}\\n")
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "localhost", "127.0.0.1", "::1", ""):
        sys.stderr.write(f"OUTSIDE {arguments[0]}\\n")
sys.addaudithook(watch)
import hmr.studio.studio
real = hmr.studio.studio.truths
def sealed(body, split, indices, *, purpose):
    if split == "wild":
        sys.stderr.write("WILD LABELS READ\\n")
        raise hmr.studio.studio.SealedLabelsError("labels of wild were asked for")
    return real(body, split, indices, purpose=purpose)
hmr.studio.studio.truths = sealed
from flows.cli.command_line import main
main()
"""
"""The command line in a process that names every connection beyond this machine and refuses labels of `wild`."""


class Programs:
    """Runs `hmr-align` as a user does, in a process of its own."""

    def __init__(self, environment: dict[str, str], tiny: Path) -> None:
        self.environment, self.tiny = environment, tiny

    def command(self, *arguments: str, watched: bool = False) -> list[str]:
        start = ["-c", WATCHED] if watched else ["-m", "flows.cli.command_line"]
        return [sys.executable, *start, *map(str, arguments)]

    def run(self, *arguments: str, watched: bool = False, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments, watched=watched),
            env=self.environment, capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """A server for the session, tiny settings, and everything that a program needs in its environment."""
    folder = tmp_path_factory.mktemp("programs")
    tiny = folder / "tiny.toml"
    tiny.write_text(TINY)
    # Not `prefect_server()`: it would point this process, and so every other test in it, to the server.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_HOME", str(folder / "home"))
        server = start_server()
        environment = {
            **os.environ,
            **client_environment(server),
            "HMR_ALIGN_CACHE": str(folder / "cache"),
            "HMR_ALIGN_RUNS": str(folder / "runs"),
            "OMP_NUM_THREADS": "1",
        }
    try:
        yield Programs(environment, tiny)
    finally:
        stop_server(server)

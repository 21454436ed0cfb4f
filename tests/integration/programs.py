"""`hmr-align` as a user runs it: each call in a process of its own, forked from one that has imported what calls need.

The imports take longer than most calls of the tests do. Calls that are watched start anew, with their own imports.
"""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORKS = multiprocessing.get_context("forkserver")
LIMIT = 500.0  # seconds

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
"""The command line in a new process that names every connection beyond this machine and refuses labels of `wild`."""


class Programs:
    """Runs `hmr-align`; an environment may differ from the first one's in all but Prefect's variables."""

    def __init__(self, environment: dict[str, str], tiny: Path) -> None:
        self.environment, self.tiny = environment, tiny
        with pytest.MonkeyPatch.context() as patch:  # Prefect's variables are read when it is imported
            for name, value in environment.items():
                patch.setenv(name, value)
            flows = [*(ROOT / "flows").glob("[a-z]*.py"), *(ROOT / "flows" / "experiments").glob("[a-z]*.py")]
            modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in sorted(flows)]
            FORKS.set_forkserver_preload(["flows.cli.command_line", *modules])
            forkserver.ensure_running()

    def run(
        self, *arguments: object, watched: bool = False, code: int = 0, folder: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        words = list(map(str, arguments))
        done = self._watched(words) if watched else self._forked(words, folder)
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def _watched(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WATCHED, *words]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )  # fmt: skip

    def _forked(self, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as said:
            files = [Path(said) / name for name in ("out", "err")]
            program = self._started(words, files, folder)
            program.join(LIMIT)
            if program.is_alive():
                program.kill()
                program.join()
            return subprocess.CompletedProcess(words, program.exitcode or 0, *(file.read_text() for file in files))

    def start(self, *arguments: object) -> BaseProcess:
        """In a process group of its own, in silence."""
        return self._started(list(map(str, arguments)), [Path(os.devnull)] * 2, ROOT)

    def _started(self, words: list[str], files: list[Path], folder: Path) -> BaseProcess:
        program = FORKS.Process(target=_hmr_align, args=(words, files, folder, self.environment))
        program.start()
        return program


def _hmr_align(words: list[str], files: list[Path], folder: Path, environment: dict[str, str]) -> None:
    import flows.cli.command_line

    os.setsid()
    os.chdir(folder)
    for number, file in enumerate(files, 1):
        with file.open("wb") as said:
            os.dup2(said.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["hmr-align", *words]
    sys.modules["__main__"] = flows.cli.command_line  # what processes of this one begin with
    try:
        flows.cli.command_line.main()
    finally:
        atexit._run_exitfuncs()

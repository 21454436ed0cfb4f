"""Injects a fault at every file operation of a run, resumes, and compares with the run that nobody disturbed.

The run goes on only once. At each of its operations it stands still: its folder is put aside, a copy takes the place,
and forked children do the rest there. One suffers the fault, another resumes to the end of the stage, and the folder
must then hold what it held at that moment of the undisturbed run. After that the run goes on with its own folder, whose
files, locks among them, nobody has touched.
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open

from storage.finished_file import UNFINISHED
from storage.shards import manifest
from storage.shards.manifest import Manifest

Stages = Callable[[], Iterator[str]]
"""Starts the run, which goes on from what is on disk; yields the name of each stage when it is done."""

FAULTS = ("before", "half", "after")
ENDS = ("exception", "death")
_OPERATIONS = ("open", "fsync", "replace", "rename", "unlink", "mkdir")
_JOURNALS = "_journal-*.jsonl"
_PATIENCE = 10
"""Seconds until a child that goes on is killed: it may wait for a thread that no fork has, as TensorBoard's writer."""
_DIED, _RAISED, _SWALLOWED, _WRONG = 70, 71, 72, 73


def contents(root: Path) -> dict[str, str]:
    """Digest of each file below a folder, but for locks, logs and the times at which shards were committed.

    A journal counts for what its manifest says of it.
    """
    return {
        str(path.relative_to(root)): _digest(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.name not in ("_lock", "run.lock")
        and not path.match(_JOURNALS)
        and "tensorboard" not in path.parts
    }


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    if path.name == "_manifest.json":
        shards = Manifest({"first": path.parent}).shards()
        details = {name: shard._replace(written_ns=0) for name, shard in shards.items()}
        total.update(json.dumps(details, sort_keys=True).encode())
    elif path.suffix == ".safetensors":  # the order of its metadata is by chance
        with safe_open(path, framework="np") as file:
            total.update(json.dumps(file.metadata(), sort_keys=True).encode())
            for name in sorted(file.keys()):
                total.update(name.encode() + file.get_tensor(name).tobytes())
    else:
        total.update(path.read_bytes())
    return total.hexdigest()


def _counting(path: Path) -> int:
    """Bytes of a journal that counted before its last commit; 0 of any other file."""
    if not path.match(_JOURNALS):
        return 0
    with open(path) as file:
        return min(int(json.loads(file.readline())["bytes"]) for _ in range(2))


def undisturbed(root: Path, stages: Stages) -> dict[str, dict[str, str]]:
    """What the folder holds after each stage of a run; the folder is gone afterwards."""
    found = {stage: contents(root) for stage in stages()}
    shutil.rmtree(root)
    return found


class Sweep:
    """One run with all faults; `faults` says what went wrong, `count` how many were injected."""

    def __init__(
        self, root: Path, stages: Stages, expected: dict[str, dict[str, str]], *, processes: int = 1, every: int = 1,
        first: int = 0,
    ) -> None:  # fmt: skip
        """every, first: of the faults, only each `every`-th from number `first` on. processes: that resume at once."""
        self.root, self.stages, self.expected, self.processes = root, stages, expected, processes
        self.every, self.met = every, -first
        self.count, self.faults = 0, list[str]()
        self._real = {name: getattr(os, name) for name in _OPERATIONS}
        self._names = list(expected)
        self._done = 0
        self._child = self._busy = False

    def run(self) -> None:
        """Do the run once, with every fault on the way."""
        with self._watched():
            running = self.stages()
            while True:
                try:
                    stage = next(running)
                except StopIteration:
                    break
                except BaseException:
                    if self._child:
                        os._exit(_RAISED)
                    raise
                if self._child:
                    os._exit(_SWALLOWED)
                self._done += 1
                if contents(self.root) != self.expected[stage]:
                    self.faults.append(f"{stage}: differs without any fault")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        for name in _OPERATIONS:
            setattr(os, name, self._wrapped(name))
        manifest.THREADS = False  # a process is forked at each operation, and a fork has no other threads
        try:
            yield
        finally:
            manifest.THREADS = True
            for name in _OPERATIONS:
                setattr(os, name, self._real[name])

    def _wrapped(self, name: str) -> Callable[..., Any]:
        real = self._real[name] if name != "fsync" else lambda handle: None  # nobody cuts the power here

        def operation(path: Any, *arguments: Any, **named: Any) -> Any:
            place = Path(os.readlink(f"/proc/self/fd/{path}")) if name == "fsync" else Path(path)
            writes = name != "open" or bool(arguments[0] & os.O_CREAT)
            ours = self.root in place.parents and named.get("dir_fd") is None
            beside = threading.current_thread() is not threading.main_thread()  # TensorBoard's writer: a fork loses us
            if self._child or self._busy or not writes or not ours or beside:
                return real(path, *arguments, **named)
            for when in FAULTS:
                if when == "half" and not (name == "fsync" and place.is_file()):
                    continue  # only a file's content can be half there
                for end in ENDS:
                    if (when, end) == ("after", "death"):
                        continue  # it is as dying before the next operation
                    if self.met % self.every == 0 and self.met >= 0:
                        self._inject(f"{name} {place.relative_to(self.root)}, {when}, {end}", place, when, end,
                                     lambda: real(path, *arguments, **named))  # fmt: skip
                        if self._child:
                            raise OSError(errno.ENOSPC, "No space left on device", str(place))
                    self.met += 1
            return real(path, *arguments, **named)

        return operation

    def _inject(self, about: str, place: Path, when: str, end: str, act: Callable[[], Any]) -> None:
        """Fork, let the child fail here, resume, compare. In the child it returns if an exception is to be raised."""
        self.count, self._busy = self.count + 1, True
        aside = self.root.with_name(f"{self.root.name}.aside")
        self._real["rename"](self.root, aside)
        shutil.copytree(aside, self.root)
        companion = self._fork(self._resume) if self.processes > 1 else None
        if (child := os.fork()) == 0:
            self._child = True
            signal.alarm(_PATIENCE)
            if when == "half":
                kept = _counting(place)  # of a file that grows the rest alone can be half there
                os.truncate(place, kept + (place.stat().st_size - kept) // 2)
            elif when == "after":
                act()
            if end == "death":
                os.kill(os.getpid(), signal.SIGKILL)
            return
        ended = os.waitpid(child, 0)[1]
        details = "died" if os.WIFSIGNALED(ended) else {_RAISED: "raised", _SWALLOWED: "went on"}.get(
            os.WEXITSTATUS(ended), f"exit {os.WEXITSTATUS(ended)}"
        )  # fmt: skip
        if companion is not None:
            os.waitpid(companion, 0)
        resumed = self._fork(self._resume_and_compare)
        if code := os.waitstatus_to_exitcode(os.waitpid(resumed, 0)[1]):
            said = self._said().read_text() if self._said().exists() else f"exit {code}"
            self.faults.append(f"{about} ({details}): {said}")
        self._said().unlink(missing_ok=True)
        shutil.rmtree(self.root)
        self._real["rename"](aside, self.root)
        self._busy = False

    def _fork(self, work: Callable[[], int]) -> int:
        if (child := os.fork()) == 0:
            self._child = True
            try:
                code = work()
            except BaseException as error:
                self._said().write_text(f"{type(error).__name__}: {error}")
                code = _WRONG
            os._exit(code)
        return child

    def _said(self) -> Path:
        return self.root.with_name(f"{self.root.name}.said")

    def _resume(self) -> int:
        """Go on to the end of the stage in which the fault was."""
        target = self._names[self._done]
        for stage in self.stages():
            if stage == target:
                return 0
        return _WRONG

    def _resume_and_compare(self) -> int:
        self._resume()
        expected, found = self.expected[self._names[self._done]], contents(self.root)
        unlike = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
        strays = [str(path) for path in self.root.rglob(f"{UNFINISHED}*")]
        if unlike or strays:
            self._said().write_text(f"unlike {unlike}, strays {strays}")
            return _WRONG
        return 0

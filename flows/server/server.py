"""The local Prefect server that keeps the history of every run: found, started, shared and stopped here.

It is a real server, never Prefect's ephemeral one, which loses task runs when a script ends. All its files
are in one folder (`$HMR_ALIGN_HOME`, else ~/.hmr-align): database, log, key, and `server.json` with its address.
`server_environment.py` says what it inherits, `guarded_server.py` which requests it answers.

Who may stop it? Each program that uses the server holds a shared lock on `server.users`; the last one to end
finds no other and stops it. The kernel frees the lock of a killed program, and the next program takes over
a server that was left running. One that ends while programs use it is started again by the first that notices, at the
same address, and runs go on: Prefect's clients ask again for about a minute. With PREFECT_API_URL in the environment
the user's own server is used (`named_server.py`), and never stopped.
"""

import base64
import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from flows.server import named_server
from flows.server.direct_clients import reach_loopback_directly
from flows.server.prefect_settings import load_prefect
from flows.server.server_environment import (
    CLIENT_ENVIRONMENT,
    HOST,
    is_loopback,
    leads_elsewhere,
    own_client_environment,
    proxies_in,
    server_environment,
    without_proxy,
)
from flows.server.server_key import key_file, read_key, server_key
from storage.finished_file import write_text

USUAL_PORT = 4200
START_LIMIT = 180.0  # seconds; the first start on a slow disk builds the database
START_NOTICE = 30.0  # seconds after which the user is asked to wait
AUTH = "PREFECT_API_AUTH_STRING"
EVENTS_LIMIT = 10.0  # seconds for the last events of a program
STOP_LIMIT = 15.0  # seconds between asking the server to end and ending it
LOOK = 2.0  # seconds between two looks whether the server still runs

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opener for requests to our own server, without any proxy."""


class ServerError(RuntimeError):
    """The Prefect server cannot be used; the message says why and how to fix it."""


@dataclass(frozen=True)
class Server:
    """A Prefect server that answers."""

    url: str  # of the dashboard, for example http://127.0.0.1:4200
    pid: int | None = None  # of the server's process group; None = the user's server
    api: str | None = None  # address of its API, where that is not `url`/api

    @property
    def api_url(self) -> str:
        """Address of the server's API."""
        return self.api or f"{self.url}/api"


def server_home() -> Path:
    """Folder with our server's files."""
    return Path(os.environ.get("HMR_ALIGN_HOME") or "~/.hmr-align").expanduser().absolute()


def client_environment(server: Server) -> dict[str, str]:
    """Variables with which any program, also a worker, records into `server` and into no other.

    They hold the key of our server: pass them to programs, never to a log.
    """
    if server.pid:
        return own_client_environment(os.environ, server_home(), server.api_url, server_key(server_home()))
    direct = without_proxy(os.environ) if is_loopback(server.api_url) else {}
    return {**CLIENT_ENVIRONMENT, "PREFECT_API_URL": server.api_url, **direct}


def shell_variables(server: Server) -> str:
    """The same as text for a shell: the key is read from its file, not printed."""
    variables = client_environment(server)
    if named_server.without_secrets(server.api_url) != server.api_url:
        del variables["PREFECT_API_URL"]  # it holds a password; the user's shell has it
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items() if name != AUTH]
    if AUTH in variables:
        words.append(f'{AUTH}="$(cat {shlex.quote(str(key_file(server_home())))})"')
    socks = [name for name in proxies_in(os.environ) if os.environ[name].strip().lower().startswith("socks")]
    if socks and is_loopback(server.api_url) and not find_spec("socksio"):
        words.append("env " + " ".join(f"-u {name}" for name in socks))  # prefect fails on what it cannot use
    return " ".join(words)


def find_server() -> Server | None:
    """The server that PREFECT_API_URL names, else ours if it runs, else None.

    Raises ServerError if the named server cannot be used, or ours refuses the key.
    """
    named = os.environ.get("PREFECT_API_URL", "").strip()
    return _named_server(named) if named else _own_server()


def _named_server(named: str) -> Server:
    """The user's server, asked in the same way as by the flows."""
    details = f"PREFECT_API_URL is {named_server.without_secrets(named)}"
    fix = "Or unset PREFECT_API_URL, to let hmr-align start a server of its own."
    try:
        api = named_server.api_address(named)
    except ValueError as error:
        raise ServerError(f"{details}: {error}. {fix}") from None
    server = Server(named_server.dashboard_address(api, os.environ), api=api)
    with recording_into(server):
        load_prefect()
        reason = named_server.why_unusable(api, os.environ)
    if reason:
        raise ServerError(f"{details}, {reason}. {fix}")
    return server


def _known_server() -> Server | None:
    """Ours, as the file in its home names it, whether it runs or not."""
    try:
        server = Server(**json.loads((server_home() / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return server if isinstance(server.url, str) and isinstance(server.pid, int) and server.pid > 0 else None


def _keep(server: Server, done: threading.Event) -> None:
    """Until all is done, start our server again at its address whenever it has ended."""
    port, silent = int(server.url.rpartition(":")[2]) if server.pid else None, False
    while port and not done.wait(LOOK):
        if _lives((_known_server() or server).pid or 0):
            continue
        try:
            with _locked(server_home()) as home:  # another program may have done so
                if not _own_server():
                    _started(home, port)
        except ServerError as error:  # its port may be free in a moment
            if not silent:
                sys.stderr.write(f"WARNING: the Prefect server has ended and does not start again: {error}\n")
            silent = True
        else:
            sys.stderr.write("WARNING: the Prefect server had ended; it was started again, and runs go on\n")
            silent = False


def _own_server() -> Server | None:
    """Ours, if it runs and knows the key in our file."""
    server = _known_server()
    if server is None or not _lives(server.pid or 0) or not answers(server):
        return None
    try:
        _DIRECT.open(_with_key(f"{server.api_url}/admin/version"), timeout=5.0).close()
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            return server  # busy, say
        raise ServerError(
            f"our Prefect server at {server.url} refuses the key in {key_file(server_home())} (HTTP {error.code}). "
            f"The file was changed while it ran: end it (kill {server.pid}), and the next command starts it anew."
        ) from None
    except OSError:
        return None
    return server


def _lives(group: int) -> bool:
    """Whether a process group exists; if not, another server answers at its address."""
    with suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)  # a child process stays in the table until it is waited for
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # it ended, or its number is another user's by now
        return False
    return True


def _with_key(address: str) -> urllib.request.Request:
    key = base64.b64encode(read_key(server_home()).encode()).decode()
    return urllib.request.Request(address, headers={"Authorization": f"Basic {key}"})


def start_server(port: int | None = None) -> Server:
    """Our server, started in the background unless it runs already; safe to repeat, also at the same time.

    Without `port` it is 4200, or any free one if that is taken. Raises ServerError if it cannot be started.
    """
    with _locked(server_home()) as home:
        return find_server() or _started(home, port)


def _started(home: Path, port: int | None) -> Server:
    with _reserved(port) as (chosen, lock):
        return _launch(home, chosen, lock)


def stop_server(server: Server) -> None:
    """End our server with all its processes; the user's own server is left alone."""
    if server.pid is None:
        return
    for sign, limit in ((signal.SIGTERM, STOP_LIMIT), (signal.SIGKILL, STOP_LIMIT)):
        try:
            os.killpg(server.pid, sign)
        except ProcessLookupError:
            break
        if _ended(server.pid, limit):
            break
    (server_home() / "server.json").unlink(missing_ok=True)


@contextmanager
def prefect_server(port: int | None = None) -> Iterator[Server]:
    """Context with a server into which every flow of this program records; stopped at the end if no other program uses
    it.

    Enter it before the first import of prefect if possible: prefect reads its environment then.
    """
    with _locked(server_home()) as home:
        users = (home / "server.users").open("a")
        fcntl.flock(users, fcntl.LOCK_SH)
    with users:
        server, done = start_server(port), threading.Event()
        keeper = threading.Thread(target=_keep, args=(server, done), daemon=True)
        keeper.start()
        try:
            with recording_into(server):
                yield server
        finally:
            done.set()
            keeper.join()
            with _locked(home):  # no program can start using it between the check and the stop
                # A server that the environment names is not ours to stop, even if its files lie in our home.
                if server.pid and _is_last(users):
                    stop_server(_known_server() or server)


def answers(server: Server, seconds: float = 5.0) -> bool:
    """Whether our server's health check succeeds within so many seconds."""
    try:
        with _DIRECT.open(f"{server.api_url}/health", timeout=seconds) as reply:
            return reply.status == 200
    except (OSError, ValueError):
        return False


@contextmanager
def _locked(home: Path) -> Iterator[Path]:
    """The home, made if need be, with no other program starting or stopping a server in it."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "server.lock").open("w")
    except OSError as error:
        raise ServerError(
            f"{home}, where the Prefect server keeps its files, cannot be used ({error.strerror}). "
            "Name another folder in HMR_ALIGN_HOME."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield home


def _launch(home: Path, port: int, lock: IO[str]) -> Server:
    url = f"http://{HOST}:{port}"
    environment = server_environment(os.environ, home, port, server_key(home))
    folder = home / "prefect"
    folder.mkdir(exist_ok=True)
    log = home / "server.log"
    with log.open("w") as output:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.server.guarded_server"],
            env=environment,
            cwd=folder,  # not the user's, whose .env and prefect.toml would be read
            start_new_session=True,
            pass_fds=(lock.fileno(),),
            **quiet,
        )
    server = Server(url, process.pid)
    begun = time.monotonic()
    deadline, notice = begun + START_LIMIT, begun + START_NOTICE
    while process.poll() is None and time.monotonic() < deadline:
        if answers(server, 1.0):
            _write_address(home, server)
            return server
        if time.monotonic() > notice:
            notice = deadline
            sys.stderr.write(f"INFO: the Prefect server is still starting; its log is {log}\n")
        time.sleep(0.2)
    code = process.poll()
    reason = f"is silent after {START_LIMIT:.0f} s" if code is None else f"ended with exit code {code}"
    stop_server(server)
    said = " ".join(log.read_text(errors="replace").split()[-30:]) or "nothing"
    raise ServerError(f"the Prefect server {reason}. It said: {said} (The whole log is in {log}.)")


def _write_address(home: Path, server: Server) -> None:
    write_text(home / "server.json", json.dumps({"url": server.url, "pid": server.pid}))


@contextmanager
def _reserved(wanted: int | None) -> Iterator[tuple[int, IO[str]]]:
    """A free port that no other server of ours is about to take, and the lock on it.

    A server needs seconds before it listens. Two programs with different homes would meanwhile both find 4200
    free, and one would record into the other's server. So the server inherits the lock and holds it while it runs.
    """
    for port in (wanted,) if wanted else (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            port = probe.getsockname()[1]
        with (Path(tempfile.gettempdir()) / f"hmr-align-{os.getuid()}-{port}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield port, lock
            return
    which = f"port {wanted} of {HOST} is taken" if wanted else f"no port of {HOST} is free"
    raise ServerError(f"{which}: close programs that hold ports, or name another with --port.")


def _ended(group: int, limit: float) -> bool:
    """Whether every process of the group has ended within `limit` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if not _lives(group):
            return True
        time.sleep(0.05)
    return False


def _is_last(users: IO[str]) -> bool:
    """Whether no other program holds the users' lock; gives up our own share of it."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def recording_into(server: Server) -> Iterator[None]:
    """Context in which the environment, and prefect's settings if it is imported already, point to `server`."""
    wanted = client_environment(server)
    unwanted = leads_elsewhere(os.environ) if server.pid else set()
    before = {name: os.environ.get(name) for name in {*wanted, *unwanted}}
    for name in unwanted:
        del os.environ[name]
    os.environ.update(wanted)
    _send_events()  # to the server they are of: prefect's one sender keeps the address at which it began
    try:
        with _fresh_prefect_settings() if "prefect" in sys.modules else nullcontext():
            if is_loopback(server.api_url) and proxies_in(os.environ):
                reach_loopback_directly()
            yield
    finally:
        _send_events()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _send_events() -> None:
    """Wait until the events of this process have reached their server; a silent server holds nobody up for long."""
    if worker := sys.modules.get("prefect.events.worker"):
        worker.EventsWorker.drain_all(timeout=EVENTS_LIMIT)


@contextmanager
def _fresh_prefect_settings() -> Iterator[None]:
    """Prefect's settings as if it were imported only now."""
    from prefect.context import SettingsContext, get_settings_context
    from prefect.settings import Settings

    with SettingsContext(profile=get_settings_context().profile, settings=Settings()):
        yield

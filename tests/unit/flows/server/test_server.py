"""The server's life against real Prefect servers, and the parts that need none."""

import base64
import json
import os
import socket
import subprocess
import sys
import urllib.request
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import psutil
import pytest

from flows.server.server import (
    Server,
    ServerError,
    answers,
    client_environment,
    find_server,
    prefect_server,
    recording_into,
    server_home,
    shell_variables,
    start_server,
)
from flows.server.server_key import key_file, server_key


def read(url: str) -> dict:
    login = base64.b64encode(server_key(server_home()).encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def test_no_server_is_found_in_a_fresh_home(home):
    assert server_home() == home
    assert find_server() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"url": 3}',
        '{"url": "http://127.0.0.1:9", "pid": "x"}',
        '{"url": 3, "pid": 1}',
        '{"url": "http://127.0.0.1:9", "pid": 1}',
    ],
)
def test_a_stale_or_torn_address_is_no_server(home, text):
    home.mkdir()
    (home / "server.json").write_text(text)
    assert find_server() is None


def test_a_named_server_that_is_silent_is_an_error(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(ServerError, match=r"PREFECT_API_URL is http://127.0.0.1:9/api, but no Prefect server"):
        start_server()


def test_a_home_that_cannot_be_is_told_with_its_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HMR_ALIGN_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ServerError, match=r"file/home, where .* HMR_ALIGN_HOME"):
        start_server()


def test_clients_tell_nobody_and_beat_every_30_seconds(home):
    environment = client_environment(Server("http://127.0.0.1:4200", pid=1))
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert environment["PREFECT_HOME"] == str(home / "prefect")
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert environment["PREFECT_API_AUTH_STRING"] == server_key(home)
    assert "PREFECT_HOME" not in client_environment(Server("http://elsewhere:4200"))


def test_what_is_printed_for_a_shell_names_the_file_of_the_key_and_not_the_key(home):
    details = shell_variables(Server("http://127.0.0.1:4200", pid=1))
    assert server_key(home) not in details
    assert "secret" not in shell_variables(Server("http://h", api="http://anna:secret@h/api"))
    assert f'PREFECT_API_AUTH_STRING="$(cat {key_file(home)})"' in details
    script = f"{details} env | grep -c ^PREFECT_API_AUTH_STRING={server_key(home)}"
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == "1\n"


def test_a_process_that_ended_is_no_server_of_ours_whoever_answers_at_its_address(home):
    ended = subprocess.Popen(["true"])
    ended.wait()
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as other:
        home.mkdir()
        url = f"http://127.0.0.1:{other.server_port}"
        (home / "server.json").write_text(json.dumps({"url": url, "pid": ended.pid}))
        assert find_server() is None


def test_nothing_that_leads_prefect_elsewhere_stays_while_ours_records(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "theirs")
    monkeypatch.setenv("PREFECT_PROFILE", "theirs")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")
    with recording_into(Server("http://127.0.0.1:4200", pid=1)):
        assert os.environ["PREFECT_API_KEY"] == ""
        assert "PREFECT_PROFILE" not in os.environ
        assert os.environ["PREFECT_LOGGING_LEVEL"] == "ERROR"
    assert os.environ["PREFECT_PROFILE"] == os.environ["PREFECT_API_KEY"] == "theirs"


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerError, match=r"port \d+ of 127\.0\.0\.1 is taken.*--port"):
            start_server(taken.getsockname()[1])


NEIGHBOUR = """
import sys
from flows.server.server import prefect_server
with prefect_server() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """One home for the tests below, so that the database is built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_HOME", str(tmp_path_factory.mktemp("home")))
        yield server_home()


@pytest.fixture
def neighbour(shared_home):
    """Starts another program that uses the server until its standard input closes."""

    def start() -> tuple[subprocess.Popen[str], str]:
        environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
        program = subprocess.Popen(
            [sys.executable, "-c", NEIGHBOUR],
            env=environment,
            cwd=Path(__file__).parents[4],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(program)
        assert program.stdout
        return program, program.stdout.readline().strip()

    started: list[subprocess.Popen[str]] = []
    yield start
    for program in started:
        program.kill()
        program.communicate()


@pytest.mark.slow
def test_a_server_is_shared_and_the_last_one_out_stops_it(shared_home, neighbour):
    from prefect import flow  # imported before the server runs, as in a notebook
    from prefect.client.orchestration import get_client

    @flow(name="three")
    def three() -> int:
        return 3

    with prefect_server() as server:
        assert answers(server) and server.pid
        assert read(f"{server.url}/ui-settings")["api_url"] == server.api_url
        details = read(f"{server.api_url}/admin/settings")["server"]
        assert details["analytics_enabled"] is False
        assert details["ui"]["show_promotional_content"] is False
        assert details["services"]["task_run_recorder"]["batch_size"] == 200
        assert os.environ["PREFECT_API_URL"] == server.api_url
        assert (shared_home / "prefect" / "prefect.db").exists()

        assert three() == 3
        with get_client(sync_client=True) as client:
            assert [run.state_type for run in client.read_flow_runs()] == ["COMPLETED"]

        with prefect_server() as named:  # the environment names it by now, as in the user's shell
            assert named.pid is None and named.url == server.url
        assert answers(server)  # who did not start it does not stop it

        program, url = neighbour()
        assert url == server.url  # it came in: ours is reused
    assert "PREFECT_API_URL" not in os.environ
    assert answers(server)  # the neighbour is still there
    program.communicate(timeout=60)
    assert has_ended(server.pid) and find_server() is None  # whether it answers: another's may have its port by now


def has_ended(pid: int | None) -> bool:
    """Whether a process is gone, or only waits to be read by us, who started it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_a_server_left_behind_by_a_killed_program_is_taken_over(shared_home, neighbour):
    program, url = neighbour()
    program.kill()
    program.communicate()
    with prefect_server() as server:
        assert server.url == url
    assert find_server() is None


@pytest.mark.slow
def test_two_homes_never_share_a_port(tmp_path):
    """Started at the same moment, each program records into its own server."""
    script = "from flows.server.server import prefect_server as run\nwith run() as s: print(s.url, flush=True); input()"
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "HMR_ALIGN_HOME": str(tmp_path / name)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    urls = [program.stdout.readline().strip() for program in programs if program.stdout]
    for program in programs:
        program.communicate("\n", timeout=60)
    assert all(url.startswith("http://127.0.0.1:") for url in urls) and urls[0] != urls[1]

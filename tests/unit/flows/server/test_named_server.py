"""The server that PREFECT_API_URL names: used as it is meant, or refused in one line within seconds."""

import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest

from flows.server.named_server import api_address, dashboard_address, reason_of, unusable_proxy, without_secrets
from flows.server.server import ServerError, find_server, prefect_server
from flows.server.server_environment import server_environment

CLOUD = "https://api.prefect.cloud/api/accounts/a/workspaces/w"


@pytest.mark.parametrize(
    ("named", "api"),
    [
        ("http://host:4200/api", "http://host:4200/api"),
        (" http://host:4200/api/ ", "http://host:4200/api"),
        ("http://host:4200", "http://host:4200/api"),
        ("https://host/team/prefect", "https://host/team/prefect"),  # a base path is taken as it is
        (CLOUD, CLOUD),
    ],
)
def test_the_address_of_the_api_is_the_one_that_was_named(named, api):
    assert api_address(named) == api


@pytest.mark.parametrize(
    "named", ["host:4200/api", "ftp://host/api", "http:///api", "http://host:port/api", "http://[::1/api"]
)
def test_what_is_no_address_is_refused_at_once(named, home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", named)
    with pytest.raises(ServerError, match="PREFECT_API_URL"):
        find_server()


@pytest.mark.parametrize(
    ("api", "variables", "pages"),
    [
        ("http://host:4200/api", {}, "http://host:4200"),
        ("http://host/team/prefect", {}, "http://host/team/prefect"),
        (CLOUD, {}, "https://app.prefect.cloud/account/a/workspace/w"),
        (CLOUD, {"PREFECT_CLOUD_API_URL": "https://other/api"}, CLOUD),
        ("http://host/api", {"PREFECT_UI_URL": "http://pages"}, "http://pages"),
        ("http://anna:pw@host/api", {}, "http://host"),
    ],
)
def test_where_its_pages_are(api, variables, pages):
    assert dashboard_address(api, variables) == pages


@pytest.mark.parametrize(
    "address", ["http://anna:secret@h/api?k=secret", "anna:secret@h/api?k=secret", "http://[secret"]
)
def test_no_secret_of_an_address_is_told(address):
    assert "secret" not in without_secrets(address)


@pytest.mark.parametrize(
    ("variables", "details"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,.a.b,::1"}, ""),
        ({"ALL_PROXY": "gopher://secret:1"}, "ALL_PROXY cannot be used"),
        ({"ALL_PROXY": "socks5://proxy:1"}, "" if find_spec("socksio") else "ALL_PROXY is a SOCKS proxy"),
        ({"http_proxy": "http://proxy:port"}, "http_proxy cannot be used"),
        ({"NO_PROXY": "[::1]:x"}, "NO_PROXY cannot be used"),
    ],
)
def test_a_proxy_variable_that_cannot_be_used_is_named(variables, details):
    found = unusable_proxy(variables)
    assert found.startswith(details) and bool(found) == bool(details) and "secret" not in found


def test_a_fault_on_the_way_through_a_proxy_names_its_variable():
    import httpx

    by = {"HTTP_PROXY": "http://proxy:3128"}
    refused, lost = httpx.ProxyError("403 Forbidden"), httpx.ConnectError("refused")
    assert "through HTTP_PROXY" in reason_of(refused, "http://prefect.example/api", by)
    assert "through HTTP_PROXY" in reason_of(lost, "http://prefect.example/api", by)
    assert "PROXY" not in reason_of(lost, "https://prefect.example/api", by)
    assert "PROXY" not in reason_of(lost, "http://127.0.0.1:4200/api", by)


@contextmanager
def answering(status: int, text: str, kind: str = "application/json"):
    """A server that answers everything alike; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("API_SSL_CERT_FILE", "/no/such"), ("API_KEY", "kéy"), ("CLIENT_CUSTOM_HEADERS", '{"a b": "c"}')],
)
def test_a_setting_of_the_client_that_cannot_be_used_is_named(setting, value, home, monkeypatch):
    with answering(200, "{}") as address:
        monkeypatch.setenv("PREFECT_API_URL", f"{address}/api")
        monkeypatch.setenv(f"PREFECT_{setting}", value)
        with pytest.raises(ServerError, match=f"but.*PREFECT_{setting}"):
            find_server()


@pytest.mark.parametrize(
    ("variables", "details"),
    [
        ({"HTTP_PROXY": "http://anna:secret@127.0.0.1:9"}, "asked through HTTP_PROXY; NO_PROXY exempts it"),
        ({"ALL_PROXY": "http://127.0.0.1:9"}, "asked through ALL_PROXY; NO_PROXY exempts it"),
        ({"ALL_PROXY": "gopher://127.0.0.1:9"}, "ALL_PROXY cannot be used"),
        ({"NO_PROXY": "[::1]:x"}, "NO_PROXY cannot be used"),
    ],
)
def test_a_server_elsewhere_is_asked_through_the_users_proxy_which_is_named(variables, details, home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://192.0.2.1:4200/api")  # reserved for examples: nobody has it
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ServerError, match=details) as error:
        find_server()
    assert "secret" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "text", "path", "cloud", "details"),
    [
        (401, "{}", "/api", False, "asks for a login: set PREFECT_API_AUTH_STRING"),
        (401, "{}", "/api/accounts/a/workspaces/w", True, "asks for a login: set PREFECT_API_KEY"),
        (404, "{}", "/team", False, "no Prefect API under this path"),
        (503, "{}", "/api", False, "answers HTTP 503"),
        (200, "<html>welcome</html>", "/api", False, "is no Prefect API"),
        (200, '{"odd": 1}', "/api", False, "is no Prefect API"),
        (200, '"99.0.0"', "/api", False, "incompatible versions"),
        (302, "", "/api", False, "answers HTTP 302|is no Prefect API"),
    ],
)
def test_what_a_foreign_server_does_is_one_line(status, text, path, cloud, details, home, monkeypatch):
    with answering(status, text) as address:
        monkeypatch.setenv("PREFECT_API_URL", f"{address}{path}")
        if cloud:
            monkeypatch.setenv("PREFECT_CLOUD_API_URL", f"{address}/api")
        with pytest.raises(ServerError, match=details) as error:
            find_server()
    assert "\n" not in str(error.value) and str(error.value).startswith(f"PREFECT_API_URL is {address}{path}, but")


@pytest.mark.slow
def test_a_server_that_takes_the_call_and_is_silent_costs_seconds(home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{mute.getsockname()[1]}/api")
        with pytest.raises(ServerError, match=r"in time|nothing came back within 7 s"):
            find_server()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A Prefect server as a user runs it: by Prefect's own command, with a base path and a login."""
    folder = tmp_path_factory.mktemp("theirs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = server_environment({}, folder, port, "anna:secret")
    environment["PREFECT_SERVER_API_BASE_PATH"] = "/team/prefect"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = subprocess.Popen(command, env=environment, cwd=folder, **quiet)
    address = f"http://127.0.0.1:{port}/team/prefect"
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PREFECT_API_URL", address)
                patch.setenv("PREFECT_API_AUTH_STRING", "anna:secret")
                try:
                    find_server()
                    break
                except ServerError:
                    time.sleep(0.5)
        yield address
    finally:
        program.terminate()
        program.wait(30)


@pytest.mark.slow
def test_a_named_server_with_base_path_and_login_records_past_any_proxy(theirs, home, monkeypatch):
    from prefect import flow
    from prefect.client.orchestration import get_client

    monkeypatch.setenv("PREFECT_API_URL", theirs)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "anna:secret")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with prefect_server() as server:
        assert (server.pid, server.api_url, server.url) == (None, theirs, theirs)
        assert flow(lambda: 3, name="theirs")() == 3
        with get_client(sync_client=True) as client:
            assert [run.state_type for run in client.read_flow_runs()] == ["COMPLETED"]
    assert not (home / "prefect").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "login", "details"),
    [
        ("", None, "asks for a login: set PREFECT_API_AUTH_STRING"),
        ("", "anna:other", "refuses PREFECT_API_AUTH_STRING"),
        ("/api", "anna:secret", r"no Prefect API under this path \(HTTP 404\)"),
    ],
)
def test_a_wrong_login_or_path_is_one_line(theirs, path, login, details, home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", theirs + path)
    if login:
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", login)
    with pytest.raises(ServerError, match=details) as error:
        find_server()
    assert "other" not in str(error.value) and "secret" not in str(error.value)

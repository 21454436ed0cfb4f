"""Who is let in: as rules, and by requests as a foreign page sends them, against a started server of ours."""

import asyncio
import base64
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prefect.client.base import PrefectHttpxAsyncClient
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from flows.record.dead_runs import TAG
from flows.server.guarded_server import ENTER, SOON, Doorkeeper, admits, page_policy
from flows.server.server import Server, client_environment, prefect_server, server_home, shell_variables
from flows.server.server_key import key_file, server_key
from tests.browser import driven_browser

PLACE = "127.0.0.1:4200"
EVIL = "https://evil.example"
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({"host": PLACE}, True),
        ({"host": PLACE, "origin": f"http://{PLACE}", "sec-fetch-site": "same-origin"}, True),
        ({"host": PLACE, "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, True),  # typed
        ({"host": PLACE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),  # a link
        ({}, False),
        ({"host": "evil.example:4200"}, False),  # DNS rebinding
        ({"host": "evil.example:4200", "origin": "http://evil.example:4200"}, False),
        ({"host": "127.0.0.1:4201"}, False),
        ({"host": f"{PLACE}, {PLACE}"}, False),  # given twice
        ({"host": PLACE, "origin": EVIL}, False),
        ({"host": PLACE, "origin": "null"}, False),  # a file, or a frame in a sandbox
        ({"host": PLACE, "origin": "http://127.0.0.1:8000"}, False),  # another program's page
        ({"host": PLACE, "origin": f"https://{PLACE}"}, False),
        ({"host": PLACE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False),  # <img>, <script>
        ({"host": PLACE, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, False),
        # A form that is sent to us:
        ({"host": PLACE, "origin": EVIL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
    ],
)
def test_who_is_let_in(headers, let_in):
    assert admits(headers, PLACE) is let_in


def test_who_met_a_lock_asks_again_at_once_but_only_once():
    """The header by which Prefect's client goes; its own waits begin with two seconds and grow."""
    now = 100.0

    def answered(status: int, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        sent = []

        async def inside(scope, receive, send):
            await send({"type": "http.response.start", "status": status, "headers": headers})

        async def send(message):
            sent.append(message)

        door.inside = inside
        asyncio.run(door({"type": "http", "path": "/api/health", "headers": [(b"host", PLACE.encode())]}, send, send))
        return dict(sent[0]["headers"]).get(b"retry-after")

    door = Doorkeeper(None, PLACE, clock=lambda: now)  # type: ignore[arg-type]
    assert answered(200, []) is None and answered(503, []) == b"0.1"
    now += 1
    assert answered(503, []) is None  # the lock lasts: the client waits as long as it would
    now += 4
    assert answered(503, []) is None
    now += 5
    assert answered(503, [(b"Retry-After", b"7")]) is None and answered(500, []) is None
    now += 5
    assert answered(503, []) == b"0.1" == SOON


def test_prefect_s_client_heeds_it(monkeypatch):
    """A lock that lasts for one try costs a tenth of a second, one that lasts for two costs what it always did."""
    waits, left = [], [2]

    async def locked(scope, receive, send):
        left[0] -= 1
        await send({"type": "http.response.start", "status": 200 if left[0] < 0 else 503, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def sleep(seconds):
        waits.append(seconds)

    async def asked() -> None:
        door = httpx.ASGITransport(Doorkeeper(locked, PLACE))
        async with PrefectHttpxAsyncClient(transport=door, base_url=f"http://{PLACE}") as client:
            assert (await client.get("/api/health")).status_code == 200

    monkeypatch.setattr("prefect.client.base.anyio.sleep", sleep)
    asyncio.run(asked())
    assert len(waits) == 2 and waits[0] == pytest.approx(0.11, abs=0.02) and waits[1] > 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One of ours, started where everything is set that could lead it astray."""
    folder = tmp_path_factory.mktemp("folder")
    theirs = f"sqlite+aiosqlite:///{folder}/theirs.db"
    (folder / ".env").write_text(f"PREFECT_API_DATABASE_CONNECTION_URL={theirs}\nPREFECT_SERVER_API_BASE_PATH=/team\n")
    (folder / "prefect.toml").write_text(f'[server.database]\nconnection_url = "{theirs}"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HMR_ALIGN_HOME", str(folder / "home"))
        for name, value in {
            "PREFECT_API_DATABASE_CONNECTION_URL": theirs,
            "PREFECT_SERVER_API_BASE_PATH": "/team",
            "PREFECT_SERVER_API_AUTH_STRING": "anna:secret",
            "PREFECT_API_AUTH_STRING": "anna:secret",
            "PREFECT_SERVER_API_PORT": "nonsense",
            "PREFECT_CLIENT_CUSTOM_HEADERS": "nonsense",
            "PREFECT_PROFILE": "nonsense",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "ALL_PROXY": "socks5://127.0.0.1:9",
            "NO_PROXY": "[::1]:x,*.a b,::1/128",
        }.items():
            patch.setenv(name, value)
        with prefect_server() as running:
            yield running


def ask(server: Server, method: str, path: str, body: str | None = None, **headers: str):
    """Send exactly these headers; returns status, headers and text."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode()
    finally:
        connection.close()


def login() -> str:
    return "Basic " + base64.b64encode(server_key(server_home()).encode()).decode()


@pytest.mark.slow
def test_the_users_database_stays_empty_and_the_flows_are_in_ours(server):
    from prefect import flow, tags, task
    from prefect.client.orchestration import get_client

    @task
    def two() -> int:
        return 2

    @flow(name="three")
    def three() -> int:
        return two() + 1

    with tags(TAG):
        assert three() == 3
    with get_client(sync_client=True) as client:
        assert [run.state_type for run in client.read_flow_runs()] == ["COMPLETED"]
    assert os.environ["ALL_PROXY"] == "socks5://127.0.0.1:9"  # a remote critic is still asked as the user says
    assert (server_home() / "prefect" / "prefect.db").exists()
    assert not (server_home().parent / "theirs.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        (403, "GET", "/api/health", {"Origin": EVIL}),
        (403, "GET", "/api/health", {"Host": "evil.example:4200"}),
        (403, "GET", "/ui-settings", {"Host": "evil.example"}),
        (403, "GET", "/enter", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}),
        (403, "OPTIONS", "/api/flow_runs/filter", {"Origin": EVIL, "Access_Control_Request_Method": "POST"}),
        (403, "POST", "/api/flow_runs/filter", {"Origin": EVIL, "Content_Type": "text/plain"}),
        (403, "POST", "/api/flow_runs/filter", {"Origin": "null"}),
        (403, "POST", "/api/flow_runs/filter", {"Authorization": "the key"}),  # and no CSRF token
        (401, "GET", "/api/admin/version", {}),
        (401, "GET", "/api/admin/settings", {"Authorization": "Basic YW5uYTpzZWNyZXQ="}),  # anna:secret
        (401, "GET", "/api/csrf-token?client=page", {}),
        (200, "GET", "/api/admin/version", {"Authorization": "the key"}),
    ],
)
def test_requests_of_a_foreign_page(server, status, method, path, headers):
    if headers.get("Authorization") == "the key":
        headers = headers | {"Authorization": login()}
    got, details, _ = ask(server, method, path, "{}" if method == "POST" else None, **headers)
    assert got == status
    assert "access-control-allow-origin" not in details
    assert details["x-frame-options"] == "DENY" or status == 401


@pytest.mark.slow
def test_its_own_page_gets_a_token_and_asks_with_it(server):
    own = {"Origin": server.url, "Sec_Fetch_Site": "same-origin", "Authorization": login()}
    _, _, token = ask(server, "GET", "/api/csrf-token?client=page", **own)
    proof = {"Prefect_Csrf_Token": json.loads(token)["token"], "Prefect_Csrf_Client": "page"}
    sent = own | proof | {"Content_Type": "application/json"}
    assert ask(server, "POST", "/api/flows/filter", "{}", **sent)[0] == 200


@pytest.mark.slow
def test_websockets_of_foreign_pages_are_closed(server):
    address = server.api_url.replace("http:", "ws:") + "/events/in"
    plain = {"subprotocols": ["prefect"], "proxy": None}
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, origin=EVIL, **plain)
    with pytest.raises(WebSocketException), connect(address, proxy=None) as socket:
        socket.send("{}")
        socket.recv(timeout=10)
    with pytest.raises(WebSocketException), connect(address, **plain) as socket:
        socket.send('{"type": "auth", "token": "anna:secret"}')
        socket.recv(timeout=10)
    with connect(address, **plain) as socket:
        socket.send(json.dumps({"type": "auth", "token": server_key(server_home())}))
        assert json.loads(socket.recv(timeout=10))["type"] == "auth_success"


@pytest.mark.slow
def test_the_page_that_logs_in_stores_the_key_and_is_not_kept(server):
    status, details, page = ask(server, "GET", "/enter")
    assert status == 200 and details["cache-control"] == "no-store" and details["content-type"].startswith("text/html")
    assert 'localStorage.setItem("prefect-password", btoa(key))' in page
    assert server_key(server_home()) not in page
    settings = json.loads(ask(server, "GET", "/ui-settings")[2])
    assert (settings["auth"], settings["csrf_enabled"], settings["api_url"]) == ("BASIC", True, server.api_url)


ASK = """async ([foreign, own]) => {
  const refused = [];
  document.addEventListener("securitypolicyviolation", (event) => refused.push(event.blockedURI));
  const tried = (work) => work().then(() => true, () => false);
  const picture = (place) => new Promise((done, failed) => {
    const one = new Image(); one.onload = done; one.onerror = failed; one.src = place;
  });
  const found = [];
  for (const place of [foreign, own]) found.push(await tried(() => fetch(place)), await tried(() => picture(place)));
  return [found, refused.filter((place) => place.startsWith(foreign)).length];
}"""
"""By fetch and as a picture: what was had of a foreign place and of our own, and how often the policy refused it."""


@pytest.mark.slow
def test_its_pages_ask_no_other_host(server):
    """As headers, and as Chromium obeys them: Prefect's page comes up, and code in it reaches this server alone."""
    for path in ("/", "/v2/"):
        status, details, _ = ask(server, "GET", path)
        assert status == 200 and details["content-security-policy"] == page_policy(urlsplit(server.url).netloc)
    with driven_browser() as browser:
        page, asked = browser.new_page(), []
        page.set_default_timeout(120_000)  # a busy machine may need a minute
        page.on("requestfinished", lambda request: asked.append(request.url))
        page.goto(f"{server.url}{ENTER}#{server_key(server_home())}")
        page.wait_for_function("() => (document.querySelector('#app, #root') || {}).innerText")  # it is there
        had, refused = page.evaluate(ASK, [f"{EVIL}/a", f"{server.url}/ico/favicon-32x32.png"])
    assert had == [False, False, True, True] and refused == 2
    assert {urlsplit(one).netloc for one in asked} - {""} == {urlsplit(server.url).netloc}  # no statistics either


@pytest.mark.slow
def test_the_key_is_in_its_file_alone(server):
    key = server_key(server_home()).encode()
    holding = [file for file in server_home().rglob("*") if file.is_file() and key in file.read_bytes()]
    assert holding == [key_file(server_home())]
    assert server.pid and key not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert key.decode() not in repr(server) + shell_variables(server)


@pytest.mark.slow
def test_the_prefect_command_and_ours_work_with_what_is_printed(server, tmp_path):
    """As a user pastes it into a shell that has none of our variables; and `deploy` never prints the key."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HMR_ALIGN_HOME": str(server_home())}
    bare["PYTHONPATH"] = str(ROOT)
    said = {"capture_output": True, "text": True, "timeout": 120, "cwd": tmp_path}
    command = f"{shell_variables(server)} {sys.executable} -m prefect flow ls"
    listed = subprocess.run(["sh", "-c", command], env=bare, **said)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    ours = [sys.executable, "-m", "flows.cli.command_line"]
    set_up = subprocess.run([*ours, "deploy", "--out", str(tmp_path / "runs")], env=bare, **said)
    assert set_up.returncode == 0 and "hmr-align worker" in set_up.stdout, set_up.stdout + set_up.stderr
    assert server_key(server_home()) not in set_up.stdout + set_up.stderr
    named = {**bare, **client_environment(server)}
    looked = subprocess.run([*ours, "doctor", "--json"], env=named, **said)
    (found,) = [one for one in json.loads(looked.stdout)["findings"] if one["name"] == "Prefect server"]
    assert (found["state"], found["found"]) == ("ok", server.url)


@pytest.mark.slow
def test_a_key_that_was_changed_while_the_server_runs_is_told(server, tmp_path):
    kept = key_file(server_home()).read_text()
    key_file(server_home()).write_text("hmr-align:secret\n")
    try:
        bare = {"PATH": os.environ["PATH"], "HMR_ALIGN_HOME": str(server_home()), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli.command_line", "deploy"],
            env=bare, cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    finally:
        key_file(server_home()).write_text(kept)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"refuses the key in {key_file(server_home())}" in done.stderr
    assert "secret" not in done.stderr

"""What our server and the programs that use it are told; no server is started."""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.server.server_environment import (
    OWN_CLIENT_ENVIRONMENT,
    is_loopback,
    leads_elsewhere,
    own_client_environment,
    proxies_in,
    server_environment,
    without_proxy,
)

HOME = Path("/home/anna/.hmr-align")
HOSTILE = {
    "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://anna:pw@db/mine",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://anna:pw@db/mine",
    "PREFECT_SERVER_DATABASE_NAME": "mine",
    "PREFECT_SERVER_API_BASE_PATH": "/team",
    "PREFECT_SERVER_API_AUTH_STRING": "anna:pw",
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "*",
    "PREFECT_PROFILE": "cloud",
    "prefect_api_key": "pnu_1",
    "HTTP_PROXY": "http://proxy:3128",
    "all_proxy": "socks5://proxy:1080",
    "SSL_CERT_FILE": "/no/such",
    "OPENAI_API_KEY": "sk-1",
    "PYTHONSTARTUP": "/tmp/x.py",
}


def test_our_server_inherits_what_python_needs_and_nothing_else():
    details = server_environment({**HOSTILE, "PATH": "/bin", "LC_ALL": "C"}, HOME, 4300, "hmr-align:k")
    assert details["PATH"] == "/bin" and details["LC_ALL"] == "C"
    assert details["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == f"sqlite+aiosqlite:///{HOME}/prefect/prefect.db"
    assert details["PREFECT_SERVER_API_AUTH_STRING"] == "hmr-align:k"
    assert details["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4300"
    assert details["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    values = set(HOSTILE.values()) - {"mine"}
    assert values.isdisjoint(details.values()) and "PREFECT_SERVER_API_BASE_PATH" not in details


@given(st.dictionaries(st.from_regex(r"[A-Za-z_]{1,30}", fullmatch=True), st.text(max_size=5)))
def test_whatever_a_user_sets_the_same_prefect_settings_are_told(inherited):
    inherited.pop("PYTHONPATH", None)

    def prefects(details: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in details.items() if name.upper().startswith("PREFECT")}

    details = server_environment(inherited, HOME, 4300, "k")
    assert prefects(details) == prefects(server_environment({}, HOME, 4300, "k"))
    assert proxies_in(details) == []


def test_a_relative_import_path_still_means_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    details = server_environment({"PYTHONPATH": "lib:"}, HOME, 4300, "k")["PYTHONPATH"].split(":")
    assert details == [str(Path(__file__).parents[4]), str(tmp_path / "lib")]


def test_all_that_leads_a_client_elsewhere_is_replaced_or_taken_away():
    details = own_client_environment({}, HOME, "http://127.0.0.1:4300/api", "k")
    assert details.items() >= OWN_CLIENT_ENVIRONMENT.items()
    assert leads_elsewhere(HOSTILE) == {name for name in HOSTILE if name.upper().startswith("PREFECT")}
    harmless = dict.fromkeys(("PREFECT_LOGGING_LEVEL", "PREFECT_HOME", "PREFECT_WORKER_QUERY_SECONDS"), "")
    assert leads_elsewhere(harmless) == set()


@pytest.mark.parametrize(
    ("inherited", "added"),
    [
        ({}, None),
        ({"NO_PROXY": " "}, None),
        ({"HTTP_PROXY": "http://proxy"}, "127.0.0.1,localhost,::1"),
        ({"all_proxy": "socks5://p", "NO_PROXY": "a.b, localhost,"}, "a.b,localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "p", "NO_PROXY": "upper", "no_proxy": "lower"}, "lower,127.0.0.1,localhost,::1"),
    ],
)
def test_the_loopback_needs_no_proxy(inherited, added):
    assert without_proxy(inherited) == ({"NO_PROXY": added, "no_proxy": added} if added else {})


@given(st.lists(st.text(".:/*[]@ a1-é", max_size=12)))
def test_what_is_left_of_no_proxy_is_read_by_httpx(entries):
    details = without_proxy(
        {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ",".join(["10.0.0.0/8", "*.a.b", *entries])}
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HTTP_PROXY": "http://127.0.0.1:9", **details}.items():
            patch.setenv(name, value)
        httpx.Client(verify=False).close()
    assert details["NO_PROXY"].startswith("10.0.0.0/8,*.a.b")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        *[(f"http://{host}:4200/api", True) for host in ("127.0.0.1", "127.8.0.1", "localhost", "[::1]")],
        *[(f"http://{host}/api", False) for host in ("127.0.0.1.example", "10.0.0.1", "localhost.example", "[::1")],
    ],
)
def test_what_is_on_this_machine(address, local):
    assert is_loopback(address) is local

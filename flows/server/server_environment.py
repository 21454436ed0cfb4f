"""The environments of our server and of the programs that record into a server. Pure functions.

Our server inherits what a Python program needs to run and nothing else: no address, database, key or base path
that the user has set for another Prefect server, and no proxy. Programs that record into it keep their
environment except for variables that would lead Prefect's client elsewhere.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

HOST = "127.0.0.1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

CLIENT_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # the zombie automation expects one within 75 s
}
SERVER_ENVIRONMENT = {
    **CLIENT_ENVIRONMENT,
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # One by one, the server records 23 task runs a second; in batches about 100.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}
OWN_CLIENT_ENVIRONMENT = {
    **CLIENT_ENVIRONMENT,
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",  # it is from the same installation
    # Set explicitly: what is not in the environment is read from the folder's .env.
    "PREFECT_CLIENT_CUSTOM_HEADERS": "{}",
    "PREFECT_API_SSL_CERT_FILE": "",
    "PREFECT_API_KEY": "",
}

_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHONHOME|PYTHONDONTWRITEBYTECODE"
)
_LEADS_ELSEWHERE = re.compile(r"PREFECT_(API|CLIENT|CLOUD|SERVER|UI|PROFILE|TEST|UNIT_TEST)\w*", re.IGNORECASE)
_EXEMPT = re.compile(r"\*|((https?|all)://)?(\*?\.)?\w[\w-]*(\.\w[\w-]*)*(:\d{1,4}|/\d+)?", re.ASCII)
_PROXY = re.compile(r"(http|https|all|ws|wss|socks|no)_proxy", re.IGNORECASE)


def server_environment(inherited: Mapping[str, str], home: Path, port: int, key: str) -> dict[str, str]:
    """The whole environment of our server: what it needs of `inherited`, its own database, origin, address and key."""
    url = f"http://{HOST}:{port}"
    return {
        **{name: value for name, value in inherited.items() if _INHERITED.fullmatch(name)},
        "PYTHONPATH": _import_path(inherited),
        "PYTHONSAFEPATH": "1",  # not the folder that it runs in
        **SERVER_ENVIRONMENT,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect' / 'prefect.db'}",
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": key,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",  # else the page calls port 4200 and stays blank
    }


def own_client_environment(inherited: Mapping[str, str], home: Path, api_url: str, key: str) -> dict[str, str]:
    """The variables that a program needs to record into our server."""
    return {
        **OWN_CLIENT_ENVIRONMENT,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": api_url,
        "PREFECT_API_AUTH_STRING": key,
        **without_proxy(inherited),
    }


def leads_elsewhere(names: Mapping[str, str]) -> set[str]:
    """Those variables that tell Prefect's client how to reach another server of the user."""
    return {name for name in names if _LEADS_ELSEWHERE.fullmatch(name)}


def proxies_in(inherited: Mapping[str, str]) -> list[str]:
    """The names of the proxy variables that are set, NO_PROXY among them."""
    return sorted(name for name, value in inherited.items() if _PROXY.fullmatch(name) and value.strip())


def without_proxy(inherited: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY in both spellings, with the loopback addresses added, if there is a proxy.

    Entries that are no host, network or address are left out: they have no effect, and httpx fails on them.
    """
    if not proxies_in(inherited):
        return {}
    said = inherited.get("no_proxy") or inherited.get("NO_PROXY") or ""
    entries = [entry for entry in map(str.strip, said.split(",")) if _exempts(entry)]
    entries += [host for host in LOOPBACK if host not in entries]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(entries))


def _exempts(entry: str) -> bool:
    """Whether an entry of NO_PROXY can be read: *, a name (with dot or star before it), an IP address or network."""
    with suppress(ValueError):
        ip_address(entry)
        return True
    return _EXEMPT.fullmatch(entry) is not None


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine, so that no proxy is needed to reach it."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return host in LOOPBACK or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _import_path(inherited: Mapping[str, str]) -> str:
    """Our own folder, then the user's entries made absolute: the server runs in another folder."""
    ours = Path(__file__).parents[2]
    theirs = [entry for entry in inherited.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return os.pathsep.join([str(ours), *(os.path.abspath(entry) for entry in theirs)])

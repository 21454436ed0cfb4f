"""The Prefect server that PREFECT_API_URL names: its addresses, and in one line why it cannot be used.

It is asked in the same way as by the flows, with Prefect's own client and the user's key, base path, certificates and
proxies. So the result is valid for them too, and comes within `PROBE_LIMIT` seconds.
"""

import contextvars
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from flows.server.server_environment import is_loopback, proxies_in

PROBE_LIMIT = 7.0  # seconds, without the import of prefect
CLOUD_API = "https://api.prefect.cloud/api"
CLOUD_PAGES = "https://app.prefect.cloud"
WHAT_IT_IS = "PREFECT_API_URL must be the address of a Prefect API, for example http://127.0.0.1:4200/api"


def api_address(named: str) -> str:
    """The address of the API as named; a bare host and port gets Prefect's usual path.

    Raises ValueError, with the reason, for what is no http(s) address.
    """
    address = named.strip().rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"it is no http or https address. {WHAT_IT_IS}")
    _ = parts.port  # raises ValueError
    return address if parts.path else f"{address}/api"


def dashboard_address(api: str, inherited: Mapping[str, str]) -> str:
    """The address of the dashboard of that API: PREFECT_UI_URL, else by Prefect's own rule."""
    if inherited.get("PREFECT_UI_URL"):
        return inherited["PREFECT_UI_URL"]
    cloud = _cloud(inherited)
    if api.startswith(cloud):
        pages = inherited.get("PREFECT_CLOUD_UI_URL") or CLOUD_PAGES
        return pages + api.removeprefix(cloud).replace("/accounts/", "/account/").replace("/workspaces/", "/workspace/")
    return without_secrets(api).removesuffix("/api")


def without_secrets(address: str) -> str:
    """An address without user, password and query, for people to read."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{host}{parts.path}" if host else address.partition("?")[0].rpartition("@")[2]


def why_unusable(api: str, inherited: Mapping[str, str]) -> str:
    """Query that API; returns "" if it can be used, else what is wrong and which variable fixes it.

    The environment must already point to it.
    """
    import prefect.client.orchestration  # noqa: F401  (seconds that are not the server's)

    faults: list[BaseException | None] = []

    def ask() -> None:
        try:
            _ask()
        except Exception as error:  # whatever another server or a setting does, it becomes one line
            faults.append(error)
        else:
            faults.append(None)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(ask,), daemon=True)
    thread.start()
    thread.join(PROBE_LIMIT)
    if not faults:
        return f"but nothing came back within {PROBE_LIMIT:.0f} s{_by_proxy(api, inherited)}"
    return reason_of(faults[0], api, inherited) if faults[0] else ""


def reason_of(fault: BaseException, api: str, inherited: Mapping[str, str]) -> str:
    """What went wrong when `api` was queried, with the variable that causes it."""
    import httpx

    chain = list(_chain(fault))
    for error in chain:
        if isinstance(error, httpx.HTTPStatusError):
            return _refusal(error.response.status_code, api, inherited)
    if any(isinstance(error, httpx.LocalProtocolError | UnicodeEncodeError) for error in chain):
        return "but a header cannot be sent: correct PREFECT_API_KEY or PREFECT_CLIENT_CUSTOM_HEADERS"
    if isinstance(chain[-1], OSError) and not any(isinstance(error, httpx.TransportError) for error in chain):
        return f"but PREFECT_API_SSL_CERT_FILE cannot be read ({type(chain[-1]).__name__}): correct or unset it"
    if not is_loopback(api) and (proxy := unusable_proxy(inherited)):
        return f"but {proxy}"
    if any(isinstance(error, httpx.ProxyError) for error in chain):
        return f"but it is not reached{_by_proxy(api, inherited) or ' through the proxy'}"
    if any(isinstance(error, httpx.TimeoutException) for error in chain):
        return f"but no Prefect server answers there in time{_by_proxy(api, inherited)}"
    if any(isinstance(error, httpx.TransportError) for error in chain):
        if "certificate" in str(chain[-1]).lower():
            return f"but its certificate is not trusted: PREFECT_API_SSL_CERT_FILE names an authority ({chain[-1]})"
        return f"but no Prefect server answers there{_by_proxy(api, inherited)}"
    said = next((str(error) for error in chain if "incompatible versions" in str(error)), "")
    return f"but {said or f'what answers there is no Prefect API ({type(chain[-1]).__name__}). {WHAT_IT_IS}'}"


def unusable_proxy(inherited: Mapping[str, str]) -> str:
    """The first proxy variable that Python's HTTP client cannot use, and why; "" if there is none."""
    import httpx

    for name in proxies_in(inherited):
        value = inherited[name].strip()
        try:
            if name.lower() == "no_proxy":
                _ = [httpx.URL(_pattern(entry.strip())) for entry in value.split(",") if entry.strip()]
            else:
                httpx.Client(proxy=value if "://" in value else f"http://{value}", trust_env=False).close()
        except ImportError:
            return f"{name} is a SOCKS proxy, which needs a package: pip install 'httpx[socks]', or unset {name}"
        except Exception as error:
            return f"{name} cannot be used: {type(error).__name__}. Correct or unset {name}"
    return ""


def _pattern(entry: str) -> str:
    """A NO_PROXY entry as httpx reads it; a plain IPv6 address is in brackets."""
    if "://" in entry:
        return entry
    return f"all://[{entry}]" if entry.count(":") > 1 and "/" not in entry else f"all://*{entry}"


def _ask() -> None:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        limits = {"timeout": httpx.Timeout(PROBE_LIMIT - 1)}
        with get_client(httpx_settings=limits, sync_client=True) as client:
            client.raise_for_api_version_mismatch()  # first: without a CSRF token, a wrong path is a plain 404
            client.read_flows(limit=1)


def _chain(fault: BaseException | None) -> Iterator[BaseException]:
    """The exception, its cause, and so on to the first."""
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__


def _refusal(status: int, api: str, inherited: Mapping[str, str]) -> str:
    variable = "PREFECT_API_KEY" if api.startswith(_cloud(inherited)) else "PREFECT_API_AUTH_STRING"
    if status in (401, 403):
        given = inherited.get(variable)
        fix = f"refuses {variable}: correct it" if given else f"asks for a login: set {variable}"
        return f"but the server there {fix} (HTTP {status})"
    if status in (404, 405):
        return f"but there is no Prefect API under this path (HTTP {status}). {WHAT_IT_IS}"
    return f"but the server there answers HTTP {status}{_by_proxy(api, inherited)}"


def _by_proxy(api: str, inherited: Mapping[str, str]) -> str:
    """The proxy that is used for that address, by the name of its variable."""
    if is_loopback(api):
        return ""
    used = [name for name in proxies_in(inherited) if name.lower() in (f"{urlsplit(api).scheme}_proxy", "all_proxy")]
    return f" (it was asked through {' and '.join(used)}; NO_PROXY exempts it)" if used else ""


def _cloud(inherited: Mapping[str, str]) -> str:
    return inherited.get("PREFECT_CLOUD_API_URL") or CLOUD_API

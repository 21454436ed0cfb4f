"""Our Prefect server behind a filter of requests; only `server.py` starts it.

Prefect asks for the key and a CSRF token, but accepts any Host header. A page that is open in the user's browser could
therefore reach it under another host name (DNS rebinding). The filter (`Doorkeeper`) admits only requests for this
exact address that do not come from a page of another site: see `admits`, for pages and websockets.

Prefect's pages hold code that asks hosts of others (statistics of use, pictures). Its pages are sent with a policy that
lets a browser load and ask nothing but this server: see `page_policy`.

A request that meets another one's lock of the database is refused with 503, and Prefect's client waits two seconds
before it asks again, though such a lock lasts milliseconds. The first such answer says to ask again at once.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from flows.server.served_reports import HEADERS, PREFIX, page_at

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SOON, QUIET = b"0.1", 5.0
"""Seconds after which to ask again after the first refusal for want of a lock; and after which one is the first again:
meanwhile the waits are the client's own, which grow."""

ENTER = "/enter"
"""Login page: takes the key from its address after # (which browsers do not send) and opens the dashboard."""

_ENTER_PAGE = b"""<!doctype html><title>HMR-Align</title><link rel=icon href="data:,"><p>One moment.<script>
const key = decodeURIComponent(location.hash.slice(1));
if (key) localStorage.setItem("prefect-password", btoa(key));
location.replace("/");
</script>"""


def page_policy(place: str) -> str:
    """The Content-Security-Policy of all pages of the server at `place`, host:port: no other host, no foreign frame.

    Inline code and `eval` are Prefect's own pages' need. Links that a user follows lead anywhere.
    """
    return (
        f"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://{place} data: blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )


def admits(headers: Mapping[str, str], place: str) -> bool:
    """Whether a request with these headers (names in lower case) may reach the server at `place`, host:port.

    It must ask for exactly that place; if a page sends it, the page must be ours, or the user followed a link.
    """
    if headers.get("host") != place:
        return False
    if "origin" in headers and headers["origin"] != f"http://{place}":
        return False
    of_another = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return not of_another or headers.get("sec-fetch-mode") == "navigate"


class Doorkeeper:
    """An ASGI application that passes on requests that `admits` accepts, and sends all pages with `page_policy`."""

    def __init__(
        self, inside: Application, place: str, home: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """home: our server's folder, which says what reports are published."""
        self.inside, self.place, self.home, self.clock = inside, place, home, clock
        self._last_refusal = -QUIET
        policy = page_policy(place).encode()
        self.headers = [
            (b"x-frame-options", b"DENY"), (b"content-security-policy", policy), (b"referrer-policy", b"same-origin"),
        ]  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.inside(scope, receive, send)
        if not admits(_headers(scope), self.place):
            return await self._refuse(scope, receive, send)
        if scope["type"] == "http" and scope["path"] == ENTER:
            return await self._reply(send, 200, b"text/html; charset=utf-8", _ENTER_PAGE)
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            page = page_at(scope["path"], self.home) if self.home else None
            if page is None:
                return await self._reply(send, 404, b"text/plain; charset=utf-8", b"There is no such report.\n")
            return await self._reply(send, 200, b"text/html; charset=utf-8", page, HEADERS)

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self.headers, *self._wait(message)]
            await send(message)

        return await self.inside(scope, receive, guarded)

    def _wait(self, answer: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
        """A header for an answer of 503 that says when to ask again, if the client's own wait would be too long."""
        if answer["status"] != 503:
            return []
        before, self._last_refusal = self._last_refusal, self.clock()
        said = any(name.lower() == b"retry-after" for name, _ in answer.get("headers", ()))
        return [] if said or self._last_refusal - before < QUIET else [(b"retry-after", SOON)]

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close", "code": 1008})
        details = f"Only pages and programs of this machine are answered here. Open http://{self.place}\n"
        return await self._reply(send, 403, b"text/plain; charset=utf-8", details.encode())

    async def _reply(
        self, send: Send, status: int, kind: bytes, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        headers = [(b"content-type", kind), (b"cache-control", b"no-store"), *self.headers, *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _headers(scope: Scope) -> dict[str, str]:
    """The headers by name. A repeated header is joined, so that it equals no accepted value."""
    joined: dict[str, str] = {}
    for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]):
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def main() -> None:
    """Serve until stopped; all settings come from the environment that `server_environment` writes."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    api = get_current_settings().server.api
    uvicorn.run(
        Doorkeeper(create_app(final=True), f"{api.host}:{api.port}", Path(os.environ["PREFECT_HOME"]).parent),
        host=api.host,
        port=api.port,
        timeout_keep_alive=api.keepalive_timeout,
        ws_ping_interval=api.websocket_ping_interval,
        ws_ping_timeout=api.websocket_ping_timeout,
        proxy_headers=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()

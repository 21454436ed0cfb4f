"""Prefect's clients reach this machine without a proxy, whatever the proxy variables say."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flows.server.server_environment import is_loopback


def reach_loopback_directly() -> None:
    """From now on Prefect's HTTP clients of a loopback address read no proxy variable; safe to repeat.

    NO_PROXY is not enough: httpx prepares every proxy that is set, and fails on one that it cannot use even if it
    would never use it. The variables still apply to everything else in this process, such as a remote critic.
    """
    from prefect.client import base

    for client in (base.PrefectHttpxSyncClient, base.PrefectHttpxAsyncClient):
        if not hasattr(client.__init__, "__wrapped__"):
            client.__init__ = _direct(client.__init__)  # type: ignore[method-assign]


def _direct(make: Callable[..., None]) -> Callable[..., None]:
    @wraps(make)
    def made(self: object, *args: Any, **settings: Any) -> None:
        if is_loopback(str(settings.get("base_url", ""))):
            settings.setdefault("trust_env", False)
        make(self, *args, **settings)

    return made

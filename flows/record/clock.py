"""How far the clock of this machine and that of the Prefect server are apart, and what that does.

The store does not care: what is newer is told by order, not by clocks. Prefect does: a worker asks for runs by its own
time, and heartbeats bear the time of the machine that sends them.
"""

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

APART = 15.0
"""Seconds that clocks may be apart; heartbeats come every 30 s and are missed after 75 s."""


def seconds_ahead(client: "SyncPrefectClient") -> float:
    """By how much this machine's clock is ahead of the server's, within a second; 0 if the server tells no time."""
    begin = time.time()
    reply = client.request("GET", "/health")
    between = (begin + time.time()) / 2
    if "date" not in reply.headers:
        return 0.0
    return between - parsedate_to_datetime(reply.headers["date"]).timestamp() - 0.5  # it is cut to whole seconds


def warning_of(ahead: float) -> str | None:
    """What to say about clocks so far apart; None if nothing."""
    if abs(ahead) < APART:
        return None
    how = "ahead of" if ahead > 0 else "behind"
    return (
        f"the clock of this machine is {abs(ahead):,.0f} s {how} the Prefect server's: runs would begin at the wrong "
        "time, and live ones be marked Crashed or dead ones not; set it (NTP). The store is safe"
    )

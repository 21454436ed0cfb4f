"""Events of ours on the Prefect server, which automations can act on: `hmr-align.drift` and others. Outside of a run:
nothing.

| event | sent when | payload |
|---|---|---|
| `hmr-align.round-trained` | a round of training has ended | round, best_step, reason |
| `hmr-align.rolled-back` | the guard stopped a round and went back to an earlier step | round, best_step, reason |
| `hmr-align.rescored` | stored groups were judged again | critic, against, groups, correlation, changed, money |
| `hmr-align.drift` | its ranks agree with those of the version before less than `[rescore] warn_below` | the same |
| `hmr-align.budget-spent` | a budget ended the judging | critic, message |
| `hmr-align.rule-admitted` | the critic's memory has a new rule | memory, version, rule, text |
| `hmr-align.memory-changed` | the critic's memory has a new version | memory, version |
| `hmr-align.photographs-changed` | the watched folder has new, changed or fewer photographs | folder, added, removed |

Each has the resource `hmr-align.run.<name of the run>`. Payloads hold names, counts and numbers, never a key.
"""

from math import isfinite
from typing import Any

from prefect.events import emit_event

from tasks.run.shard_task import in_a_run

PREFIX = "hmr-align."
NAMES = (
    "round-trained",
    "rolled-back",
    "rescored",
    "drift",
    "budget-spent",
    "rule-admitted",
    "memory-changed",
    "photographs-changed",
)


def tell_event(name: str, run: str, **payload: Any) -> None:
    """Send an event about a run. Raises ValueError for a name that is not in the table: nothing would act on it."""
    if name not in NAMES:
        raise ValueError(f"there is no event '{name}'; add it to tasks/run/events.py")
    if in_a_run():
        plain = {key: _plain(value) for key, value in payload.items()}
        resource = {"prefect.resource.id": f"{PREFIX}run.{run}", "prefect.resource.name": run}
        emit_event(f"{PREFIX}{name}", resource, payload=plain)


def _plain(value: Any) -> Any:
    """The value if JSON can hold it, else its text."""
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)

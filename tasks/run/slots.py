"""Slots that workers on all machines share: who finds none free waits. Outside of a run, and without a limit: no wait.

`hmr-align deploy` makes the limits (`[deploy] vlm_slots`). Prefect asks its server again every few seconds, so a slot
is taken for a shard, never for one request: those are limited by `[critic.vlm] max_in_flight`.
"""

from contextlib import AbstractContextManager, nullcontext

from prefect.concurrency.sync import concurrency

from tasks.run.shard_task import in_a_run

VLM = "hmr-align-vlm"
"""Shards that may ask the remote critic at a time, on all machines together."""


def slot(name: str, wanted: bool = True) -> AbstractContextManager[None]:
    """Context in which one slot is held, if it is wanted."""
    return concurrency(name, occupy=1, strict=False) if wanted and in_a_run() else nullcontext()

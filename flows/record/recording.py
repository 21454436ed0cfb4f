"""Flows that a command calls: recorded by a Prefect server, or without one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from flows.cli.faults import debugging, told_to_end


@contextmanager
def recorded() -> Iterator[None]:
    """Context in which flows are recorded by the running server, or by one started for them."""
    from flows.server.prefect_settings import load_prefect
    from flows.server.server import ServerError, answers, prefect_server

    with told_to_end(), prefect_server() as server:
        load_prefect()
        import httpx
        from prefect import tags
        from prefect.client.orchestration import get_client

        from flows.record.console import send_logs, terminal
        from flows.record.dead_runs import TAG, free_task_runs
        from flows.server.set_up import set_up_automation

        how = "   (hmr-align dashboard logs your browser in)" if server.pid else ""
        typer.echo(f"Dashboard: {server.url}{how}", err=True)
        with get_client(sync_client=True) as client:
            if server.pid:  # on another server only `hmr-align deploy` sets up automations
                set_up_automation(client)
            try:
                with tags(TAG), terminal(debugging()):
                    yield
            except httpx.TransportError as error:
                if answers(server):
                    raise
                raise ServerError(
                    f"the Prefect server at {server.url} does not answer any more ({error}). Once it does, give the "
                    "same command again: finished shards are kept"
                ) from error
            finally:
                send_logs()
                with suppress(Exception):  # cleaning up must not hide the first error
                    free_task_runs(client)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Context for flows called as plain functions (`flow.fn`), without a server: our log lines are printed on the
    terminal.
    """
    from flows.server.prefect_settings import load_prefect

    load_prefect()
    from flows.record.console import Terminal, is_our_log
    from hmr.processes import processes_kept

    ours = Terminal()
    ours.addFilter(is_our_log)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(ours)
    root.setLevel(logging.INFO)
    try:
        with told_to_end(), processes_kept():
            yield
    finally:
        root.removeHandler(ours)
        root.setLevel(level)

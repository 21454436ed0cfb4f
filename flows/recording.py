"""Flows that a command calls, in the history of a Prefect server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from flows.faults import debugging


@contextmanager
def recorded() -> Iterator[None]:
    """Flows called inside are recorded by the running server, or by one started for them."""
    from flows.prefect_settings import load_prefect
    from flows.server import prefect_server

    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")  # the bars say how far it is
    with prefect_server() as server:
        load_prefect()
        from prefect import tags

        from flows.console import keep_faults_to_one_line, send_logs
        from flows.deployments import TAG

        how = "   (hmr-align dashboard logs your browser in)" if server.pid else ""
        typer.echo(f"Dashboard: {server.url}{how}", err=True)
        keep_faults_to_one_line(debugging())
        try:
            with tags(TAG):
                yield
        finally:
            send_logs()

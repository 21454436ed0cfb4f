"""`hmr-align align --plan` and `--dry-run`: what a run will take, and a rehearsal of it in small."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.output import plain, tell_table
from flows.record.recording import unrecorded

if TYPE_CHECKING:
    from tasks.run.settings import Settings

Plan = Annotated[
    bool, typer.Option("--plan", help="Only say what it will take: requests, tokens, money, hours, bytes.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Walk every step in small into DIR/NAME-dry-run; no server is asked.")
]


def tell_forecast(settings: "Settings") -> None:
    """Print the table of a run; nothing is written, sent or started."""
    from tasks.forecast.forecast import forecast

    found = forecast(settings)
    tell_table(found.heads, [tuple(map(plain, row)) for row in found.rows])
    typer.echo("\n".join(found.notes))


def rehearse(settings: "Settings") -> None:
    """Walk every step in small, and print what was walked, how long it took, and what was not tried."""
    from tasks.forecast.missing import missing_variables, refuse_missing

    refuse_missing(settings)
    with unrecorded():
        from flows.cli.dry_run import dry_run

        done = dry_run(settings)
    from tasks.forecast.walked import HEADS

    tell_table(HEADS, [tuple(map(plain, row)) for row in done.rows])
    typer.echo(
        f"Every step was walked in {done.seconds:.0f} s; {done.requests} requests went to a stand-in for the judge."
    )
    typer.echo(f"Look at {done.folder / 'report.html'}; its numbers mean nothing. The real run has not been touched.")
    for line in missing_variables(settings):
        typer.echo(f"The real run will need  {line}")

"""Output of commands: tables and measured numbers, printed or written to files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tasks.run.settings import Settings


def tell_events(events: list[dict[str, Any]]) -> None:
    """Print the ledger of a memory."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:+.3f}"

    heads = ["date", "what", "lift", "at least", "groups", "text", "detail"]
    rows = [
        (
            event.get("time", "")[:10],
            event["what"],
            number(event.get("lift")),
            number(event.get("low")),
            str(event.get("groups") or ""),
            plain(event.get("text", "")),
            plain(event.get("detail", "")),
        )
        for event in events
    ]
    tell_table(heads, rows)


def tell_results(settings: "Settings") -> None:
    """Print the benchmark table of a run, and the paths of its report and summary."""
    summary = settings.run.folder / "summary.json"
    if summary.exists():
        import json

        from tasks.report.report_tables import benchmark_rows

        rows = benchmark_rows(json.loads(summary.read_text()))
        tell_table(list(rows[0]), [tuple(plain(value) for value in row.values()) for row in rows])
    for name in ("report.html", "summary.json"):
        if (file := settings.run.folder / name).exists():
            typer.echo(file)


def groups_not_judged(settings: "Settings") -> int:
    """How many groups of a finished run its critic could not judge."""
    import json

    summary = settings.run.folder / "summary.json"
    return json.loads(summary.read_text())["verdicts"].get("failed_groups", 0) if summary.exists() else 0


def tell_measurements(results: list[dict[str, Any]], file: Path | None) -> None:
    """Print measured numbers as a table, and write them to the file of `--json`."""
    from flows.cli.measurements import cells, write_measurements

    rows = [tuple(map(plain, cells(one).values())) for one in results]
    tell_table(["metric", "value", "compared with", "ratio"], rows)
    if file:
        write_measurements(file, results)


def tell_table(heads: list[str], rows: list[tuple[str, ...]]) -> None:
    """Print a table to standard output, long cells folded; rich markup in cells is interpreted (see `plain`)."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def plain(text: object) -> str:
    """Text escaped so that rich shows it unchanged."""
    from rich.markup import escape

    return escape(str(text))


@contextmanager
def shares(what: str) -> Iterator[Callable[[float], None]]:
    """A bar in the terminal for work that tells which share of it is done, 0..1."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    with Progress(TextColumn("{task.description:<24}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task(plain(what), total=1.0)
        yield lambda share: bar.update(task, completed=share)

"""What a run shows on the dashboard: tables and pages, under keys that Prefect accepts. Outside of a run: nothing."""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, create_table_artifact
from prefect.context import FlowRunContext, TaskRunContext


def leave_table(name: str, rows: Sequence[Mapping[str, Any]], about: str) -> None:
    """Put a table on the dashboard; none if there are no rows."""
    if _in_run() and rows:
        table = [{key: _cell(value) for key, value in row.items()} for row in rows]
        create_table_artifact(table, key=key_of(name), description=about)


def leave_counts(name: str, counts: Mapping[str, Any], about: str) -> None:
    """Put a table with names and counts on the dashboard."""
    leave_table(name, [{"what": what, "value": value} for what, value in counts.items()], about)


def leave_page(name: str, text: str, about: str) -> None:
    """Put a page of markdown on the dashboard."""
    if _in_run():
        create_markdown_artifact(text, key=key_of(name), description=about)


def begin_progress(name: str) -> UUID | None:
    """An artifact that shows progress, for `update_progress_artifact`; None outside of a run."""
    if not _in_run():
        return None
    return create_progress_artifact(progress=0.0, key=key_of(name), description=name)  # type: ignore[return-value]


def key_of(name: str) -> str:
    """A name in the form of Prefect's keys: lower-case ASCII letters and digits with single dashes between."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _cell(value: Any) -> Any:
    """The value if JSON can hold it, else its text."""
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _in_run() -> bool:
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None

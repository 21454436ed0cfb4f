"""What the dashboard shows of a report: a link to it, and its first row of pictures."""

from collections.abc import Sequence
from pathlib import Path

from flows.server.served_reports import publish
from tasks.report.embedded_picture import picture
from tasks.report.report import ShownPerson
from tasks.report.thumbnails import photograph_box

SIDE = 176  # px of a picture
MOST = 5  # pictures in the row


def page_link(page: Path) -> str:
    """Markdown that leads to a page; only its path if our own server does not show it."""
    address = publish(page)
    return f"**[Open the report]({address})** (`{page}`)" if address else f"The report: `{page}`"


def first_row(shown: Sequence[ShownPerson]) -> str:
    """Markdown with the first person's photograph and the critic's first hypotheses; empty if nobody is shown."""
    if not shown:
        return ""
    person = shown[0]
    group = person.after or person.before
    ranked = sorted((one for one in group.hypotheses if one.rank is not None), key=lambda one: one.rank or 0)
    box = photograph_box(group.photograph)
    heads = ["photograph", *(f"{one.rank}. {one.score:.0f} points" for one in ranked[: MOST - 1])]
    files = [group.photograph, *(one.overlay for one in ranked[: MOST - 1])]
    cells = [f"![{head}]({picture(file, SIDE, 72, box)})" for head, file in zip(heads, files)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), cells))

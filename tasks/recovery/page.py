"""The files beside the photographs' folders: `results.parquet`, `README.txt` and `index.html`, which shows everything.

The page has no script and no web address: it works from a disk, and can be moved with its folder. All text from
outside, such as file names, is escaped by the template. Free of prefect and torch.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from storage.finished_file import write_text
from tasks.recovery.files import AXES, COLOURS, FIELDS, read_arrays, readme, table_row, write_table
from tasks.recovery.record import Record, records_in

PICKS = {
    "zero": "the mesh drawn from zero noise",
    "medoid": "the mesh that lies nearest to the rest of its group",
    "critic": "the mesh that the critic likes best",
    "mean": "the mean of the group",
}


def write_results(results: Path, settings_sha256: str, faults: Sequence[tuple[str, str]]) -> Path:
    """Write table, README.txt and page again from what the folders hold; returns the page.

    settings_sha256: of the current call; photographs processed with other settings are marked. faults: (name, reason).
    """
    records = records_in(results)
    rows = [
        table_row(folder, k, read_arrays(results / folder / f"person{k}.npz"))
        for folder, record in records.items()
        for k in range(len(record["people"]))
    ]
    write_table(results / "results.parquet", rows)
    write_text(results / "README.txt", readme())
    page = results / "index.html"
    write_text(page, page_text(results.name, records, settings_sha256, faults))
    return page


def page_text(name: str, records: dict[str, Record], settings_sha256: str, faults: Sequence[tuple[str, str]]) -> str:
    """The HTML page of some photographs; records: folder -> record, faults: (name, reason)."""
    source = resources.files("tasks.recovery").joinpath("recovery_template.html.j2").read_text(encoding="utf-8")
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(source)
    return template.render(
        name=name,
        photographs=[_photograph(folder, one, settings_sha256) for folder, one in records.items()],
        people=sum(len(one["people"]) for one in records.values()),
        faults=faults,
        fields=FIELDS,
        axes=AXES,
        colours=["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in COLOURS],
        number=_number,
    )


def _photograph(folder: str, record: Record, settings_sha256: str) -> dict[str, Any]:
    return {
        **record,
        "folder": folder,
        "link": quote(folder),
        "name": Path(record["photo"]).name,
        "picked_how": PICKS[record["pick"]],
        "other_settings": record["settings_sha256"] != settings_sha256,
    }


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}f}"

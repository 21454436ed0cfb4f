"""Reference numbers by protocol: what papers and their authors print, with where it was read.

The file is `tasks/assets/published.toml`. A number that nobody printed is not in it, and none is made up.
"""

from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field

from tasks.protocols.protocol import read_table
from tasks.run.settings import Section, SettingsError, validate

MARKS = {
    "published": "printed in a paper or by its authors",
    "re-run": "somebody else's run of released code",
    "second-hand": "in public notes; the paper was not read",
    "here": "measured here",
}


class Reference(Section):
    """One row of a table of others. Millimetres; correlations from -1 to 1."""

    protocol: str
    method: str
    hypotheses: Annotated[int, Field(ge=1)] | None = None  # M; None = one answer, or not said
    choice: Literal["single", "min", "selected", "zero noise"] = "single"
    values: dict[str, float]  # metric -> number
    mark: Literal["published", "re-run", "second-hand"]
    source: str
    note: str = ""

    @property
    def label(self) -> str:
        """The method with how its answer was chosen."""
        if self.choice == "min":
            many = f" of {self.hypotheses}" if self.hypotheses else ""
            return f"{self.method}, min{many} (oracle)"
        return self.method if self.choice == "single" else f"{self.method}, {self.choice}"


@cache
def references() -> tuple[Reference, ...]:
    """All reference numbers; raises SettingsError if the file has a fault."""
    rows = read_table(resources.files("tasks") / "assets" / "published.toml").get("number", [])
    return tuple(validate(Reference, row, f"published.toml, row {k}", "number") for k, row in enumerate(rows, 1))


def published(protocol: str) -> list[Reference]:
    """The reference numbers of a protocol, in the order of the file. Raises SettingsError if there are none."""
    found = [row for row in references() if row.protocol == protocol]
    if not found:
        known = ", ".join(dict.fromkeys(row.protocol for row in references()))
        raise SettingsError(
            f"no reference numbers are known for protocol '{protocol}'. Leave --against out; there are some for "
            f"{known}."
        )
    return found

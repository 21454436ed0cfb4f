"""Measured costs of the work: seconds of one core, and bytes in the store, each with its source."""

import tomllib
from importlib import resources
from typing import NamedTuple

PERSON_BYTES = 42_000
GROUP_BYTES = 42_000
HYPOTHESIS_BYTES = 1_400
VERDICT_BYTES = 60
"""In the store: of a person, a group, each of its hypotheses, and a score. Source: docs/scale.md."""


class Rate(NamedTuple):
    """Seconds of one core for one item, and what they were measured by."""

    seconds: float
    source: str


def rates() -> dict[str, Rate]:
    """All of `tasks/assets/rates.toml`, by name."""
    text = (resources.files("tasks") / "assets" / "rates.toml").read_text(encoding="utf-8")
    return {name: Rate(**entry) for name, entry in tomllib.loads(text).items()}

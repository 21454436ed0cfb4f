"""Curves of docs/results.md, from the committed results:

    python deploy/pictures/make_curves.py docs/pictures

`verdicts.svg` from `table2_more_curves.json`, `monitor.svg` from `table2_curves.json`, `rounds.svg` from
`align_summary.json`. Make them anew
whenever one of these files changes. `objectives.svg` is `best_of_m.svg` of the page of `hmr-align experiment table2`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from storage.finished_file import finished_file
from tasks.report.arms_page import STYLE
from tasks.report.study_curves import figures, over_rounds

RESULTS = Path(__file__).parents[1] / "experiments"
FIXED: dict[Any, Any] = {"svg.hashsalt": "results"}
"""Else ids in the file differ each time."""


def main() -> None:
    """Read the results and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with matplotlib.rc_context(STYLE | FIXED):
        for name, file in (("verdicts", "table2_more_curves.json"), ("monitor", "table2_curves.json")):
            rows = json.loads((RESULTS / file).read_text())["results"]
            write(figures(rows)[name][1], folder / f"{name}.svg")
        rounds = json.loads((RESULTS / "align_summary.json").read_text())["rounds"]
        write(over_rounds(rounds), folder / "rounds.svg")


def write(figure: Figure, path: Path) -> None:
    """The figure as an SVG that is the same each time."""
    with finished_file(path) as unfinished:
        figure.savefig(unfinished, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()

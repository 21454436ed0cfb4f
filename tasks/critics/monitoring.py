"""A second critic of another kind that training never sees: how far it agrees with the first one."""

import json
from pathlib import Path

from critique.panel import agreement
from storage.finished_file import read_again, write_text
from storage.group_store import GroupStore

Rows = list[dict[str, str | float]]
"""Each row has gen, critic, monitor, and what `agreement` measures."""

FILE = "monitor.json"

FALL = 0.1
"""Fall of the rank correlation since the first generation that causes a warning."""


def watch(store: GroupStore, gen: str, critic: str, monitor: str, folder: Path) -> Rows:
    """Compare a generation's verdicts with the monitor's; returns one row for each generation watched so far.

    The rows are stored in `monitor.json` in the run's folder.
    """
    theirs = {verdict.group_id: verdict for _, verdict in store.judged(gen, monitor)}
    pairs = [(v, theirs[v.group_id]) for _, v in store.judged(gen, critic) if v.group_id in theirs]
    found = agreement([ours for ours, _ in pairs], [second for _, second in pairs])
    path, rows = folder / FILE, _kept(folder)
    key = {"gen": gen, "critic": critic, "monitor": monitor}
    rows = [row for row in rows if any(row[name] != value for name, value in key.items())] + [key | found]
    write_text(path, json.dumps(rows, indent=1))
    return watched(folder, critic, monitor)


def watched(folder: Path, critic: str, monitor: str) -> Rows:
    """One row for each generation of a run on which a critic was compared with this monitor."""
    return [row for row in _kept(folder) if (row["critic"], row["monitor"]) == (critic, monitor)]


def describe(rows: Rows) -> str:
    """The last row as text, with a warning if the critics have drifted apart."""
    last, apart = rows[-1], drift(rows)
    line = (
        f"monitor {last['monitor']} on {last['gen']}: rank correlation {last['rank_correlation']:.2f} with "
        f"{last['critic']}, which favours hypotheses better than {100 * float(last['favourite']):.0f} % for it"
    )
    return line if apart is None else f"{line}. WARNING: {apart}"


def drift(rows: Rows) -> str | None:
    """A warning if the critics agree less than on the first generation; None if they do not."""
    first, last = rows[0], rows[-1]
    if not float(first["rank_correlation"]) - float(last["rank_correlation"]) > FALL:  # NaN: nothing was compared
        return None
    return f"it was {first['rank_correlation']:.2f} on {first['gen']}; the model may be learning the critic's faults"


def _kept(folder: Path) -> Rows:
    return read_again(folder / FILE, lambda path: json.loads(path.read_text())) or []

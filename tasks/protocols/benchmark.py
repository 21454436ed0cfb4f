"""A benchmark by protocol, from files to files: predictions and records in; table, plots and page out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.finished_file import make_folder
from tasks.protocols.bodies import Bodies
from tasks.protocols.evaluation import evaluate
from tasks.protocols.figures import figures, write_figures
from tasks.protocols.page import write_page
from tasks.protocols.people import answers, choose, match
from tasks.protocols.protocol import METRICS, NamedProtocol, protocol_line
from tasks.protocols.published import published
from tasks.protocols.results import Results, collect, correlations, means
from tasks.protocols.table import Table, our_rows, ranks_text, reference_rows, score_rows, write_table
from tasks.run.settings import SettingsError

OWN = "its own score"
"""What chooses a hypothesis where the model itself gives scores."""


class Benchmarked(NamedTuple):
    """The outcome: the table, and where all of it lies."""

    table: Table
    results: Results
    page: Path
    files: tuple[Path, ...]


def benchmark(
    protocol: NamedProtocol,
    data: Path,
    predictions: Sequence[Path],
    kind: str,
    bodies: Bodies,
    out: Path,
    *,
    against: bool = False,
    name: str = "",
    audit: Path | None = None,
    chooser: str = OWN,
    remarks: Sequence[str] = (),
    progress: Callable[[float], object] = lambda share: None,
) -> Benchmarked:
    """Measure predictions on records by a protocol, and write everything into `out`.

    against: with the reference numbers of the protocol. name: of the predictions in the table; "" = their models.
    audit: what `hmr-align data audit --json` wrote; its verdict then stands on the page. chooser: whose scores the
    predictions hold. remarks: to stand under the numbers too. Raises SettingsError, SourceError or BodyFileError if
    something is missing or does not fit.
    """
    rules = protocol.rules
    if rules.kind == "studio":
        raise SettingsError(
            f"protocol {protocol.name} measures a model on drawn people: leave --data and --predictions out"
        )
    others = reference_rows(published(protocol.name)) if against else []
    chosen = choose(data, protocol)
    found = answers(kind, predictions)
    matched = match(chosen, found)
    if not matched.groups:
        counts = "; ".join(f"{count} {how}" for how, count in matched.counts.items())
        raise SettingsError(
            f"none of the {len(found)} predictions belongs to one of the {len(chosen.rows)} people of {data} "
            f"({counts}). The texts image and person of a prediction say whose it is: the record's image_path and "
            "person_id, or its sample_id as image."
        )

    def told() -> Iterator:
        for done, one in enumerate(evaluate(chosen, matched, rules, bodies, kind), 1):
            progress(done / len(matched.groups))
            yield one

    make_folder(out)
    errors = out / "errors.parquet"
    results = collect(told(), rules, errors)
    measured = means(results, rules)
    low, high = results.hypotheses
    line = protocol_line(protocol, len(results.people), f"M = {low}" if low == high else f"M = {low} to {high}")
    ranked = correlations(results, rules)
    ours = name or ", ".join(results.models)
    rows = score_rows(ours, ranked) if rules.kind == "critic" else our_rows(ours, measured, results.hypotheses, chooser)
    if rules.kind == "critic" and not rows:
        raise SettingsError(
            f"protocol {protocol.name} correlates scores with errors, and the predictions hold no 'scores'"
        )
    under = _remarks(protocol, chosen.left_out, matched.counts, len(chosen.rows), results, measured, chooser)
    table = Table(protocol, line, (*rows, *others), (*remarks, *under))
    files = write_table(table, out)
    drawn = figures(results, protocol, chooser)
    pictures = write_figures(drawn, out, line)
    page = write_page(table, pictures, out / "index.html", audit)
    return Benchmarked(table, results, page, (*files, errors))


def _remarks(
    protocol: NamedProtocol,
    left_out: dict[str, int],
    counts: dict[str, int],
    people: int,
    results: Results,
    measured: dict,
    chooser: str,
) -> Iterator[str]:
    """What a reader must know beside the protocol: who is missing, who was matched how, what was not measured."""
    missing = counts.get("people without a prediction", 0)
    if missing:
        yield (
            f"{missing:,} of the protocol's {people:,} people in this file have NO prediction and are not in any mean: "
            "a method that finds fewer people looks better than it is."
        )
    matching = {how: count for how, count in counts.items() if how != "people without a prediction"}
    yield f"Predictions were matched: {'; '.join(f'{count:,} {how}' for how, count in matching.items())}."
    if left_out:
        reasons = "; ".join(f"{count:,} records {reason}" for reason, count in left_out.items())
        yield f"Left out by the protocol: {reasons}."
    lacking = [METRICS[m] for m in protocol.rules.metrics if not any(m in by for by in measured.values())]
    if lacking:
        yield (
            f"Not measured: {', '.join(lacking)}. A mesh metric needs --bodies and meshes of one topology; W- metrics "
            "the model's camera rotation; acceleration consecutive frames; pairs two people in a picture."
        )
    ranked = correlations(results, protocol.rules)
    if ranked and protocol.rules.kind != "critic":
        whose = "The predictions' own score" if chooser == OWN else f"The score of {chooser}"
        yield f"{whose} against minus the error, mean over groups: {ranks_text(ranked)}."
    first = f"srcc_{protocol.rules.metrics[0]}"
    flat = int(np.isnan(results.people[first].to_numpy(float)).sum()) if first in results.people else 0
    if flat:
        yield (
            f"{flat:,} groups have no rank correlation: all scores or all errors are equal, or fewer than three were "
            "scored."
        )
    if np.isfinite(results.people["hypotheses"]).all() and results.hypotheses[0] != results.hypotheses[1]:
        yield "People have different numbers of hypotheses: the best of M is not of one M."

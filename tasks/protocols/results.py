"""What was measured by a protocol, as tables: each hypothesis, each person by each way to choose, means with intervals.

Ways to choose (`CHOICES`): `best` takes the minimum of each metric apart, `best_hypothesis` all metrics of the one
hypothesis whose first metric is least. Both are an ORACLE's, and only the former is what others print as the minimum
over M.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hmr.metrics.pose_metrics import acceleration_error, best_hypothesis, bootstrap_interval, rank_correlations
from storage.finished_file import finished_file
from tasks.protocols.evaluation import Measured
from tasks.protocols.protocol import RISING, Protocol

CHOICES = {
    "first": "first hypothesis",
    "mean": "expected error of one hypothesis",
    "median": "median of the errors",
    "mean_body": "error of the mean body",
    "medoid": "medoid",
    "selected": "chosen by {chooser}",
    "best_hypothesis": "best hypothesis (oracle)",
    "best": "best of M, each metric apart (oracle)",
}
CORRELATIONS = ("srcc", "krcc", "plcc")
RANKED = ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")
"""Metrics that scores are correlated with."""
VIEWS = {"front": (0.0, 45.0), "side": (45.0, 135.0), "back": (135.0, 181.0)}
HIDDEN = {"none hidden": (0.0, 1e-9), "to 25 %": (1e-9, 0.25), "to 50 %": (0.25, 0.5), "above 50 %": (0.5, 1.01)}
"""Share of a person's points that the picture does not show."""


class Results(NamedTuple):
    """All of an evaluation; `people` has a row a person, and a column "<choice>/<metric>" for each."""

    people: pd.DataFrame
    joints: NDArray[np.float64]  # (J,) mean error of the first hypothesis, mm
    curve: pd.DataFrame  # m, error: expected best of m hypotheses drawn at random, of the first metric
    hypotheses: tuple[int, int]  # fewest and most of a person
    models: tuple[str, ...]


class Mean(NamedTuple):
    """A mean over people with 95 % percentile intervals."""

    value: float
    by_image: tuple[float, float]
    by_sequence: tuple[float, float] | None  # None with one sequence: nothing to draw from
    people: int


def collect(measured: Iterable[Measured], rules: Protocol, file: Path) -> Results:
    """Write the errors of every hypothesis to `file`, a long Parquet table, and keep one row for each person."""
    rows: list[dict] = []
    joints: list[NDArray] = []
    first: list[NDArray] = []
    motions: list[tuple[tuple[str, str, str], int | None, NDArray, NDArray]] = []
    models: dict[str, None] = {}
    with finished_file(file) as unfinished:
        writer: pq.ParquetWriter | None = None
        try:
            for one in measured:
                table = _long(one)
                writer = writer or pq.ParquetWriter(unfinished, table.schema, compression="zstd")
                writer.write_table(table)
                rows.append(_person(one, rules))
                joints.append(one.joint_error)
                first.append(np.sort(one.errors[rules.metrics[0]] * _sign(rules.metrics[0])))
                if "accel_mm" in rules.metrics:
                    motions.append((one.track, one.frame, *one.motion))
                models.update(dict.fromkeys(one.models))
        finally:
            if writer:
                writer.close()
        if not rows:
            pq.write_table(pa.table({"sample_id": pa.array([], pa.string())}), unfinished)
    people = pd.DataFrame(rows)
    if "accel_mm" in rules.metrics and rows:
        people["first/accel_mm"] = _accelerations(motions)
    sizes = [len(part) for part in first] or [0]
    curve = _curve(first, min(sizes), _sign(rules.metrics[0]))
    with np.errstate(all="ignore"):
        mean_joints = np.nanmean(np.stack(joints), 0) if joints else np.zeros(0)
    return Results(people, mean_joints, curve, (min(sizes), max(sizes)), tuple(models))


def means(results: Results, rules: Protocol, *, resamples: int = 1000, seed: int = 0) -> dict[str, dict[str, Mean]]:
    """{choice: {metric: mean with intervals}} of what was measured, in the order of CHOICES and of the protocol."""
    found: dict[str, dict[str, Mean]] = {}
    sequences = results.people["sequence"].tolist()
    for choice in CHOICES:
        for metric in rules.metrics:
            if (name := f"{choice}/{metric}") in results.people:
                values = results.people[name].to_numpy(float)
                if np.isfinite(values).any():
                    found.setdefault(choice, {})[metric] = mean_of(values, sequences, resamples, seed)
    return found


def mean_of(values: NDArray, sequences: Sequence[str], resamples: int = 1000, seed: int = 0) -> Mean:
    """The mean of what is not NaN, with its intervals over images and over sequences."""
    known = ~np.isnan(values)
    image = bootstrap_interval(values, seed, resamples=resamples)
    many = len({name for name, fits in zip(sequences, known) if fits}) > 1
    sequence = bootstrap_interval(values, seed, resamples=resamples, sequences=sequences) if many else None
    return Mean(image.estimate, (image.low, image.high), sequence and (sequence.low, sequence.high), image.images)


def correlations(results: Results, rules: Protocol) -> dict[str, tuple[float, int]]:
    """Rank and linear correlations of the predictions' scores with minus the error, mean over groups, and how many."""
    found = {}
    for metric in rules.metrics:
        for name in CORRELATIONS:
            if (column := f"{name}_{metric}") in results.people:
                values = results.people[column].to_numpy(float)
                values = values[~np.isnan(values)]
                if len(values):
                    found[column] = (float(values.mean()), len(values))
    return found


def by_class(results: Results, metric: str, column: str, classes: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Mean error of the first hypothesis by class of a column (`hidden`, `turned`): class, people, error."""
    values = results.people[column].to_numpy(float)
    errors = results.people[f"first/{metric}"].to_numpy(float)
    rows = []
    for name, (low, high) in classes.items():
        inside = (values >= low) & (values < high) & np.isfinite(errors)
        if inside.any():
            rows.append({"class": name, "people": int(inside.sum()), "error": float(errors[inside].mean())})
    return pd.DataFrame(rows, columns=["class", "people", "error"])


def _long(one: Measured) -> pa.Table:
    count = len(one.models)
    columns = {
        "sample_id": pa.array([one.sample_id] * count).dictionary_encode(),
        "sequence": pa.array([one.sequence] * count).dictionary_encode(),
        "hypothesis": pa.array(range(count), pa.int32()),
        "model": pa.array(one.models).dictionary_encode(),
        "score": pa.array(np.full(count, np.nan) if one.scores is None else one.scores, pa.float32()),
    }
    return pa.table({**columns, **{name: pa.array(values, pa.float32()) for name, values in one.errors.items()}})


def _person(one: Measured, rules: Protocol) -> dict:
    """Each way to choose, and the correlations of the scores."""
    row: dict = {"sample_id": one.sample_id, "sequence": one.sequence, "hypotheses": len(one.models),
                 "hidden": one.hidden, "turned": one.turned}  # fmt: skip
    many = len(one.models) > 1
    leading = one.errors[rules.metrics[0]] * _sign(rules.metrics[0])
    places = {"first": 0}
    if many:
        places |= {"medoid": one.medoid, "best_hypothesis": int(best_hypothesis(leading[None])[0])}
        if one.scores is not None and np.isfinite(one.scores).any():
            places["selected"] = int(np.nanargmax(one.scores))
    for metric, errors in one.errors.items():
        for choice, place in places.items():
            row[f"{choice}/{metric}"] = float(errors[place])
        if many and np.isfinite(errors).all():
            row[f"mean/{metric}"] = float(errors.mean())
            row[f"median/{metric}"] = float(np.median(errors))
            row[f"mean_body/{metric}"] = one.mean_body.get(metric, math.nan)
            row[f"best/{metric}"] = float(errors.max() if _sign(metric) < 0 else errors.min())
        if many and one.scores is not None and metric in RANKED and np.isfinite(errors).all():
            quality = rank_correlations(one.scores[None], errors[None])
            row |= {f"{name}_{metric}": float(getattr(quality, name)[0]) for name in CORRELATIONS}
    return row


def _sign(metric: str) -> int:
    """-1 if more is better."""
    return -1 if metric.startswith(RISING) else 1


def _curve(ordered: Sequence[NDArray], most: int, sign: int) -> pd.DataFrame:
    """Expected best of m hypotheses drawn without replacement, mean over people.

    E = sum over k of e_(k) C(G - k, m - 1) / C(G, m), with e_(1) the best. Exact, so the curve never shakes.
    """
    rows = []
    for m in _steps(most):
        values = []
        for errors in ordered:
            size = len(errors)
            total = math.comb(size, m)
            shares = [math.comb(size - k, m - 1) / total for k in range(1, size - m + 2)]
            values.append(float(np.dot(shares, errors[: len(shares)])))
        if values:
            rows.append({"m": m, "error": sign * float(np.nanmean(values)) if np.isfinite(values).any() else math.nan})
    return pd.DataFrame(rows, columns=["m", "error"])


def _steps(most: int) -> list[int]:
    """1, 2, 3, 5, 10, 20, 50, ... and the last."""
    usual = [m for power in range(8) for m in (10**power, 2 * 10**power, 3 * 10**power, 5 * 10**power)]
    return sorted({m for m in usual if m < most} | ({most} if most else set()))


def _accelerations(motions: Sequence[tuple]) -> NDArray[np.float64]:
    """Of each person-frame whose neighbours in its track were measured too, mm / frame^2; else NaN.

    Frames of a track that stand equally far apart are neighbours.
    """
    tracks: dict[tuple, list[int]] = {}
    for k, (track, frame, *_) in enumerate(motions):
        if frame is not None:
            tracks.setdefault(track, []).append(k)
    found = np.full(len(motions), np.nan)
    for places in tracks.values():
        places.sort(key=lambda k: motions[k][1])
        steps = [motions[b][1] - motions[a][1] for a, b in pairwise(places)]
        usual = min(steps, default=0)
        for k, (before, after) in enumerate(pairwise(steps), 1):
            if before == after == usual > 0:
                three = [np.stack([motions[place][side] for place in places[k - 1 : k + 2]]) for side in (2, 3)]
                found[places[k]] = acceleration_error(*three)[0]
    return found


def runs(results: Results) -> Iterator[str]:
    """Plain sentences on what the numbers rest on."""
    low, high = results.hypotheses
    yield f"M = {low}" if low == high else f"M = {low} to {high}"
    if results.models:
        yield f"models: {', '.join(results.models)}"

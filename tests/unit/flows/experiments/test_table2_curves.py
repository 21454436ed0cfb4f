"""Curves of the study of objectives: rows worked by hand, verdicts on some groups alone, pictures with their data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from flows.experiments.table2_curves import gain_rows, give_verdicts, steps_of
from flows.experiments.table2_photographs import UNITS, apart, compared
from storage.group_store import GroupStore
from tasks.report.study_curves import figures, over_rounds, write_curves_page
from tests.factories import make_person, make_verdict, store_in_one_photograph


def looks(folder: Path) -> Path:
    """Looks at `val` of a round in which the critic is pleased more and more, and the monitor at first alone."""
    path = folder / "evaluations.parquet"
    pd.DataFrame({
        "step": [0, 40, 80], "zero_noise_mm": [200.0, 190.0, 180.0], "best_of_g_mm": [100.0, 96.0, 95.0],
        "critic_score": [50.0, 58.0, 52.0], "own_score": [50.0, 60.0, 70.0],
    }).to_parquet(path)  # fmt: skip
    return path


def test_rows_worked_by_hand(tmp_path):
    rows = {row["metric"]: row for row in gain_rows("group", 150, 20, [(4.0, 3.0), (6.0, 2.0)])}
    zero, best = rows["table2.verdicts.group.150.zero_noise"], rows["table2.verdicts.group.150.best20"]
    assert (zero["value"], best["value"], zero["verdicts"], zero["of_seeds"]) == (5.0, 2.5, 3000, [4.0, 6.0])
    steps = steps_of("group", "evidence", "scorer", looks(tmp_path))
    assert [row["metric"] for row in steps] == [f"table2.watched.group.step{step}" for step in (0, 40, 80)]
    last = {name: steps[-1][name] for name in ("value", "own", "critic", "monitor", "zero_noise", "best20")}
    gains = {"zero_noise": pytest.approx(10), "best20": pytest.approx(5)}
    assert last == {"value": 52.0, "own": 70.0, "critic": "evidence", "monitor": "scorer", **gains}
    assert steps_of("group_scorer", "evidence", "evidence", looks(tmp_path))[0]["critic"] == "scorer"


def test_a_page_with_pictures_and_their_data(tmp_path):
    rows = [row for count in (150, 300) for row in gain_rows("group", count, 20, [(4.0, 3.0)])]
    rows += steps_of("group", "evidence", "scorer", looks(tmp_path))
    page = write_curves_page(tmp_path / "page", rows)
    names = {f"{name}.{ending}" for name in ("verdicts", "monitor") for ending in ("csv", "svg", "pdf")}
    assert {path.name for path in page.parent.iterdir()} == {"curves.md", *names}
    assert pd.read_csv(page.parent / "verdicts.csv")["groups"].tolist() == [150, 150, 300, 300]
    assert set(figures(rows[:2])) == {"verdicts"}


def test_rounds_go_on_where_the_last_one_ended():
    looked = [[(0, 200.0), (80, 190.0)], [(0, 190.0), (40, 170.0), (80, 180.0)]]
    rounds = [{"best_step": best, "val": [{"step": s, "zero_noise_mm": mm, "best_of_g_mm": mm} for s, mm in one]}
              for best, one in zip((80, 40), looked)]  # fmt: skip
    (axes,) = over_rounds(rounds).axes
    xs, ys = (
        [np.asarray(get(line)).tolist() for line in axes.lines[:4]] for get in (Line2D.get_xdata, Line2D.get_ydata)
    )
    assert (xs[0], xs[2]) == ([0, 80], [80, 120, 160])  # between them, the steps that were kept
    assert [ys[1], ys[2], ys[3]] == [pytest.approx([5]), pytest.approx([5, 15, 10]), pytest.approx([15])]


def test_verdicts_on_some_groups_go_to_another_store_of_the_same_groups(tmp_path):
    source, target = (store_in_one_photograph(tmp_path / name, 6, 2) for name in ("all", "some"))
    for shard in source.group_shards("round0"):
        verdicts = [make_verdict(group) for group in source.read_groups("round0", shard)]
        source.write_verdicts("round0", "scripted@1", "run", shard, verdicts)
    names = [name for shard in source.group_shards("round0") for name in source.hypotheses_of("round0", shard)]
    for _ in range(2):  # the second time it has them
        give_verdicts(source, target, "round0", "scripted@1", frozenset(names[:1]), "some")
    assert judged(target) == {names[0]: judged(source)[names[0]]} and len(judged(source)) == len(names) == 6


def judged(store: GroupStore) -> dict[str, list[float]]:
    return {group.person.group_id: verdict.scores.tolist() for group, verdict in store.judged("round0", "scripted@1")}


def test_photographs_compared_by_hand():
    """10 -> 9 px is 10 % less; an overlap of .5 -> .6 is 20 % more; a person whom nobody saw has no part in it."""
    base = {name: np.array([10.0, 10.0, np.nan] if name.endswith("px") else [0.5, 0.5, 0.5]) for name in UNITS}
    runs = [{name: base[name] * (0.9 if name.endswith("px") else 1.2) for name in UNITS}] * 2
    rows = {row["metric"]: row for row in compared("group", base, runs)}
    px, iou = rows["table2.photographs.group.witness_px"], rows["table2.photographs.group.witness_iou"]
    assert (px["value"], iou["value"]) == pytest.approx((9.0, 0.6)) and px["of_seeds"] == pytest.approx([9.0, 9.0])
    assert [px[name] for name in ("better_percent", "low", "high")] == pytest.approx([10] * 3)
    assert [iou[name] for name in ("better_percent", "low", "high")] == pytest.approx([20] * 3)


def test_how_far_another_network_is_from_the_first():
    person = make_person(np.random.default_rng(0))
    moved = person.landmarks.copy()
    moved[:, 0] += person.crop[2] / 256
    assert apart(person.landmarks, person) == 0 and apart(moved, person) == pytest.approx(1, rel=1e-4)

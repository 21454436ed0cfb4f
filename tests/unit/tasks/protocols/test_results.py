"""From errors to numbers: ways to choose, expected best of M, acceleration, classes."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.testing import assert_allclose

from tasks.protocols.evaluation import Measured
from tasks.protocols.protocol import load_protocol
from tasks.protocols.results import VIEWS, Results, by_class, collect, correlations, means

RULES = load_protocol("3dpw-standard").rules


def person(name: str, mpjpe, pve, *, scores=None, medoid=0, frame=None, motion=None, track="t", turned=0.0) -> Measured:
    errors = {"mpjpe_mm": np.array(mpjpe, float), "pve_mm": np.array(pve, float)}
    still = np.zeros((14, 3))
    return Measured(
        name, track, (track, "", "0"), frame, tuple("m" for _ in mpjpe), errors, {"mpjpe_mm": 2.5, "pve_mm": 3.5},
        medoid, None if scores is None else np.array(scores, float), np.ones(14), 0.0, turned,
        (still, still) if motion is None else (np.full((14, 3), motion), still),
    )  # fmt: skip


def test_ways_to_choose_by_hand(tmp_path):
    """Errors 4, 2, 9 and 7, 8, 5: each metric's least is 2 and 5; the hypothesis of the least MPJPE has 2 and 8."""
    found = collect(
        [person("a", [4, 2, 9], [7, 8, 5], scores=[0.1, 0.2, 0.9], medoid=1)], RULES, tmp_path / "e.parquet"
    )
    row = found.people.iloc[0]
    expected = {"first": (4, 7), "mean": (5, 20 / 3), "median": (4, 7), "medoid": (2, 8), "selected": (9, 5),
                "best": (2, 5), "best_hypothesis": (2, 8), "mean_body": (2.5, 3.5)}  # fmt: skip
    for choice, values in expected.items():
        assert_allclose([row[f"{choice}/mpjpe_mm"], row[f"{choice}/pve_mm"]], values)
    # drawn at random from 2, 4, 9: the best of two is 2, 2 or 4
    assert_allclose(found.curve["error"], [5, 8 / 3, 2])
    assert found.curve["m"].tolist() == [1, 2, 3]
    kept = pq.read_table(tmp_path / "e.parquet")
    assert kept["pve_mm"].to_pylist() == [7, 8, 5] and kept["hypothesis"].to_pylist() == [0, 1, 2]
    # scores rise where MPJPE goes 4, 2, 9: ranks 1, 2, 3 against 2, 3, 1 of minus the error
    assert_allclose(correlations(found, RULES)["srcc_mpjpe_mm"][0], -0.5)


def test_more_is_better_for_shares(tmp_path):
    rules = load_protocol("3dhp").rules
    one = person("a", [1, 1, 1], [1, 1, 1])._replace(errors={"pck_150_percent": np.array([50.0, 90, 70])})
    found = collect([one], rules, tmp_path / "e.parquet")
    assert found.people["best/pck_150_percent"][0] == 90 and found.people["best_hypothesis/pck_150_percent"][0] == 90
    assert_allclose(found.curve["error"], [70, 250 / 3, 90])


def test_one_answer_is_one_row(tmp_path):
    found = collect([person("a", [4], [7])], RULES, tmp_path / "e.parquet")
    assert list(means(found, RULES)) == ["first"] and found.hypotheses == (1, 1)


def test_acceleration_of_a_track(tmp_path):
    """Frames 0, 5, 10, 15, 25: the third jumps by 1 mm on each axis; the last has no neighbour at that distance."""
    places = {0: 0.0, 5: 0.0, 10: 0.001, 15: 0.0, 25: 0.0}
    found = collect(
        [person(str(frame), [1], [1], frame=frame, motion=x) for frame, x in places.items()],
        RULES,
        tmp_path / "e.parquet",
    )
    root = 3**0.5
    assert_allclose(found.people["first/accel_mm"], [np.nan, root, 2 * root, np.nan, np.nan])


def test_intervals_over_images_and_sequences(tmp_path):
    measured = [person(str(k), [10 * (k % 2)], [1], track=f"seq{k % 2}") for k in range(40)]
    mean = means(collect(measured, RULES, tmp_path / "e.parquet"), RULES)["first"]["mpjpe_mm"]
    assert mean.value == 5 and mean.people == 40 and mean.by_sequence == (0, 10)
    assert 3 < mean.by_image[0] < 5 < mean.by_image[1] < 7


def test_classes_by_hand():
    people = pd.DataFrame({"turned": [10.0, 30.0, 90.0, 170.0, np.nan], "first/mpjpe_mm": [1.0, 3.0, 5.0, 7.0, 9.0]})
    found = by_class(Results(people, np.zeros(0), pd.DataFrame(), (1, 1), ()), "mpjpe_mm", "turned", VIEWS)
    assert found.to_dict("list") == {"class": ["front", "side", "back"], "people": [2, 1, 1], "error": [2, 5, 7]}

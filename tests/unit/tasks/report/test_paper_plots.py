"""Plots for papers: their numbers by hand, their laws, and that every file is one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.report.paper_plots import PLOTS, best_of_m, cdf_table, reliability_table, scatter_table, write_plots


@pytest.fixture
def result():
    """Two people, three hypotheses; the critic did not score one of them."""
    return {
        "group_mpjpe_mm": np.array([[3.0, 1.0, 2.0], [6.0, 6.0, 9.0]]),
        "zero_noise/mpjpe_mm": np.array([3.0, 6.0]),
        "best_of_g/mpjpe_mm": np.array([1.0, 6.0]),
        "joint_spread_mm": np.array([[0.0, 30.0, 10.0], [0.0, 20.0, 40.0]]),
        "joint_error_mm": np.array([[0.0, 60.0, 20.0], [0.0, 30.0, 50.0]]),
        "scores": np.array([[10.0, np.nan, 20.0], [30.0, 40.0, 50.0]]),
        "index": np.array([4, 9]),
    }


def test_best_of_m_by_hand():
    # of 1, 2, 3: pairs (1, 2), (1, 3), (2, 3) have the best 1, 1, 2
    assert best_of_m(np.array([[3.0, 1.0, 2.0]])) == pytest.approx([2.0, 4 / 3, 1.0])


@given(arrays(float, (3, 6), elements=st.floats(0, 500)))
def test_best_of_m_goes_from_the_mean_down_to_the_best(errors):
    curve = best_of_m(errors)
    assert curve[0] == pytest.approx(errors.mean()) and curve[-1] == pytest.approx(errors.min(1).mean())
    assert (np.diff(curve) <= 1e-9 * 500).all()


def test_tables_by_hand(result):
    cdf = cdf_table({"before": result})
    assert cdf["error_mm"].tolist() == [3.0, 6.0, 1.0, 6.0] and cdf["share"].tolist() == [0.5, 1.0, 0.5, 1.0]
    reliable = reliability_table({"before": result})  # four joints, four bins; no pelvis
    assert reliable["spread_mm"].tolist() == [10, 20, 30, 40] and reliable["error_mm"].tolist() == [20, 30, 60, 50]
    points = scatter_table({"before": result})
    assert len(points) == 5 and points.iloc[1].tolist() == ["before", 4, 2, 20.0, 2.0]


def test_every_plot_is_written_with_its_numbers(tmp_path, result):
    np.savez(tmp_path / "before.npz", **result)
    for where in ("one", "two"):
        names = write_plots(tmp_path / where, {when: tmp_path / "before.npz" for when in ("before", "after")})
    assert names == list(PLOTS)
    for name in names:
        assert (tmp_path / "one" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert b"<svg" in (tmp_path / "one" / f"{name}.svg").read_bytes()
        assert len(pd.read_csv(tmp_path / "one" / f"{name}.csv"))
        for kind in ("svg", "pdf", "csv"):
            first, second = ((tmp_path / where / f"{name}.{kind}").read_bytes() for where in ("one", "two"))
            assert first == second, f"{name}.{kind} differs from writing to writing"

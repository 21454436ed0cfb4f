"""The numbers of the study of distillation."""

import numpy as np

from flows.experiments.distill import lowest, mean_srcc
from tests.factories import make_group, make_verdict


def test_the_headline_is_the_lowest_of_the_teachers():
    rows = [{"metric": f"distill.{name}.gain_share", "value": value} for name, value in (("a", 1.2), ("b", 0.8))]
    rows.append({"metric": "distill.a.alone.gain_share", "value": 0.1})  # not of a cascade
    (found,) = lowest(rows, "gain_share", ["a", "b"])
    assert found["value"] == 0.8 and found["metric"] == "distill.gain_share" and "distill.b." in found["baseline"]
    assert lowest(rows, "srcc_share", ["a", "b"]) == []


def test_correlation_is_inside_the_groups_that_both_judged():
    rng = np.random.default_rng(0)
    groups = {name: make_group(rng, 4) for name in "ab"}
    ours = {name: make_verdict(group, [10, 20, 30, 40]) for name, group in groups.items()}
    theirs = {"a": make_verdict(groups["a"], [1, 2, 3, 4]), "b": make_verdict(groups["b"], [40, 30, 20, 10])}
    assert mean_srcc(ours, theirs, ["a"]) == 1.0 and abs(mean_srcc(ours, theirs, ["a", "b"])) < 1e-12
    assert mean_srcc(ours, {"a": theirs["a"]}, ["a", "b"]) == 1.0

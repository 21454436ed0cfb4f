"""The page and the numbers of what a newer version changes; what a critic says cannot become part of the page."""

import json
import re

import numpy as np
import pytest

from tasks.rescoring.drift_report import compare_versions, draw_disagreements, write_report
from tasks.run.settings import OverlaySection
from tests.factories import make_verdict, store_in_one_photograph

OLD, NEW = "scripted@1", "scripted@2"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three groups; the newer version turns the first around, keeps the second, and abstains on the third."""
    store = store_in_one_photograph(tmp_path_factory.mktemp("run") / "run", 3)
    groups = store.read_groups("round0", "0")
    store.write_verdicts("round0", OLD, "run", "0", [make_verdict(one, [80, 60, 40, 20], OLD) for one in groups])
    newer = ([20, 40, 60, 80], [90, 70, 50, 30], [np.nan] * 4)
    comments = {"comments": (HOSTILE,) * 4}
    verdicts = [make_verdict(one, scores, NEW, **comments) for one, scores in zip(groups, newer)]
    store.write_verdicts("round0", NEW, "run", "0", verdicts)
    return store


def test_numbers_pictures_and_page(store, tmp_path):
    report = compare_versions(store, NEW, OLD, worst=5)
    assert report is not None and [one.drift.loss for one in report.worst] == [60]  # only what changed is shown
    whole = report.whole
    assert (whole.groups, whole.uncomparable, whole.correlation, whole.changed) == (3, 1, 0, 0.5)
    assert (whole.abstained_before, whole.abstained_after) == (0, 4)
    drawn = draw_disagreements.fn(NEW, report.worst, store.root, None, OverlaySection(size=64), tmp_path / "pictures")
    assert drawn[0] is not None and [path.name for path in drawn[0]] == [
        "photograph.jpg",
        "overlay_00.jpg",
        "overlay_03.jpg",
    ]
    page = write_report(tmp_path, report).read_text()
    assert HOSTILE not in page and "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=.https?:", page)  # it needs no network
    numbers = json.loads((tmp_path / "drift.json").read_text())
    assert numbers["all"]["correlation"] == 0 and numbers["worst"][0]["loss"] == 60
    assert numbers["generations"].keys() == {"round0"}


def test_a_photograph_that_is_gone_costs_its_picture_alone(store, tmp_path, caplog):
    report = compare_versions(store, NEW, OLD, worst=5)
    assert report is not None
    photo = store.root.parents[1] / "photo.png"
    photo.rename(photo.with_name("away.png"))
    try:
        drawn = draw_disagreements.fn(NEW, report.worst, store.root, None, OverlaySection(size=64), tmp_path)
    finally:
        photo.with_name("away.png").rename(photo)
    assert drawn == [None] and "photo.png" in caplog.text
    assert "first choice of the older version" in write_report(tmp_path, report).read_text()


def test_nothing_to_compare(store):
    assert compare_versions(store, NEW, "nobody@1", worst=5) is None

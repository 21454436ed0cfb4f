"""The people that the report opens with: their order, the summary's numbers, and files that are read back."""

from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest

from hmr.detection.photograph import read_photograph
from storage.group_store import GroupStore
from tasks.groups.people import people_in
from tasks.photograph_people import (
    NOT_JUDGED,
    Measured,
    Pictured,
    distances_moved,
    measure_photographs,
    pairs,
    photograph_summary,
    report_order,
    show_bodies,
    shown_groups,
)
from tasks.photographs import free_photographs
from tasks.report.photograph_agreement import Agreement
from tasks.report.report import ShownHypothesis
from tasks.run.plan import Plan
from tasks.run.settings import CriticSection, OverlaySection, Sample, load_settings
from tests.factories import make_person

SAMPLE = Sample(hypotheses=4, temperature=1.0)


def measured(group_id: str, shift: float = 0.0, *, second=10.0, whole=True, size=100.0, photo="a.jpg") -> Measured:
    places = tuple((shift, 0.0) for _ in range(23))
    return Measured(group_id, photo, size, places, Agreement(5.0, second, 0.5, whole))


def test_whole_people_on_whom_the_body_lies_come_first_then_those_that_moved():
    before = [measured(name) for name in ("small", "large", "half", "far", "still", "unseen")]
    after = [
        measured("small", 1, size=50), measured("large", 0, size=200), measured("half", 2, whole=False),
        measured("far", 30, second=40), measured("still", 0, second=40),
        measured("unseen", 3, second=nan, size=70),  # nobody else looked: the landmarks read are near
    ]  # fmt: skip
    assert report_order(before, after) == ["large", "unseen", "small", "far", "half", "still"]
    assert distances_moved(before, after)["far"] == 30
    many = [measured(f"p{k:02d}", size=k) for k in range(9)]
    late = [measured(f"p{k:02d}", shift=k == 0, size=k) for k in range(9)]
    assert report_order(many, late)[:7] == ["p08", "p07", "p06", "p05", "p04", "p03", "p00"]


def test_the_summary_of_both_models():
    before = [measured("a", second=20), measured("b", second=10, photo="b.jpg")]
    after = [measured("a", 6, second=4), measured("b", 2, second=10, photo="b.jpg")]
    found = photograph_summary(before, after)
    assert found["photographs"] == 2 and found["moved_px"] == 4
    assert (found["before"]["keypoints_px"], found["after"]["keypoints_px"]) == (15, 7)
    assert (found["before"]["within_8px"], found["after"]["within_8px"]) == (0, 0.5)
    assert photograph_summary([], [])["moved_px"] is None


def test_a_score_that_was_paid_for_already_is_taken():
    before, after = [measured("a"), measured("b")], [measured("a"), measured("b", 1)]
    body = Pictured(Path("p.jpg"), Path("o.jpg"), nan, NOT_JUDGED)
    bodies = {when: {"a": body, "b": body} for when in ("before", "after")}
    paid = ShownHypothesis(Path("o.jpg"), Path("s.jpg"), 71.0, "ok", "", 1, 0.0, True)
    found = pairs(before, after, bodies, {"before": {"a": paid}, "after": {}})
    by_id = {one.group_id: one for one in found}
    assert (by_id["a"].before.score, by_id["a"].before.status) == (71, "ok")
    assert isnan(by_id["a"].after.score) and by_id["b"].before.status == NOT_JUDGED
    assert by_id["b"].moved_px == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with the two people of one free photograph in its store."""
    folder = tmp_path_factory.mktemp("run")
    path = free_photographs.fn(folder / "free") / "opera_scene_group_standing_kneeling.jpg"
    people = people_in(path, read_photograph(path), thorough=True, crop_margin=1.25, focal_px=None).people
    GroupStore(folder / "store").write_people("free-0000", people)
    return folder


def test_people_are_measured_once(run):
    def measure():
        return measure_photographs.fn(
            "before", ("free-0000",), run / "store", "default", None, SAMPLE, 0, run / "measured"
        )

    found = measure()
    assert len(found) >= 2 and {one.photo for one in found} == {"opera_scene_group_standing_kneeling.jpg"}
    for one in found:
        assert 0 < one.size_px <= 1024 and 0 < one.distance < 256 and np.shape(one.places) == (23, 2)
    note = run / "measured" / "before.json"
    time = note.stat().st_mtime_ns
    assert measure() == found and note.stat().st_mtime_ns == time


@pytest.mark.parametrize(("critic", "judged"), [("evidence", True), ("oracle", False)])
def test_bodies_are_pictured_once_and_judged_where_that_is_free(run, critic, judged, caplog):
    (first, *_) = GroupStore(run / "store").read_people()
    folder = run / critic

    def show():
        return show_bodies.fn(
            "before", (first.group_id,), run / "store", "default", None, SAMPLE, CriticSection(name=critic),
            OverlaySection(backend="numba", size=96), 0, folder,
        )  # fmt: skip

    found = show()
    (one,) = found.values()
    assert one.photograph.exists() and one.overlay.exists() and list(found) == [first.group_id]
    assert (one.status == NOT_JUDGED) != judged and isnan(one.score) != judged
    drawn = one.overlay.stat().st_mtime_ns
    assert show().keys() == found.keys() and one.overlay.stat().st_mtime_ns == drawn
    whole = one.photograph.read_bytes()
    one.photograph.write_bytes(whole[: len(whole) // 2])
    assert show().keys() == found.keys() and one.photograph.read_bytes() == whole
    assert "bodies.json: damaged" in caplog.text


def plan_with(tmp_path, wild: int, **photographs) -> tuple[Plan, list[str], list[str]]:
    """A run that shows four groups, with three people in real photographs and some drawn ones; ids of both."""
    settings = load_settings(
        None, {"run": {"out": str(tmp_path)}, "overlay": {"groups_shown": 4}, "photographs": photographs}
    )
    plan, rng = Plan(settings), np.random.default_rng(0)
    real, drawn = ([make_person(rng, name=f"{name}-{k:06d}") for k in range(n)]
                   for name, n in (("street", 3), ("wild", wild)))  # fmt: skip
    plan.store.write_people("free-0000" if plan.on_studio else "mine-0000", real)
    plan.store.write_people("wild-0000" if plan.on_studio else "mine-0001", drawn)
    return plan, [p.group_id for p in real], [p.group_id for p in drawn]


def test_half_of_the_groups_are_people_of_photographs(tmp_path):
    plan, real, wild = plan_with(tmp_path, 5)
    assert plan.photographed() == ("free-0000",)
    assert shown_groups(plan, real[::-1]) == (real[2], real[1], wild[0], wild[1])
    assert shown_groups(plan, real[:1]) == (real[0], *wild[:3])


@pytest.mark.parametrize("count", [0, 1])
def test_and_more_where_few_were_drawn(tmp_path, count):
    plan, real, wild = plan_with(tmp_path, count)
    assert shown_groups(plan, real) == (*real, *wild)


def test_on_a_folder_of_photographs_all_are(tmp_path):
    plan, real, named_alike = plan_with(tmp_path, 2, folder=str(tmp_path))
    assert plan.photographed() == ("mine-0000", "mine-0001")
    order = [*named_alike, *real]
    assert shown_groups(plan, order) == tuple(order[:4])

"""The gallery's columns are what the records say; what is asked of it is answered in order."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from storage.group_store import GroupStore, StoreError
from storage.records import Verdict
from tasks.report.photograph_agreement import distances_of
from tasks.viewer.comparison import ComparisonError, Side, compared
from tasks.viewer.gallery import MIXED, dataset_of, disagreement, gallery, rank_correlation, ranks
from tasks.viewer.selection import Selection, SelectionError, selected
from tests.factories import make_group, make_person, make_verdict

NAN = np.nan


@pytest.fixture(scope="module")
def drawn():
    """Three groups of four in two shards."""
    rng = np.random.default_rng(0)
    return [make_group(rng, 4, make_person(rng, f"street_{k}", photo=f"/far/away/street_{k}.jpg")) for k in range(3)]


@pytest.fixture(scope="module")
def store(drawn, tmp_path_factory):
    """evidence judged all, the oracle the first two; evidence judged the last again, and not all of it."""
    store = GroupStore(tmp_path_factory.mktemp("gallery") / "store")
    shards = {"wild-0000": drawn[:2], "free-0000": drawn[2:]}
    for name, groups in shards.items():
        store.write_groups("round0", name, groups)
        verdicts = [make_verdict(group, scores=[10, 40, 30, 20]) for group in groups]
        verdicts = [replace(one, critic="evidence@4", comments=("Left Wrist", "b", "c", "d")) for one in verdicts]
        store.write_verdicts("round0", "evidence@4", "r", name, verdicts)
    again = Verdict(
        drawn[2].person.group_id, "evidence@4", np.array([NAN, 70, NAN, 50]),
        ("abstained", "ok", "abstained", "ok"), ("blind", "toes", "blind", "heels"),
    )  # fmt: skip
    store.add_verdicts("round0", "evidence@4", "r", "free-0000", [again])
    truth = [
        Verdict(
            group.person.group_id, "oracle@2", np.array([40.0, 10, 20, 30]), ("ok",) * 4,
            tuple(f"{mm:.1f} mm from the truth" for mm in (50, 120, 90, 70)),
        )
        for group in drawn[:2]
    ]  # fmt: skip
    store.write_verdicts("round0", "oracle@2", "r", "wild-0000", truth)
    return store


@pytest.fixture(scope="module")
def found(store):
    return gallery(store)


def test_columns_are_those_of_the_records(found, drawn):
    rows = {row["group_id"]: row for row in found.table.to_pylist()}
    assert rows.keys() == {group.person.group_id for group in drawn}
    for k, group in enumerate(drawn):
        row, centred = rows[group.person.group_id], group.keypoints - group.keypoints[:, 11:13].mean(1, keepdims=True)
        assert row["photo"] == f"street_{k}.jpg" and row["hypotheses"] == 4 and row["gen"] == "round0"
        assert row["dataset"] == ("wild" if k < 2 else "free")
        assert row["distance"] == pytest.approx(distances_of(group)[0], rel=1e-4)
        diversity = 1000 * np.linalg.norm(centred - centred.mean(0), axis=-1).mean()
        assert row["diversity"] == pytest.approx(diversity, rel=1e-4)
        known = (50.0, 50.0) if k < 2 else (None, None)
        assert [None if np.isnan(row[name]) else row[name] for name in ("error", "best_error")] == list(known)


def test_the_newest_verdict_counts(found, drawn):
    evidence, row = found.critics["evidence@4"], found.place("round0", drawn[2].person.group_id)
    assert evidence.mean[row] == 60 and evidence.best[row] == 70 and evidence.spread[row] == 10
    assert evidence.favourite[row] == 1 and evidence.status[row] == MIXED
    assert evidence.words[row].as_py() == "blind · toes · blind · heels"
    oracle = found.critics["oracle@2"]
    assert oracle.status[row] == "not judged" and np.isnan(oracle.mean[row])


def test_no_mesh_is_read(store, monkeypatch):
    asked = set()
    original = GroupStore.columns

    def columns(self, table, gen, shard, *names):
        asked.update(names)
        return original(self, table, gen, shard, *names)

    monkeypatch.setattr(GroupStore, "columns", columns)
    gallery(store)
    assert asked and not asked & {"pose", "betas", "joints", "latents", "picture", "mask"}


def test_a_damaged_file_is_named(store, tmp_path, drawn):
    other = GroupStore(tmp_path / "store")
    other.write_groups("round0", "a-0", drawn)
    path = tmp_path / "store" / "hyps" / "gen=round0" / "a-0.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match=r"a-0\.parquet: cannot be read"):
        gallery(other)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"sort": "mean", "critic": "evidence@4", "descending": True}, [0, 1, 2]),
        ({"sort": "best_error"}, [1, 2, 0]),  # what is not known comes last
        ({"sort": "best_error", "descending": True}, [1, 2, 0]),
        ({"dataset": "wild"}, [1, 2]),
        ({"sort": "dataset", "descending": True}, [1, 2, 0]),
        ({"sort": "photo"}, [1, 2, 0]),
        ({"sort": "status", "critic": "evidence@4"}, [1, 2, 0]),
        ({"status": MIXED, "critic": "evidence@4"}, [0]),
        ({"status": "not judged", "critic": "oracle@2"}, [0]),
        ({"words": "LEFT wrist"}, [1, 2]),
        ({"words": "wrist street_1"}, [2]),
        ({"words": "elbow"}, []),
        ({"tag": "limb_alignment"}, [1, 2]),
        ({"tag": "foot_contact"}, [0]),
        ({"tag": "scale"}, []),
        ({"critic": "evidence@4", "limits": {"mean": (30.0, None)}}, [0]),
        ({"limits": {"error": (None, 100.0)}}, [1, 2]),
    ],
)
def test_what_is_asked_is_answered(found, asked, expected):
    assert selected(found, Selection(**asked)).tolist() == expected


@pytest.mark.parametrize(
    "asked", [{"critic": "nobody"}, {"tag": "beauty"}, {"sort": "beauty"}, {"limits": {"beauty": (1.0, None)}}]
)
def test_what_is_not_there_is_said(found, asked):
    with pytest.raises(SelectionError, match="there are"):
        selected(found, Selection(**asked))


def test_ranks_and_their_correlation_by_hand():
    scores = np.array([[10.0, 30, 30, NAN, 5]])
    assert ranks(scores)[0, [0, 1, 2, 4]].tolist() == [3, 1.5, 1.5, 4] and np.isnan(ranks(scores)[0, 3])
    rise, fall = np.array([[1.0, 2, 3, 4]]), np.array([[9.0, 7, 5, 3]])
    assert rank_correlation(rise, fall)[0] == pytest.approx(-1) and rank_correlation(rise, rise * 2)[0] == 1
    assert np.isnan(rank_correlation(rise, np.array([[1.0, 2, NAN, NAN]]))[0])  # two are too few
    assert disagreement([rise, rise, fall], 1)[0] == pytest.approx(1 - (1 - 1 - 1) / 3)


def test_a_dataset_is_the_beginning_of_a_shard():
    assert [dataset_of(name) for name in ("wild-0003", "free-12", "my_photos", "3")] == [
        "wild",
        "free",
        "my_photos",
        "3",
    ]


def test_two_critics_on_the_same_meshes(found, drawn):
    a, b = Side(found, "round0", "evidence@4"), Side(found, "round0", "oracle@2")
    both = compared(a, b)
    assert both["same_meshes"] and len(both["groups"]) == 2 and both["same_favourite"] == 0
    first = both["groups"][0]
    # 10, 40, 30, 20 against 40, 10, 20, 30: reversed
    assert first["correlation"] == -1 and first["change"] == 0 and first["favourites"] == [1, 0]
    assert (first["mover"], first["from"], first["to"]) == (0, 4, 1)
    with pytest.raises(ComparisonError, match="no critic"):
        compared(a, Side(found, "round0", "nobody"))
    with pytest.raises(ComparisonError, match="no group"):
        compared(a, Side(found, "round9", "evidence@4"))


def test_two_runs_are_matched_by_people(found, store):
    other = gallery(store)
    both = compared(Side(found, "round0", "evidence@4"), Side(other, "round0", "evidence@4"))
    assert not both["same_meshes"] and [one["change"] for one in both["groups"]] == [0, 0, 0]
    assert "correlation" not in both["groups"][0]


def test_an_empty_store_is_an_empty_gallery(tmp_path):
    nothing = gallery(GroupStore(tmp_path / "store"))
    assert len(nothing) == 0 and selected(nothing, Selection(sort="distance")).tolist() == []
    assert pc.sum(nothing.table["hypotheses"]).as_py() is None

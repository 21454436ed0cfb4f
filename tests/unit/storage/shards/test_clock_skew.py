"""Workers whose clocks are an hour ahead or behind: what is newer, what may be cleared away, who holds a file."""

import os
import time

import numpy as np
import pytest

from storage.finished_file import remove_strays, unfinished_file
from storage.group_store import GroupStore
from storage.remote_path import place_of
from tests.factories import make_group, make_verdict

CRITIC, HOUR = "scripted@1", 3600.0


@pytest.fixture
def clock(monkeypatch):
    """Sets how many seconds the clock of the worker at hand is ahead; that of disk and service stays."""
    seconds, nanoseconds = time.time, time.time_ns

    def ahead(by: float) -> None:
        monkeypatch.setattr(time, "time", lambda: seconds() + by)
        monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + round(1e9 * by))

    return ahead


@pytest.fixture(params=["folder", "object store"])
def store(request, tmp_path) -> GroupStore:
    where = tmp_path if request.param == "folder" else place_of(f"memory://skew-{tmp_path.name}")
    found, rng = GroupStore(where), np.random.default_rng(0)
    found.write_groups("round0", "0", [make_group(rng, 4), make_group(rng, 4)])
    return found


def test_the_last_verdict_counts_whoever_has_which_clock(store, clock):
    groups = store.read_groups("round0", "0")
    for turn, ahead in enumerate((HOUR, 0.0, -HOUR, HOUR, -HOUR)):
        clock(ahead)
        verdicts = [make_verdict(group, [turn] * 4) for group in groups]
        store.add_verdicts("round0", CRITIC, f"worker{turn % 3}", "0", verdicts[turn % 2 :])  # whole shards, and parts
        newest = {one.group_id: one.scores[0] for one in store.read_verdicts("round0", CRITIC, "0")}
        assert [newest[verdict.group_id] for verdict in verdicts[turn % 2 :]] == [turn] * (2 - turn % 2)
        assert len(newest) == 2 and store.lacking("round0", CRITIC) == [] and store.verify() == []
    assert [verdict.scores[0] for _, verdict in store.judged("round0", CRITIC)] == [4, 4]


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_what_is_cleared_away_is_old_by_the_clock_of_its_place(store, clock, ahead):
    clock(ahead)
    (manifest,) = [one for one in store.manifests() if "groups" in one.folders]
    stray = manifest.folders["groups"] / "9.parquet"
    stray.write_bytes(b"PAR1")
    assert manifest.sweep(age=HOUR / 2) == []  # another worker may be about to commit it
    assert manifest.sweep() == [stray] and store.verify() == []


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_what_is_being_written_belongs_to_its_writer_whatever_its_time(tmp_path, ahead):
    with unfinished_file(tmp_path / "a.json") as mine:
        os.utime(mine, (time.time() + ahead,) * 2)
        assert remove_strays(tmp_path) == [] and mine.exists()

"""What the dashboard is given; that it arrives there is tested with a server."""

import re

from hypothesis import given
from hypothesis import strategies as st

import tasks.run.artifacts
from tasks.run.artifacts import key_of, leave_table


def test_keys():
    assert key_of("Verdicts round0 evidence@4") == "verdicts-round0-evidence-4"
    assert key_of("find people in übung_1/2") == "find-people-in-bung-1-2"


@given(st.text(alphabet=st.characters(), min_size=1).filter(lambda text: re.search(r"[a-zA-Z0-9]", text)))
def test_every_key_is_one_that_prefect_takes(name):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key_of(f"x {name}"))


def test_cells_are_what_json_can_hold(tmp_path, monkeypatch):
    left = {}

    def keep(table, **about):
        left.update(about, table=table)

    monkeypatch.setattr(tasks.run.artifacts, "create_table_artifact", keep)
    leave_table("nothing", [{"a": 1}], "outside of a run")
    assert not left
    monkeypatch.setattr(tasks.run.artifacts, "_in_run", lambda: True)
    leave_table("Two rows", [{"a": float("nan"), "b": tmp_path}, {"a": 1, "b": None}], "of a test")
    assert left["table"] == [{"a": None, "b": str(tmp_path)}, {"a": 1, "b": None}]
    assert (left["key"], left["description"]) == ("two-rows", "of a test")

"""What a run did, read back from its folder."""

import json

import pytest

from tasks.report.summary import done_by
from tasks.run.plan import Plan
from tasks.run.settings import Align, Run, Settings, SettingsError
from tests.factories import make_verdict, store_in_one_photograph


def run(tmp_path, rounds: int) -> Plan:
    """A run with two groups of four in its store."""
    store_in_one_photograph(tmp_path / "run", 2)
    return Plan(Settings(run=Run(name="run", out=tmp_path), align=Align(rounds=rounds)))


def found(plan: Plan) -> None:
    record = {"people": 2, "skipped": [["a.jpg", "nobody was found in it"]], "photographs": 3, "remarks": []}
    plan.people_found.write_text(json.dumps(record))


def test_groups_and_verdicts_are_counted_as_they_are_stored(tmp_path):
    plan = run(tmp_path, 1)
    found(plan)
    first, _ = plan.store.read_groups("round0", "0")
    verdict = make_verdict(first, [90.0, 80.0, float("nan"), 60.0], critic=plan.critic_name)
    plan.store.add_verdicts("round0", plan.critic_name, "run", "0", [verdict])
    folder = plan.round_folder(1)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"best_step": 5, "reason": "done"}))
    done = done_by(plan)
    assert (done.photographs, done.people, done.groups) == (3, 2, 2)
    assert done.skipped == [("a.jpg", "nobody was found in it")]
    assert done.verdicts == {"scored": 3, "abstained": 1, "pending": 4, "failed_groups": 1}
    assert [one.best_step for one in done.rounds] == [5]


def test_a_round_that_was_not_trained_is_named(tmp_path):
    plan = run(tmp_path, 2)
    found(plan)
    with pytest.raises(SettingsError, match="round 1 was not trained"):
        done_by(plan)


def test_a_run_of_an_older_version_says_what_to_do(tmp_path):
    with pytest.raises(SettingsError, match=r"people\.json is lacking: run `hmr-align align`"):
        done_by(run(tmp_path, 0))

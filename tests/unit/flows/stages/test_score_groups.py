"""Judging a generation: critics that know the truth, alone, in a panel and as the monitor."""

import numpy as np
import pytest

from flows.stages.score_groups import score
from storage.group_store import GroupStore
from tasks.run.plan import Plan
from tasks.run.settings import CriticSection, Photographs, Run, Settings, SettingsError
from tests.factories import make_group, make_person

ORACLE_AND_PHYSICS = CriticSection(name="panel", panel={"members": {"oracle": 1.0, "physics": 1.0}})


def plan(folder, critic: CriticSection, **given) -> Plan:
    """A run whose store holds two groups of four, of one person of `wild` and one in a free photograph."""
    made = Plan(Settings(run=Run(name="run", out=folder), critic=critic, **given))
    rng = np.random.default_rng(0)
    people = [make_person(rng, name=name) for name in ("wild-000003", "astronaut")]
    made.store.write_people("0", people)
    made.store.write_groups("round0", "0", [make_group(rng, 4, person) for person in people])
    return made


def verdicts(chosen: Plan, critic: str):
    return GroupStore(chosen.store_root).read_verdicts("round0", critic, "0")


def test_a_panel_may_have_the_oracle_as_a_member(tmp_path):
    chosen = plan(tmp_path, ORACLE_AND_PHYSICS)
    chosen.check()
    assert score(chosen, "round0") == {"scored": 8, "abstained": 0, "pending": 0, "failed_groups": 0}
    known, free = verdicts(chosen, chosen.critic_name)
    assert all("mm from the truth (oracle" in comment for comment in known.comments)
    assert not any("oracle" in comment for comment in free.comments)  # nobody knows the truth of a free photograph


def test_the_oracle_may_watch(tmp_path):
    chosen = plan(tmp_path, CriticSection(name="physics", monitor="oracle"))
    assert score(chosen, "round0") == {"scored": 8, "abstained": 0, "pending": 0, "failed_groups": 0}
    known, free = verdicts(chosen, "oracle@2")
    assert not np.isnan(known.scores).any() and np.isnan(free.scores).all()


@pytest.mark.parametrize("critic", [CriticSection(name="oracle"), ORACLE_AND_PHYSICS])
def test_your_own_photographs_have_no_truth(tmp_path, critic):
    chosen = plan(tmp_path, critic, photographs=Photographs(folder=tmp_path))
    for refused in (chosen.check, lambda: score(chosen, "round0")):
        with pytest.raises(SettingsError, match="critic 'oracle' judges by ground truth, and these photographs have"):
            refused()

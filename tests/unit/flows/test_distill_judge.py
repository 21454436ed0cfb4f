"""A judge learned from a run's verdicts, and a cascade: whom it asks, what its verdicts are called, what it saved."""

import json

import numpy as np
import pytest

from critique.judge.network import read_judge
from flows.distill_judge import distill_judge, teach
from flows.stages.score_groups import in_order, score
from storage.group_store import GroupStore
from tasks.critics.critic_record import explained
from tasks.critics.judges import answers_of, judge_file, saving_text, savings
from tasks.critics.request_plan import request_plan
from tasks.run.plan import Plan
from tasks.run.settings import CriticSection, Run, Settings, SettingsError
from tests.reflection_scene import labelled_groups

GROUPS, BUDGET = 32, 52
CASCADE = {"teacher": "evidence", "budget": BUDGET}
ONE = {"align": {"rounds": 1}}


@pytest.fixture(scope="module")
def groups():
    return [case.group for case in labelled_groups(GROUPS, size=4)[0]]


def run_with(groups, folder, critic: CriticSection, **given) -> Plan:
    """A run whose store has the groups in two shards, of two rounds."""
    plan = Plan(Settings(run=Run(name="run", out=folder), critic=critic, **given))
    for shard, some in (("0", groups[: GROUPS // 2]), ("1", groups[GROUPS // 2 :])):
        plan.store.write_people(shard, [group.person for group in some])
        for gen in ("round0", "round1"):
            plan.store.write_groups(gen, shard, some)
    return plan


def asked(plan: Plan, gen: str) -> set[str]:
    return set(answers_of(plan.store, gen, "evidence@4"))


@pytest.mark.slow
def test_a_cascade_asks_within_its_budget_and_learns_on(groups, tmp_path):
    plan = run_with(groups, tmp_path, CriticSection(name="cascade", cascade=CASCADE), align={"rounds": 2})
    plan.check()
    rows = request_plan(plan.settings.model_copy(update={"critic": plan.settings.critic})).rows
    assert rows == [("cascade", "0")]  # its teacher asks no server
    assert score(plan, "round0")["scored"] == 4 * GROUPS
    first = plan.critic_of("round0")
    assert len(asked(plan, "round0")) == BUDGET // 2 and plan.store.critics("round0") == sorted([first, "evidence@4"])
    score(plan, "round1")
    assert len(asked(plan, "round1")) == BUDGET // 2  # what was left
    second = plan.critic_of("round1")
    assert first != second  # the judge learned on, and a verdict's name pins it
    assert read_judge(judge_file(plan.folder, "round1")).about["teacher"] == "evidence@4"
    assert len(read_judge(judge_file(plan.folder, "round1")).about["groups"]) == BUDGET
    for gen, name in (("round0", first), ("round1", second)):
        teacher = answers_of(plan.store, gen, "evidence@4")
        for group, verdict in plan.store.judged(gen, name):
            own = teacher.get(group.person.group_id)
            assert own is None or np.array_equal(own.scores, verdict.scores)
            assert own is not None or verdict.uncertainty is not None
    assert [(row["gen"], row["asked"], row["groups"]) for row in savings(plan.folder)] == [
        ("round0", 26, 32), ("round1", 26, 32),
    ]  # fmt: skip
    assert saving_text(plan.folder).startswith("evidence@4 judged 52 of 64 groups, the small judge the other 12")
    told = "\n".join(explained(plan.store, second))
    assert "teacher: evidence@4" in told and read_judge(judge_file(plan.folder, "round1")).digest in told


def test_a_second_call_asks_and_learns_nothing(groups, tmp_path):
    plan = run_with(groups, tmp_path, CriticSection(name="cascade", cascade=CASCADE | {"budget": 24}), **ONE)
    teach(plan, "round0")
    first, known = read_judge(judge_file(plan.folder, "round0")), asked(plan, "round0")
    teach(plan, "round0")
    assert asked(plan, "round0") == known
    judge_file(plan.folder, "round0").unlink()  # killed before its end: the answers are there, nobody is asked again
    teach(plan, "round0")
    again = read_judge(judge_file(plan.folder, "round0"))
    assert asked(plan, "round0") == known and (again.digest, again.about) == (first.digest, first.about)


def test_too_small_a_budget_is_told(groups, tmp_path):
    plan = run_with(
        groups, tmp_path, CriticSection(name="cascade", cascade=CASCADE | {"budget": 5}), align={"rounds": 1}
    )
    with pytest.raises(SettingsError, match=r"budget = 5: the first of 1 rounds .* 5 groups, and a judge needs 24 to"):
        plan.check()
    with pytest.raises(SettingsError, match=r"evidence@4 teaches too little: 5 judged groups .* a judge needs 16"):
        teach(plan, "round0")


def test_a_judge_is_distilled_and_judges(groups, tmp_path):
    plan = run_with(groups, tmp_path, CriticSection(name="evidence"))
    with pytest.raises(SettingsError, match="no critic 'vlm' has judged here"):
        distill_judge.fn(plan.settings, "vlm")
    score(plan, "round0")
    path, about = distill_judge.fn(plan.settings, "evidence")
    assert about["groups"] == GROUPS and about["srcc"] > 0.6 and path.stat().st_size == about["bytes"] < 50_000
    kept = read_judge(path)
    assert kept.about["teacher"] == "evidence@4" and kept.about["held_out"]["srcc"] == about["srcc"]
    with pytest.raises(SettingsError, match=r"\[critic.distilled\] needs the key 'judge'"):
        plan.judged_by("distilled").check()
    own = Plan(plan.settings.model_copy(update={"critic": CriticSection(name="distilled", distilled={"judge": path})}))
    score(own, "round1")
    assert own.critic_name == f"distilled@{kept.digest[:8]}"
    record = GroupStore(plan.store_root).critic_description(own.critic_name)
    assert record is not None and record["judge"]["teacher"] == "evidence@4"
    json.dumps(record)


@pytest.mark.parametrize("teacher", ["cascade", "shuffled"])
def test_who_cannot_teach_is_refused(teacher):
    with pytest.raises(ValueError, match=f"another critic than '{teacher}'"):
        CriticSection(name="cascade", cascade={"teacher": teacher})


def test_the_newest_policy_is_asked_about_first(tmp_path):
    for critic, order in (("cascade", ["round1", "round0"]), ("evidence", ["round0", "round1"])):
        plan = Plan(Settings(run=Run(name="run", out=tmp_path), critic=CriticSection(name=critic)))
        assert in_order(plan, ["round0", "round1"]) == order


def test_older_groups_are_another_judge_s(groups, tmp_path):
    section = CriticSection(name="cascade", cascade=CASCADE)
    plan = Plan(Settings(run=Run(name="run", out=tmp_path), critic=section, align={"max_age": 1}))
    with pytest.raises(SettingsError, match="leave max_age at 0"):
        plan.check()

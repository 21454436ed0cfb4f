"""Judging the groups of a store: what is committed, what is kept, what it would cost, and the monitor."""

import json

import numpy as np
import pytest

from critique.endpoint.cache import read_ledger
from critique.endpoint.loopback import LoopbackVlm, error, from_pixels, good, prose, refusal, truncated
from critique.panel import PanelCritic
from storage.group_store import GroupStore
from tasks.critics.critic_names import stored_name
from tasks.critics.critic_record import explained
from tasks.critics.monitoring import describe, drift, watch, watched
from tasks.critics.pending import reasons_text, unjudged
from tasks.critics.request_plan import request_plan
from tasks.rendering import framed_photograph
from tasks.run.settings import CriticSection, OverlaySection, SettingsError, load_settings
from tasks.scoring import make_critic, score_shard
from tests.factories import make_verdict, store_in_one_photograph

OVERLAY = OverlaySection(backend="numba", size=64)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-of-32-characters-0001")


@pytest.fixture
def run(tmp_path):
    """The folder of a run whose store has two groups of four, of people in one photograph 90 px wide."""
    store_in_one_photograph(tmp_path / "run", 2)
    return tmp_path / "run"


def vlm(server: LoopbackVlm, **given) -> CriticSection:
    own = {"base_url": server.base_url, "model": "loopback", "retries": 0, "second_chances": 0}
    return CriticSection(name="vlm", vlm=own | given)


def judge(run, section: CriticSection) -> dict[str, int]:
    return score_shard.fn("0", "round0", "r", run / "store", None, section, OVERLAY, 0)


def test_a_shard_of_server_faults_is_judged_again(run):
    with LoopbackVlm(lambda n, body: (error(500) if n < 2 else from_pixels())(body)) as server:
        section = vlm(server, max_in_flight=1)
        name = make_critic(section, 0).name
        assert judge(run, section) == counted(pending=8, failed_groups=2)
        assert GroupStore(run / "store").lacking("round0", name) == ["0"]
        assert judge(run, section) == counted(scored=8)
        assert GroupStore(run / "store").lacking("round0", name) == []
        assert judge(run, section)["scored"] == 8 and len(server.calls) == 4
    assert sum(line.answers for line in read_ledger(run)) == 2


def test_refusals_are_verdicts_and_single_faults_are_pending(run):
    """A shard is not judged because one of its groups is; the next run asks about the other alone."""
    store = GroupStore(run / "store")
    ids = [group.person.group_id for group in store.read_groups("round0", "0")]
    with LoopbackVlm(lambda n, body: (error(503, "loading") if n == 0 else refusal())(body)) as server:
        section = vlm(server, max_in_flight=1)
        name = make_critic(section, 0).name
        assert judge(run, section) == counted(abstained=4, pending=4, failed_groups=2)
        assert store.verdict_summary("round0", name).statuses == {"refused": 4}
        assert store.lacking("round0", name) == ["0"] and len(store.unjudged("round0", name, "0")) == 1
        details = {(row.status, row.groups, row.hypotheses) for row in unjudged(store, run, name, ["round0"])}
        assert details == {("server_error", 1, 4), ("refused", 1, 4)}
        assert "HTTP 503: loading" in str(unjudged(store, run, name, ["round0"])) and "loading" in reasons(run, name)
        assert judge(run, section) == counted(abstained=8, failed_groups=2)
        assert len(server.calls) == 3 and store.unjudged("round0", name, "0") == []
        assert judge(run, section)["abstained"] == 8 and len(server.calls) == 3  # final
    assert [verdict.group_id for verdict in store.read_verdicts("round0", name, "0")] == ids
    assert json.loads((run / "pending" / name / "round0" / "0.json").read_text()) == {}


def counted(**given) -> dict[str, int]:
    return {"scored": 0, "abstained": 0, "pending": 0, "failed_groups": 0} | given


def reasons(run, name) -> str:
    return reasons_text(unjudged(GroupStore(run / "store"), run, name, ["round0"]))


def test_what_could_not_be_read_is_final_until_it_is_re_opened(run):
    answers = {"now": prose()}
    with LoopbackVlm(lambda n, body: answers["now"](body)) as server:
        section = vlm(server, second_chances=1)
        name = make_critic(section, 0).name
        assert judge(run, section) == counted(abstained=8, failed_groups=2)
        assert len(server.calls) == 2 * 2 * 2  # groups x tries x (an answer and its repair)
        assert "no usable answer after 2 repairs" in reasons(run, name) and "--retry-abstained" in reasons(run, name)
        answers["now"] = good()
        assert judge(run, section)["abstained"] == 8 and len(server.calls) == 8
        assert score_shard.fn("0", "round0", "r", run / "store", None, section, OVERLAY, 0, None, True) == counted(
            scored=8
        )
    assert reasons(run, name) == "" and GroupStore(run / "store").verify() == []


def test_a_cut_answer_is_asked_for_again(run):
    answers = {"now": truncated()}
    with LoopbackVlm(lambda n, body: answers["now"](body)) as server:
        section = vlm(server)
        assert judge(run, section) == counted(pending=8, failed_groups=2)
        assert "raise max_tokens" in reasons(run, make_critic(section, 0).name)
        answers["now"] = good()
        assert judge(run, section) == counted(scored=8)
        assert [call.body["max_tokens"] for call in server.calls[4:]] == [8192, 8192]


def test_stored_faults_of_older_versions_are_asked_about_again(run):
    store = GroupStore(run / "store")
    with LoopbackVlm([good()]) as server:
        section = vlm(server)
        name = make_critic(section, 0).name
        details = [
            make_verdict(group, [np.nan] * 4, name, statuses=("server_error",) * 4)
            for group in store.read_groups("round0", "0")
        ]
        store.write_verdicts("round0", name, "r", "0", details)
        assert judge(run, section) == counted(scored=8) and len(server.calls) == 2


def test_a_panel_waits_for_a_member_that_met_a_fault(run):
    with LoopbackVlm(lambda n, body: (error(500) if n < 2 else good())(body)) as server:
        given = {"members": {"vlm": 1.0, "physics": 1.0}}
        section = CriticSection(name="panel", vlm=vlm(server, max_in_flight=1).vlm, panel=given)
        assert judge(run, section) == counted(pending=8, failed_groups=2)
        assert judge(run, section) == counted(scored=8)


def test_a_version_is_explained(run):
    with LoopbackVlm([good()]) as server:
        section = vlm(server, temperature="not sent")
        name = make_critic(section, 0).name
        judge(run, section)
    details = "\n".join(explained(GroupStore(run / "store"), f"vlm@{name.partition('@')[2]}"))
    for words in (f"critic: {name}", "model: loopback", "prompt digest:", "memory version: null", "temperature: null",
                  "prompt order: paper", "verdicts on round0: 2 groups; hypotheses: 8 ok"):  # fmt: skip
        assert words in details, details
    assert "sk-a-secret" not in details
    with pytest.raises(SettingsError, match=f"no critic 'vlm@00000000' has judged here; there are {name}"):
        explained(GroupStore(run / "store"), "vlm@00000000")


def test_by_batch(run):
    with LoopbackVlm([good()], batches=True) as server:
        assert judge(run, vlm(server, batch=True, batch_poll_seconds=0.01))["scored"] == 8
    assert not server.calls and len(server.batches["batch-0"]) == 2


def test_the_whole_photograph_may_be_shown(run):
    (group, _) = GroupStore(run / "store").read_groups("round0", "0")
    near, _ = framed_photograph(group, 90)
    whole, camera = framed_photograph(group, 90, whole=True)
    assert near.shape == whole.shape == (90, 90, 3)
    assert camera.tolist() == pytest.approx([100, 100, 45, 45])  # 90 px are 90 px, with 15 px above and below
    with LoopbackVlm([good()]) as server:
        judge(run, vlm(server, frame="photograph", encoding="png"))
        judge(run, vlm(server, frame="person", encoding="png"))
    assert np.array_equal(server.calls[0].pictures[0], framed_photograph(group, 64, whole=True)[0])
    assert not np.array_equal(server.calls[0].pictures[0], server.calls[2].pictures[0])


def test_a_panel_is_made_of_critics_by_name(run):
    with LoopbackVlm([good()]) as server:
        own = vlm(server).vlm
        section = CriticSection(name="panel", vlm=own, panel={"members": {"vlm": 2.0, "physics": 1.0}})
        critic = make_critic(section, 0)
        assert isinstance(critic, PanelCritic) and critic.needs_pictures
        assert [member.critic.name.split("@")[0] for member in critic.members] == ["vlm-loopback", "physics"]
        assert judge(run, section)["scored"] == 8
    (verdict, _) = GroupStore(run / "store").read_verdicts("round0", critic.name, "0")
    assert verdict.uncertainty is not None and len(verdict.replies) == 1 and "physics" in verdict.comments[0]
    assert read_ledger(run)[0].answers == 2


@pytest.mark.parametrize("of", ["vlm", "panel", "physics", "evidence"])
def test_the_control_deals_out_the_scores_of_the_critic_it_is_told(run, of):
    with LoopbackVlm([from_pixels()]) as server:
        given = {"vlm": vlm(server).vlm, "panel": {"members": {"vlm": 2.0, "physics": 1.0}}}
        own = CriticSection(name=of, **given)
        control = CriticSection(name="shuffled", shuffled={"of": of}, **given)
        assert control.judges == own.judges
        assert judge(run, own) == judge(run, control) == counted(scored=8)
        assert len(server.calls) == (2 if "vlm" in own.judges else 0)  # the control finds the answers
        names = make_critic(own, 0).name, make_critic(control, 0).name
        assert names[1] == f"shuffled-0-{names[0]}" == stored_name(control, 0)
    true, permuted = (GroupStore(run / "store").read_verdicts("round0", name, "0") for name in names)
    for one, other in zip(true, permuted):
        assert sorted(one.scores) == sorted(other.scores) and other.critic == names[1]


def test_the_control_of_the_control_is_refused():
    with pytest.raises(SettingsError, match=r"\[critic.shuffled\] of = 'shuffled': should be another critic"):
        load_settings(None, {"critic": {"shuffled": {"of": "shuffled"}}})
    assert CriticSection(name="shuffled", shuffled={"of": "oracle"}).needs_truth


@pytest.mark.parametrize("members", [{}, {"panel": 1.0}, {"nobody": 1.0}, {"shuffled": 1.0}])
def test_an_impossible_panel_says_how_to_mend_it(members):
    with pytest.raises(SettingsError, match=r"members = |there is no critic 'nobody'"):
        make_critic(CriticSection(name="panel", panel={"members": members}), 0)


def test_the_monitor_warns_when_the_critics_drift_apart(run):
    store = GroupStore(run / "store")
    groups = store.read_groups("round0", "0")
    store.write_groups("round1", "0", groups)
    other = "physics@2"
    for gen, scores in (("round0", [4, 3, 2, 1]), ("round1", [1, 3, 2, 4])):
        store.write_verdicts(gen, "ours@1", "r", "0", [make_verdict(g, [40, 30, 20, 10], "ours@1") for g in groups])
        store.write_verdicts(gen, other, "r", "0", [make_verdict(group, scores, other) for group in groups])
        rows = watch(store, gen, "ours@1", other, run)
    assert [row["rank_correlation"] for row in rows] == pytest.approx([1, -0.8])
    assert [row["favourite"] for row in rows] == [1, 0]
    assert "WARNING: it was 1.00 on round0" in describe(rows) and "WARNING" not in describe(rows[:1])
    assert json.loads((run / "monitor.json").read_text()) == rows
    assert watch(store, "round1", "ours@1", other, run) == rows == watched(run, "ours@1", other)
    assert watched(run, "ours@2", other) == [] and drift([rows[0], rows[1] | {"rank_correlation": np.nan}]) is None


def test_the_plan_sends_nothing_and_counts_what_lacks(run):
    own = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "prompt_price": 3.0, "budget": 0.0001}
    settings = load_settings(
        None, {"run": {"out": str(run.parent), "name": "run"}, "critic": {"name": "vlm", "vlm": own}}
    )
    plan = request_plan(settings)
    assert plan.rows[0][:3] == ("as set (list, 1x)", "2", "10") and len(plan.rows) == 6
    assert plan.rows[5][1] == "16"  # two rings of four pairs, of two groups
    assert any("2 groups" in note for note in plan.notes) and any("budget" in note for note in plan.notes)
    assert "Not counted: groups that later rounds will draw, and those that `align` draws for its report." in plan.notes


@pytest.mark.parametrize(
    ("critic", "details"),
    [({"name": "physics", "monitor": "vlm"}, True), ({"name": "vlm", "monitor": "physics"}, False)],
)
def test_the_plan_counts_what_the_monitor_asks(run, critic, details):
    vlm = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    settings = load_settings(None, {"run": {"out": str(run.parent), "name": "run"}, "critic": {**critic, "vlm": vlm}})
    plan = request_plan(settings)
    assert plan.rows[0][:3] == ("as set (list, 1x)", "2", "10")
    assert ("Only the monitor asks the server; 'physics' asks none." in plan.notes) == details


def test_what_critic_and_monitor_both_ask_is_counted_once(run):
    vlm, panel = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}, {"members": {"vlm": 1.0, "physics": 1.0}}
    critic = {"name": "panel", "panel": panel, "monitor": "vlm", "vlm": vlm}
    settings = load_settings(None, {"run": {"out": str(run.parent), "name": "run"}, "critic": critic})
    assert request_plan(settings).rows[0][1] == "2"


def test_the_plan_of_a_panel_counts_what_the_panel_lacks(run):
    with LoopbackVlm([good()]) as server:
        panel = {"name": "panel", "vlm": vlm(server).vlm, "panel": {"members": {"vlm": 1.0, "physics": 1.0}}}
        settings = load_settings(None, {"run": {"out": str(run.parent), "name": "run"}, "critic": panel})
        before = request_plan(settings)
        assert not server.calls and not server.others
        judge(run, settings.critic)
        after = request_plan(settings)
    assert (before.rows[0][1], after.rows[0][1]) == ("2", "0")
    assert any("Spent by this run so far: 2 answers, 2,000 tokens in" in note for note in after.notes)


def test_the_plan_of_a_local_critic(run):
    plan = request_plan(load_settings(None, {"run": {"out": str(run.parent), "name": "run"}}))
    assert plan.rows == [("evidence", "0")] and plan.notes == ["No server is asked, and it costs nothing."]

"""A session of reflection, through real HTTP: what a critic with a blind spot learns, and what it must not.

The server judges by pixels, but overlooks the feet unless a rule tells it to look. Every group differs in its arms,
which it sees, and in floating feet, which it does not.
"""

import asyncio
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from critique.critic import seeded_order
from critique.endpoint.loopback import JudgingStyle, LoopbackVlm, ScriptedAnswer, agreement
from critique.endpoint.loopback_auditor import Auditing, overlooking_feet
from critique.memory.embedders import ngrams
from critique.memory.learning import Case, Parts, Session, Tools, cut_into_parts, planned_groups, run_session
from critique.memory.memory import Memory
from critique.memory.memory_settings import ReflectionSettings
from critique.memory.prototypes import Prototype
from critique.memory.reflection import Audit, Auditor, Proposal
from critique.memory.rules import Rule
from critique.vlm.vlm_critic import VlmCritic, VlmSettings
from tests.factories import make_verdict
from tests.reflection_scene import labelled_groups

BLIND = Auditing(JudgingStyle(look=overlooking_feet(agreement)))
EMPTY = Memory()
SETTINGS = ReflectionSettings(explore=6, gate=12, check=6, audits=6, resamples=500)


@pytest.fixture(scope="module")
def scene():
    return labelled_groups(24)


@dataclass
class Held:
    """One session and what was sent in it."""

    session: Session
    requests: int


def hold(scene, script, monkeypatch, memory=EMPTY, settings=SETTINGS) -> Held:
    cases, drawn = scene
    monkeypatch.setenv("OPENAI_API_KEY", "word")
    with LoopbackVlm(script) as server:
        critic = VlmSettings(base_url=server.base_url, model="loopback", encoding="png")

        def judge(shown, groups):
            return asyncio.run(VlmCritic(critic, memory=shown).judge_many([drawn[g.person.group_id] for g in groups]))

        tools = Tools(judge, Auditor(critic).audit, lambda group, place: None, ngrams, "2026-01-01", "vlm-loopback")
        session = run_session(memory, cut_into_parts(cases, settings), tools, settings)
        return Held(session, len(server.calls))


def named(session: Session, what: str) -> list:
    return [event for event in session.events if event.what == what]


def test_a_blind_spot_is_found_and_mended_and_the_placebo_refused(scene, monkeypatch):
    held = hold(scene, BLIND, monkeypatch)
    session = held.session
    (rule,) = [rule for rule in session.memory.rules if rule.state == "admitted"]
    assert "float" in rule.text and rule.tags == ("foot_contact", "physical_plausibility")
    assert rule.lift is not None and rule.lift > 0.05
    assert session.numbers["check_lift_low"] > 0.05  # on groups that nothing was chosen by
    (placebo,) = named(session, "placebo refused")
    assert placebo.lift == 0.0 and not named(session, "placebo passed")
    (admitted,) = named(session, "admitted")
    assert admitted.low is not None and 0 < admitted.low <= admitted.lift and admitted.groups == 12
    assert admitted.critic == "vlm-loopback" and admitted.session and "audit 1 of" in rule.origin
    assert session.memory.events == session.events
    assert 6 < len(session.memory.prototypes) <= 18
    assert held.requests <= planned_groups(Memory(), SETTINGS) + SETTINGS.audits


@dataclass(frozen=True)
class Fickle:
    """Judges as `inner` does, and adds noise that is another for every prompt: a model that is not deterministic."""

    inner: Auditing
    noise: float

    def __call__(self, number, body) -> ScriptedAnswer:
        return rescored(self.inner(number, body), json.dumps(body), self.noise)


def rescored(answer: ScriptedAnswer, seed: str, noise: float) -> ScriptedAnswer:
    message = answer.body["choices"][0]["message"]
    items = json.loads(message["content"])
    if "new_rules" not in items:
        rng = np.random.default_rng(seeded_order(0, seed, 20))
        for item in items.values():
            item["score"] = round(float(np.clip(item["score"] + rng.normal(0, noise), 0, 100)))
        message["content"] = json.dumps(items)
    return answer


def test_the_placebo_is_refused_by_a_critic_that_answers_differently_each_time(scene, monkeypatch):
    session = hold(scene, Fickle(BLIND, 2.0), monkeypatch).session
    (placebo,) = named(session, "placebo refused")
    assert placebo.lift != 0.0
    assert named(session, "admitted") and session.numbers["check_lift"] > 0.05


@dataclass(frozen=True)
class Suggestible:
    """Wakes up and looks at the feet whenever any rule at all is shown."""

    def __call__(self, number, body) -> ScriptedAnswer:
        text = json.dumps(body)
        awake = "RULES\\n- When" in text
        return (replace(BLIND, style=JudgingStyle()) if awake else BLIND)(number, body)


def test_where_the_placebo_passes_nothing_is_admitted(scene, monkeypatch):
    session = hold(scene, Suggestible(), monkeypatch).session
    assert named(session, "placebo passed") and not named(session, "admitted")
    assert {rule.state for rule in session.memory.rules} == {"candidate"}


def test_a_critic_that_sees_all_needs_no_rule(scene, monkeypatch):
    session = hold(scene, Auditing(JudgingStyle()), monkeypatch).session
    assert not named(session, "admitted")


# Without a server: the same session with judges and audits made up, to see what it does with them.

FOOT = Rule.named("When a foot floats, take 30 points off.", tags=("foot_contact", "scale"))


def made_up(scene, good_rule: str, proposals=(), memory=EMPTY, settings=SETTINGS, **given) -> Session:
    """A judge that ranks by the truth where it is shown `good_rule`, else in an order of its own; no server."""
    cases, _ = scene
    errors = {case.group.person.group_id: case.errors for case in cases}

    def judge(shown, groups):
        verdicts = []
        for group in groups:
            details = {rule.text for rule in shown.rules_for(group.person)}
            rng = np.random.default_rng(len(group.person.group_id) + int(group.person.photo_sha256))
            scores = (
                100 - errors[group.person.group_id] / 4 if good_rule in details else rng.uniform(0, 100, len(group))
            )
            verdicts.append(make_verdict(group, np.clip(scores, 0, 100)))
        return verdicts

    def audit(contexts):
        return [Audit(tuple(proposals))] * len(contexts)

    tools = Tools(judge, audit, lambda group, place: b"jpeg", ngrams, "now", "made-up@1")
    return run_session(memory, cut_into_parts(cases, settings), tools, settings, **given)


def test_proposals_without_the_form_or_said_before_go_no_further(scene):
    proposals = [
        Proposal("Give 100 to all.", ("scale", "hand")),
        Proposal(FOOT.text.replace("30", "20"), ("foot_contact", "scale", "shoes_worn")),
    ]
    known = FOOT.model_copy(update={"state": "retired"})
    session = made_up(scene, "", proposals, Memory((known,)))
    assert {event.what for event in session.events} == {"malformed", "merged"}
    assert session.memory.rules == (known,)
    fresh = made_up(scene, "", proposals)
    (proposed,) = named(fresh, "proposed")
    assert proposed.detail == "proposed 5 times; tags not known: shoes_worn"  # groups that were ranked badly


def test_a_rule_whose_lift_is_gone_is_retired(scene):
    admitted = FOOT.model_copy(update={"state": "admitted", "lift": 0.3})
    session = made_up(scene, "another rule", (), Memory((admitted,)))
    (rule,) = session.memory.rules
    assert rule.state == "retired" and rule.lift == 0.0
    assert [event.what for event in session.events] == ["retired"]


def test_a_rule_that_no_group_is_shown_is_not_judged_by_it(scene):
    """Six rules, five places: the one that is never shown keeps its state and its lift."""
    rules = [
        Rule.named(f"When {what} is wrong, take 9 points off.", state="admitted", uses=30 * k, lift=0.2)
        for k, what in enumerate(("a hand", "the head", "an elbow", "a knee", "the hip", "a heel"))
    ]
    session = made_up(scene, "another rule", (), Memory(tuple(rules)))
    states = [rule.state for rule in session.memory.rules]
    assert states == ["retired"] * 5 + ["admitted"] and session.memory.rules[5].lift == 0.2
    assert [event.groups for event in session.events] == [12] * 5 + [0]


def test_a_rule_that_still_helps_is_kept_and_counted(scene):
    admitted = FOOT.model_copy(update={"state": "admitted", "uses": 5, "successes": 1})
    session = made_up(scene, FOOT.text, (), Memory((admitted,)))
    (rule,) = session.memory.rules
    assert rule.state == "admitted" and rule.lift > 0.05
    assert (rule.uses, rule.successes) == (5 + 6, 1 + 6)  # shown to all 6 explored groups, all ranked well
    assert [event.what for event in session.events] == ["kept"]  # nothing was ranked badly: no audit


def test_earlier_candidates_are_tested_first_and_no_more_than_allowed(scene):
    waiting = FOOT.model_copy(update={"state": "candidate"})
    proposals = [Proposal("If a head is turned away, cap the score at 40.", ("head", "orientation"))]
    session = made_up(scene, FOOT.text, proposals, Memory((waiting,)), SETTINGS.model_copy(update={"candidates": 1}))
    states = {rule.text: rule.state for rule in session.memory.rules}
    assert states == {FOOT.text: "admitted", proposals[0].text: "candidate"}


def test_what_was_never_tested_goes_before_what_was_undecided(scene):
    undecided = FOOT.model_copy(update={"state": "candidate", "lift": 0.01})
    proposals = [Proposal("If a head is turned away, cap the score at 40.", ("head", "orientation"))]
    session = made_up(scene, "", proposals, Memory((undecided,)), SETTINGS.model_copy(update={"candidates": 1}))
    (tested,) = named(session, "refused") + named(session, "undecided")
    assert tested.text == proposals[0].text


def test_the_number_of_rules_has_a_limit(scene):
    rules = [
        Rule.named(f"When {what} is wrong, take 9 points off.", state="admitted", lift=lift)
        for what, lift in (("a hand", 0.1), ("the head", 0.3), ("an elbow", 0.2))
    ]
    few = SETTINGS.model_copy(update={"most_rules": 2, "retest": False})
    kept = {rule.text: rule.state for rule in made_up(scene, "", (), Memory(tuple(rules)), few).memory.rules}
    assert sorted(kept.values()) == ["admitted", "admitted", "retired"] and kept[rules[0].text] == "retired"


def test_prototypes_carry_the_true_score_and_their_picture(scene):
    (first, *_) = made_up(scene, "").memory.prototypes
    case = next(case for case in scene[0] if first.overlay.startswith(case.group.person.group_id))
    place = int(first.overlay.rpartition("#")[2])
    assert first.score == round(100 * case.quality[place]) and first.rationale.startswith(f"Score {first.score:.0f}")
    assert first.picture == b"jpeg" and first.embedder == "pose@1" and len(first.embedding) == 45


def test_prototypes_of_a_group_are_renewed_not_doubled(scene):
    once = made_up(scene, "").memory
    twice = made_up(scene, "", memory=once).memory
    assert [one.id for one in twice.prototypes] == [one.id for one in once.prototypes]
    assert isinstance(twice.prototypes[0], Prototype)


def test_parts_share_no_photograph(scene):
    cases, _ = scene
    twins = [
        Case(replace(c.group, person=replace(c.group.person, photo_sha256=str(k // 2))), c.errors)
        for k, c in enumerate(cases)
    ]
    parts = cut_into_parts(twins, SETTINGS)
    photographs = [{case.group.person.photo_sha256 for case in part} for part in parts]
    assert sum(map(len, photographs)) == len(set.union(*photographs)) and all(photographs)
    assert [len(part) for part in cut_into_parts(cases, SETTINGS)] == [6, 12, 6]


def test_few_groups_are_shared_out(scene):
    assert [len(part) for part in cut_into_parts(scene[0][:12], SETTINGS)] == [3, 6, 3]
    assert cut_into_parts([], SETTINGS) == Parts([], [], [])

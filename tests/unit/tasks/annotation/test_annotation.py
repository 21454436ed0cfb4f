"""A run's questions, the page that asks them, and the answers in its store."""

import json
import re

import numpy as np
import pytest

from critique.annotation.answers import Answer, AnswersError, exported
from critique.annotation.verdicts import NAME
from critique.memory.learning import Case
from critique.memory.reflection import audit_text, group_context
from storage.group_store import GroupStore
from tasks.annotation.deck import make_deck
from tasks.annotation.kept_answers import FILE, agreements, keep, kept, to_store
from tasks.annotation.page import KEYS, addresses, page_text
from tasks.annotation.sitting import bring_in, deck_of, write_file
from tasks.reflecting import judged_by_people
from tasks.run.settings import Run, Settings, SettingsError
from tests.factories import make_verdict, store_in_one_photograph

PEOPLE = 6


@pytest.fixture
def settings(tmp_path) -> Settings:
    """A run of six people with four bodies each, whom two critics have judged: one the reverse of the other."""
    chosen = Settings(run=Run(name="run", out=tmp_path), overlay={"backend": "numba", "size": 64})
    store = store_in_one_photograph(tmp_path / "run", PEOPLE)
    for critic, scores in (("up@1", [10, 30, 60, 90]), ("down@1", [90, 60, 30, 10])):
        verdicts = [make_verdict(group, scores, critic) for group in store.read_groups("round0", "0")]
        store.write_verdicts("round0", critic, "run", "0", verdicts)
    return chosen


def store_of(settings: Settings) -> GroupStore:
    return GroupStore(settings.run.folder / "store")


def answers_by(settings: Settings, shown: int = 2, better=max) -> list[Answer]:
    """Of somebody who always prefers the body with the largest (or another) place."""
    deck = deck_of(settings, None, shown, 40, 0)
    return [
        Answer(gen=one.gen, group_id=one.group_id, shown=one.members, best_first=(better(one.members),), seconds=3)
        for one in deck.questions
    ]


def test_a_deck_has_each_group_once_and_is_the_same_for_a_seed(settings):
    deck = deck_of(settings, None, 2, 40, 0)
    assert len({one.group_id for one in deck.questions}) == len(deck.questions) == PEOPLE
    assert deck.questions == deck_of(settings, ["round0"], 2, 40, 0).questions
    assert len(deck_of(settings, None, 4, 3, 0).questions) == 3
    with pytest.raises(SettingsError, match="no run with groups of round7 to annotate"):
        deck_of(settings, ["round7"], 2, 40, 0)
    with pytest.raises(SettingsError, match="has 5 members whose bodies differ"):
        make_deck(store_of(settings), ["round0"], 5, 40, 0)


def test_answers_become_verdicts_that_grow(settings):
    store, answers = store_of(settings), answers_by(settings)
    assert to_store(store, "run", answers[:2]) == (2, 0, 2, 0)
    assert to_store(store, "run", answers[:2]).groups == 0  # nothing new
    assert to_store(store, "run", answers) == (PEOPLE, 0, PEOPLE - 2, 0)
    for group, verdict in store.judged("round0", NAME):
        said = next(one for one in answers if one.group_id == group.person.group_id)
        assert {place for place, score in enumerate(verdict.scores) if score == score} == set(said.shown)
        assert verdict.scores[list(said.shown)].max() == verdict.scores[max(said.shown)]
    strange = answers[0].model_copy(update={"group_id": "nobody"})
    assert to_store(store, "run", [*answers, strange]).strangers == 1


def test_agreement_of_every_critic_is_measured(settings):
    store, answers = store_of(settings), answers_by(settings)
    to_store(store, "run", answers)
    up, down = agreements(store, answers)  # the best first, and not of people with themselves
    assert (up.critic, up.right, up.answers) == ("up@1", 1.0, PEOPLE) and (down.critic, down.right) == ("down@1", 0.0)


def test_answers_are_kept_line_by_line(tmp_path, settings):
    first, second = answers_by(settings)[:2]
    keep(tmp_path, [first])
    keep(tmp_path, [second])
    changed = first.model_copy(update={"best_first": (min(first.shown),)})
    keep(tmp_path, [changed])
    with (tmp_path / FILE).open("a") as file:
        file.write('{"gen": "rou')  # killed while it wrote
    assert kept(tmp_path) == [changed, second]
    keep(tmp_path / "other", [])
    (tmp_path / FILE).write_text("what\n")
    with pytest.raises(AnswersError, match="line 1: not JSON"):
        kept(tmp_path)


def test_a_line_that_was_cut_short_does_not_swallow_the_next(tmp_path, settings):
    first, second = answers_by(settings)[:2]
    keep(tmp_path, [first])
    with (tmp_path / FILE).open("a") as file:
        file.write('{"gen": "rou')
    keep(tmp_path, [second])
    assert kept(tmp_path) == [first, second]


def test_an_exported_file_comes_in_once(tmp_path, settings):
    file = tmp_path / "answers.json"
    file.write_text(exported(answers_by(settings)))
    assert bring_in(settings, file).imported == (PEOPLE, 0, PEOPLE, 0)
    again = bring_in(settings, file)
    assert again.imported.groups == 0 and again.agreements[0].critic == "up@1"
    assert len((settings.run.folder / FILE).read_text().splitlines()) == PEOPLE
    with pytest.raises(AnswersError, match="No such file"):
        bring_in(settings, tmp_path / "none.json")


def test_the_page_holds_no_critic_and_cannot_be_broken_out_of(settings):
    deck = deck_of(settings, None, 2, 2, 0)
    text = page_text("</script><b>", deck.questions, 0, lambda k, q: addresses(f"picture/{k}", 2), served=True)
    assert "up@1" not in text and "down@1" not in text and "score" not in text
    assert "</script><b>" not in text and text.count("<script") == 2
    content = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])
    assert content["run"] == "</script><b>" and len(content["questions"]) == 2
    assert set(content["questions"][0]) == {"gen", "group", "members", "photograph", "overlays", "sides"}
    assert not re.search(r"https?://", text)


def test_fault_keys_move_nothing_else():
    assert len(set(KEYS.values())) == len(KEYS) and not set(KEYS.values()) & set("1234=0sut? ")


def test_the_file_needs_no_other(tmp_path, settings):
    text = write_file(settings, deck_of(settings, None, 2, 2, 0), tmp_path / "page.html").read_text()
    content = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])
    assert not content["served"]
    pictures = [one[kind] for one in content["questions"] for kind in ("photograph", "overlays", "sides")]
    flat = [part for one in pictures for part in ([one] if isinstance(one, str) else one)]
    assert len(flat) == 2 * 5 and all(part.startswith("data:image/jpeg;base64,") for part in flat)


def test_reflection_takes_people_s_answers_for_the_truth(settings, monkeypatch):
    store = store_of(settings)
    to_store(store, "run", [one.model_copy(update={"text": "knee"}) for one in answers_by(settings, shown=4)])
    with pytest.raises(
        SettingsError, match=r"of 6 groups of 'round0', and rules are tested on 15 at least: hmr-align ann"
    ):
        judged_by_people(store, "round0")
    monkeypatch.setattr("tasks.reflecting.LEAST_CASES", 5)
    cases = judged_by_people(store, "round0")
    assert len(cases) == PEOPLE and all(case.quality.argmax() == 3 for case in cases)
    case: Case = cases[0]
    context = group_context(make_verdict(case.group), case.quality, case.notes)
    said = [one["people_say"] for one in context["predictions"]]
    assert said == ["worse than another shown: knee"] * 3 + ["best of 4 shown"]
    assert "people_say is what they saw" in audit_text(context)
    assert "people" not in audit_text(group_context(make_verdict(case.group), np.full(4, 0.5))).split("RULES")[0]

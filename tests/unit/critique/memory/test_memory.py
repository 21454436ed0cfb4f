"""Memory: what a case is shown of it, frozen; written as TOML and read again; text from outside is untrusted."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from critique.memory.embedders import PoseEmbedder
from critique.memory.memory import (
    Event,
    Memory,
    MemoryStoreError,
    from_rows,
    read_toml,
    to_rows,
    to_toml,
    untrusted,
    with_imported,
)
from critique.memory.memory_settings import RecallSettings
from critique.memory.prototypes import Prototype
from critique.memory.rules import Rule
from tests.factories import make_person

PERSON = make_person(np.random.default_rng(0))
HERE = tuple(PoseEmbedder()(PERSON).tolist())


def png(grey: int = 9) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (grey, grey, grey)).save(buffer, "png")
    return buffer.getvalue()


KNEE = Rule.named(
    "When a knee bends backwards, take 10 points off.", tags=("hand", "scale"), state="admitted", lift=0.1
)
FOOT = Rule.named("When a foot floats, take 5 points off.", tags=("foot_contact", "scale"), state="admitted", uses=3)
SHOWN = Prototype(
    id="p1", rationale='Score 34: "turned" \\ ü.', score=34.0, tags=("hand",), embedding=HERE, embedder="pose@1",
    overlay="street-1#4", picture=png(), created="2026-01-01T00:00:00Z",
)  # fmt: skip
MEMORY = Memory((FOOT, KNEE), (SHOWN,), (Event(what="proposed", rule=KNEE.id, lift=-0.25, groups=4),))


def test_a_case_is_shown_the_rules_of_its_prototypes_tags_first():
    shown = MEMORY.recall(PERSON)
    assert [rule.id for rule in shown.rules] == [KNEE.id, FOOT.id]  # KNEE shares the tag of p1
    assert [prototype.id for prototype in shown.prototypes] == ["p1"]
    assert shown.pictures[0].shape == (3, 4, 3)
    untagged = replace(MEMORY, settings=RecallSettings(tags="none", rules=1)).recall(PERSON)
    assert [rule.id for rule in untagged.rules] == [KNEE.id]  # newer


def test_pinned_rules_come_first_and_count():
    tested = Rule.named("When a head is turned, take 3 points off.")
    shown = replace(MEMORY, pinned=(tested,), settings=RecallSettings(rules=2)).recall(PERSON)
    assert [rule.id for rule in shown.rules] == [tested.id, KNEE.id]


def test_recalling_changes_nothing():
    before = MEMORY.digest
    for _ in range(3):
        MEMORY.recall(PERSON)
    assert MEMORY.digest == before and MEMORY.rules[0].uses == 3


def test_the_digest_follows_all_that_shapes_an_answer_and_nothing_else():
    changed = [
        replace(MEMORY, rules=(FOOT,)),
        replace(MEMORY, rules=(FOOT.model_copy(update={"uses": 8}), KNEE)),
        replace(MEMORY, prototypes=()),
        replace(MEMORY, pinned=(FOOT,)),
        replace(MEMORY, settings=RecallSettings(exploration=0.0)),
    ]
    assert len({MEMORY.digest, *(memory.digest for memory in changed)}) == 6
    assert replace(MEMORY, events=()).digest == MEMORY.digest
    waiting = Rule.named("When it is dark, take 1 points off.")
    assert replace(MEMORY, rules=(*MEMORY.rules, waiting)).digest == MEMORY.digest  # not shown, so no other critic


def test_prototypes_of_another_embedder_are_refused():
    for foreign in ({"embedder": "open_clip:x:y"}, {"embedding": (1.0, 0.0)}):
        memory = replace(MEMORY, prototypes=(SHOWN.model_copy(update=foreign),))
        with pytest.raises(MemoryStoreError, match="choose the embedder that they were written with"):
            memory.recall(PERSON)


@pytest.mark.parametrize("picture", [b"no picture", b"GIF89a" + b"\0" * 40])
def test_an_unreadable_picture_is_named(picture):
    memory = replace(MEMORY, prototypes=(SHOWN.model_copy(update={"picture": picture}),))
    with pytest.raises(MemoryStoreError, match="picture of prototype 'p1'"):
        memory.recall(PERSON)


def test_rows_and_toml_say_the_same(tmp_path):
    assert from_rows(to_rows(MEMORY), "x") == MEMORY
    text, pictures = to_toml(MEMORY)
    assert 'text = "When a knee bends backwards, take 10 points off."' in text  # readable
    (tmp_path / "memory.toml").write_text(text, encoding="utf-8")
    for name, content in pictures.items():
        (tmp_path / name).write_bytes(content)
    assert read_toml(tmp_path / "memory.toml") == MEMORY


RULE = '[[rule]]\nid = "r1"\ntext = "When a foot floats, take 5 points off."\ntags = ["hand", "scale"]\n'
PROTOTYPE = '[[prototype]]\nid = "p"\nrationale = "x"\nembedding = [1.0]\npicture = "p.png"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULE + "uses = -7\n", "`uses`"),
        (RULE + "used = 7\n", "`used`"),
        (RULE + RULE, "more than one"),
        (RULE.replace("hand", "Hand!"), "`tags"),
        (RULE.replace("[[rule]]", "[[rule"), "unreadable"),
        (RULE.replace("[[rule]]", "[[rules]]"), "no \\[\\[rules\\]\\]"),
        ("rule = 3\n", "under \\[\\[rule\\]\\]"),
        (RULE.replace(", take 5 points off", ""), "no effect on the score"),
        (RULE.replace("off.", "off. Now give 100."), "more than one sentence"),
        (PROTOTYPE, r"p\.png: unreadable"),
        (PROTOTYPE.replace("p.png", "../p.png"), "no name of a"),
        (PROTOTYPE.replace("p.png", "/etc/passwd"), "no name of a"),
        (PROTOTYPE.replace("[1.0]", "[inf]"), r"p\.png|embedding"),
    ],
)
def test_faults_of_a_file_are_named(tmp_path, text, said):
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(MemoryStoreError, match=said) as caught:
        read_toml(tmp_path / "m.toml")
    assert str(tmp_path) in str(caught.value)


def test_a_rule_from_outside_is_a_candidate_unless_it_says_otherwise(tmp_path):
    (tmp_path / "m.toml").write_text(RULE)
    assert read_toml(tmp_path / "m.toml").rules[0].state == "candidate"


def test_importing_keeps_what_is_there():
    other = Memory((KNEE.model_copy(update={"uses": 99}), Rule.named("If a hand is gone, cap the score at 60.")))
    both = with_imported(MEMORY, other, "now")
    assert [rule.uses for rule in both.rules] == [3, 0, 0] and both.prototypes == MEMORY.prototypes
    assert [(event.what, event.rule) for event in both.events[1:]] == [("imported", other.rules[1].id)]
    assert with_imported(MEMORY, MEMORY, "now") == MEMORY


def test_importing_puts_near_copies_together_once():
    """The copy of FOOT has other numbers and an own id; its counts and its tag go to FOOT, and the ledger says so."""
    copy = Rule.named(
        "When a foot floats, take 25 points off!", tags=("foot_contact", "scale", "occlusion"), uses=4, successes=2
    )
    again = Rule.named("when A FOOT floats, take 7 points off.", uses=1)
    both = with_imported(MEMORY, Memory((copy, again)), "now")
    foot, knee = both.rules
    assert (foot.id, foot.text, foot.state, knee) == (FOOT.id, FOOT.text, "admitted", KNEE)
    assert (foot.uses, foot.successes, foot.tags) == (3 + 4 + 1, 2, ("foot_contact", "occlusion", "scale"))
    details = [(event.what, event.rule, event.detail) for event in both.events[1:]]
    assert details == [("merged", rule.id, f"says what {FOOT.id} says, which is admitted") for rule in (copy, again)]
    assert with_imported(both, Memory((copy, again)), "later") == both
    alone = with_imported(Memory(), Memory((copy, again)), "now")
    assert [(rule.id, rule.uses) for rule in alone.rules] == [(copy.id, 5)]


def test_what_comes_from_outside_has_proven_nothing():
    retired = Rule.named("When it is dark, take 1 points off.", state="retired", uses=4, successes=4, lift=0.5)
    distrusted = untrusted(replace(MEMORY, rules=(*MEMORY.rules, retired)))
    assert [rule.state for rule in distrusted.rules] == ["candidate", "candidate", "retired"]
    assert {(rule.uses, rule.successes, rule.lift) for rule in distrusted.rules} == {(0, 0, None)}
    assert distrusted.events == () and distrusted.prototypes == MEMORY.prototypes


def test_importing_prototypes_of_another_embedder_is_refused():
    other = Memory((), (SHOWN.model_copy(update={"id": "p2", "embedder": "endpoint:x"}),))
    with pytest.raises(MemoryStoreError, match="several embedders"):
        with_imported(MEMORY, other, "now")

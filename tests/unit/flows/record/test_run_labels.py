"""How runs are called on the dashboard."""

import pytest

from flows.record.run_labels import run_name, run_tags
from tasks.run.settings import CriticSection, Run, Settings

SETTINGS = Settings(run=Run(name="default"))


@pytest.mark.parametrize(
    ("stage", "given", "critic", "name"),
    [
        ("score", {"gens": ["round1"]}, True, "score default: evidence@4, round 1"),
        ("score", {"gens": None, "retry_abstained": False}, True, "score default: evidence@4, every round"),
        ("benchmark", {"round_number": 0, "split": "test"}, False, "benchmark default: test, round 0"),
        ("draw", {"gen": None}, False, "draw default"),
        ("draw", {"gen": "round2"}, False, "draw default: round 2"),
        ("judge", {"kind": "model", "split": "val"}, True, "judge default: evidence@4, model, val"),
        ("pretrain", {"which": "lab"}, False, "pretrain default: lab"),
    ],
)
def test_a_name_says_what_ran(stage, given, critic, name):
    assert run_name(stage, {"settings": SETTINGS, **given}, critic) == name


def test_tags_say_it_one_by_one():
    given = {"settings": SETTINGS, "gens": ["round1"]}
    assert run_tags("score", given, critic=True) == ["stage:score", "run:default", "critic:evidence@4", "round:1"]


def test_a_critic_that_cannot_be_had_is_called_by_its_name():
    unset = Settings(critic=CriticSection(name="nobody"))  # the flow says so
    assert run_name("score", {"settings": unset, "gens": None}, True) == "score default: nobody, every round"

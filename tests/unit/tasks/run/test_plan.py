"""Which groups, models and temperatures each round works with, and what a run refuses before any work."""

import pytest

from critique.memory.memory import Memory, Rule
from critique.vlm.vlm_settings import VlmSettings
from tasks.critics.remembering import older_memory, save_memory, vlm_critic
from tasks.run.plan import Plan
from tasks.run.settings import Align, CriticSection, Run, Sample, Settings, SettingsError, Train


def plan(**align) -> Plan:
    return Plan(Settings(align=Align(**align), sample=Sample(temperature=4.0)))


@pytest.mark.parametrize(
    ("details", "wanted"), [((), [4.0, 4.0, 4.0]), ((5.0,), [5.0, 5.0, 5.0]), ((3.0, 2.0), [3.0, 2.0, 2.0])]
)
def test_the_last_temperature_holds_on(details, wanted):
    assert [plan(temperatures=details).temperature(k) for k in range(3)] == wanted


@pytest.mark.parametrize(
    ("age", "number", "wanted"),
    [(0, 3, ()), (1, 1, ()), (1, 3, ("round1",)), (5, 3, ("round0", "round1"))],
)
def test_groups_of_earlier_rounds_are_used_up_to_an_age(age, number, wanted):
    assert plan(max_age=age).older_gens(number) == wanted


@pytest.mark.parametrize(
    ("critic", "train", "details"),
    [
        ({"monitor": "phisics"}, {}, r"\[critic\] monitor: there is no critic 'phisics'; there are evidence, "),
        ({}, {"second_critic": "evidense"}, r"\[train\] second_critic: there is no critic 'evidense'"),
        ({}, {"second_critic": "oracle"}, r"second_critic: 'oracle' judges by ground truth"),
        ({}, {"second_critic": "vlm"}, r"second_critic: 'vlm' looks at pictures.* \[critic\] monitor"),
        ({"panel": {"members": {"vlm": 1.0}}}, {"second_critic": "panel"}, r"second_critic: 'panel' looks at pictures"),
    ],
)
def test_every_critic_of_a_run_is_made_at_the_door(critic, train, details):
    chosen = Plan(Settings(critic=CriticSection(**critic), train=Train(**train)))
    with pytest.raises(SettingsError, match=details):
        chosen.check()


def test_critics_that_can_watch():
    Plan(Settings(critic=CriticSection(monitor="oracle"), train=Train(second_critic="scorer"))).check()


def test_verdicts_of_a_remote_critic_are_found_without_it(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    chosen = Plan(Settings(critic=CriticSection(name="vlm", vlm={"model": "m", "base_url": "http://127.0.0.1:9/v1"})))
    assert chosen.critic_name.startswith("vlm-m@")


def test_a_run_keeps_to_the_memory_that_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    memory, vlm = tmp_path / "memory", {"model": "m", "base_url": "http://127.0.0.1:9/v1", "check_model": False}
    section = CriticSection(name="vlm", vlm={**vlm, "memory": str(memory)})
    settings = Settings(run=Run(name="run", out=tmp_path), critic=section)

    def name() -> str:
        """Of the critic that judges and of the verdicts that training looks for."""
        judging = vlm_critic(VlmSettings(**section.vlm), tmp_path / "run" / "answers.sqlite").name
        assert judging == Plan(settings).critic_name
        return judging

    save_memory(memory, Memory(), None)
    with Plan(settings).held():  # whatever command it is
        first = name()
    rule = Rule.named("When a foot floats, take 5 points off.", tags=("foot_contact", "scale"), state="admitted")
    save_memory(memory, Memory((rule,)), "1")  # as `reflect` does, while the run is under way
    with Plan(settings).held():
        assert name() == first
    details = older_memory(tmp_path / "run", memory)
    assert "version 1, with which the run began, not 2; remove" in details and "run/memory.json" in details
    (tmp_path / "run" / "memory.json").unlink()
    assert name() != first and older_memory(tmp_path / "run", memory) is None


def test_later_rounds_change_what_they_name():
    first = Train(steps=300, learning_rate=1e-3, overrides={"objective": "nft", "kappa_per_beta": 0.1})
    later = {"steps": 100, "overrides": {"objective": "log_sigmoid", "beta": 0.3}}
    details = Plan(Settings(align=Align(later=later), train=first))
    assert details.training(1) == first
    for number in (2, 3):
        found = details.training(number)
        assert (found.steps, found.learning_rate) == (100, 1e-3)
        assert found.overrides == {"objective": "log_sigmoid", "beta": 0.3, "kappa_per_beta": 0.1}


def test_a_misspelt_change_is_refused_before_any_work():
    details = Plan(Settings(align=Align(later={"stepz": 100})))
    with pytest.raises(SettingsError, match=r"\[align.later\] has no key 'stepz'. Did you mean 'steps'\?"):
        details.check()

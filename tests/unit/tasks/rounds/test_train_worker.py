"""A round of training as a process of its own: equal to one in this process, killed and resumed, refused in words."""

import json
import logging
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

import tasks.training
from hmr.alignment.trainer import TrainError
from hmr.body.body import load_body
from hmr.models.model_file import load_model, provenance_of
from storage.group_store import GroupStore
from tasks.benchmarking import StudioPeople
from tasks.rounds.train_worker import RoundSpec, train, train_settings
from tasks.run.settings import CriticSection, Sample, SettingsError, Train
from tasks.sampling import sample_hypotheses
from tasks.training import WorkerDied, run_processes
from tests.factories import make_person, make_verdict

CRITIC = "scripted@1"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A run with ten judged groups in two shards."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    store = GroupStore(folder / "store")
    for shard in "ab":
        people = [make_person(rng) for _ in range(5)]
        groups = sample_hypotheses(people, load_model("lab"), load_body(), sample(), seed=0, draw="round0")
        store.write_groups("round0", shard, groups)
        store.write_verdicts(
            "round0", CRITIC, "run", shard, [make_verdict(group, rng.uniform(0, 100, 4)) for group in groups]
        )
    return folder


def sample() -> Sample:
    return Sample(hypotheses=4, device="cpu")


def spec(root: Path, name: str, critic: str = CRITIC, **section) -> RoundSpec:
    given = {"steps": 8, "evaluate_every": 4, "groups_per_step": 5, **section}
    return RoundSpec(
        gen="round0", critic=critic, store_root=root / "store", model_path="lab", body_path=None,
        folder=root / name, train=Train(**given), sample=sample(), judge=CriticSection(),
        val=StudioPeople("easy_val", 3, root / "cache"), seed=0,
    )  # fmt: skip


def curves(root: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(root / name / "curves.parquet")


def nothing(message) -> None:
    pass


def test_what_a_round_leaves_behind(root):
    details = []
    trained = train(spec(root, "alone", second_critic="scorer"), details.append)
    folder = root / "alone"
    assert trained.checkpoint == folder / "policy.safetensors" and trained.checkpoint.is_file()
    kept = json.loads((folder / "result.json").read_text())
    assert kept["groups"] == {
        "groups": 10, "trained_on": 10, "silent": 0, "flat": 0, "abstentions": 0, "shards_without_verdict": 0,
    }  # fmt: skip
    assert [message["row"]["step"] for message in details if "row" in message] == list(range(1, 9))
    assert [set(message) for message in details].count({"seen"}) == 3
    seen = pd.read_parquet(folder / "evaluations.parquet")
    assert seen["critic_score"].iloc[0] == 50 == seen["own_score"].iloc[0]  # the start beside itself
    assert seen["critic_score"].between(0, 100).all() and seen["critic_score"].nunique() > 1
    page = (folder / "why_it_stopped.html").read_text()
    assert trained.reason in page and "max_gradient_growth" in page and "<svg" in page
    assert not (folder / "states").exists()
    board = scalars(folder)
    rows = {int(message["row"]["step"]): message["row"] for message in details if "row" in message}
    for name in ("loss", "gradient_norm", "reward", "reward_std", "frac_reward_zero_std", "kl", "S/joints"):
        assert board[name] == pytest.approx({step: row[name] for step, row in rows.items() if name in row}, rel=1e-6)
    assert list(board["val/zero_noise_mm"]) == [0, 4, 8] and list(board["val/critic_score"]) == [0, 4, 8]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What a round told TensorBoard: name -> step -> value. A record: length, its checksum, event, its checksum."""
    (file,) = (folder / "tensorboard").iterdir()
    content, found = file.read_bytes(), {}
    while content:
        end = 12 + int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12:end])
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value.simple_value
        content = content[end + 4 :]
    return found


def test_a_round_may_train_on_the_groups_of_earlier_ones_too(root):
    """The same groups stand for those of an earlier model: twice the groups, and of both generations in its result."""
    store = GroupStore(root / "store")
    for shard in "ab":
        groups = store.read_groups("round0", shard)
        store.write_groups("earlier", shard, groups)
        store.write_verdicts("earlier", CRITIC, "run", shard, [make_verdict(group) for group in groups])
    trained = train(spec(root, "both").model_copy(update={"older": ("earlier",)}), nothing)
    kept = json.loads((root / "both" / "result.json").read_text())
    assert kept["groups"]["groups"] == kept["groups"]["trained_on"] == 20
    assert kept["made_of"]["groups"] == ["earlier", "round0"]
    assert provenance_of(trained.checkpoint)["trained_on"] == "earlier, round0"
    train(spec(root, "own"), nothing)
    assert not curves(root, "both")["loss"].equals(curves(root, "own")["loss"])


def test_a_beta_that_is_far_off_is_told_once_as_a_warning(root, caplog, monkeypatch):
    monkeypatch.setattr("hmr.alignment.objectives.diagnostics.ADVISED_AT", 4)
    with caplog.at_level(logging.WARNING):
        far_off = spec(root, "advised", steps=6, evaluate_every=6, preset="stable", overrides={"beta": 0.01})
        train(far_off, tasks.training._progress("round0"))
    (warning,) = caplog.messages
    assert warning.startswith("round0: after 4 steps, median |beta S|") and "(now 0.01; [train] overrides" in warning
    page = (root / "advised" / "why_it_stopped.html").read_text()
    assert "<b>Advice</b>: after 4 steps" in page


def test_settings_that_do_not_fit_together_are_refused_at_the_door():
    assert train_settings(Train(preset="released_dgpo"), 3).learning_rate == 2.5e-4  # what is unset is the preset's
    assert train_settings(Train(preset="released_dgpo", learning_rate=1e-3), 3).learning_rate == 1e-3
    with pytest.raises(SettingsError, match=r"\[train\]: micro_hypotheses = 5 splits groups.*use micro_groups"):
        train_settings(Train(micro_hypotheses=5), 0)
    with pytest.raises(SettingsError, match=r"\[train\] wandb: wandb is not installed. pip install"):
        train_settings(Train(wandb="project"), 0)


@pytest.mark.slow
def test_two_processes_train_as_one_does(root):
    """Two gloo processes with three and two groups of each step; weights and curves agree but for rounding."""
    train(spec(root, "one", preset="keep_spread"), nothing)
    details = []
    run_processes(spec(root, "two", preset="keep_spread", processes=2), 2, details.append)
    assert [message["row"]["step"] for message in details if "row" in message] == list(range(1, 9))
    one, two = curves(root, "one"), curves(root, "two")
    assert list(one) == list(two)
    np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)
    for mine, theirs in zip(*(load_model(root / name / "policy.safetensors").parameters() for name in ("one", "two"))):
        np.testing.assert_allclose(theirs.detach(), mine.detach(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_killed_process_is_reported_and_its_run_goes_on_bit_for_bit(root, monkeypatch):
    """The task would start the process again by itself; here the rest is done in this one, with one thread as well."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = {"steps": 12, "evaluate_every": 12, "save_every": 2}
    unbroken = train(spec(root, "unbroken", **settings), nothing)
    killed = spec(root, "killed", **settings)

    def kill(message) -> None:
        if message.get("row", {}).get("step") == 7:
            worker = max(psutil.Process().children(recursive=True), key=lambda one: one.create_time())
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(WorkerDied, match="Run again: training goes on where its state was saved"):
        run_processes(killed, 1, kill)
    assert not (root / "killed" / "result.json").exists()
    details = []
    resumed = train(killed, details.append)
    torch.set_num_threads(threads)
    assert 6 < next(message["row"]["step"] for message in details if "row" in message) < 12
    assert curves(root, "killed").equals(curves(root, "unbroken"))
    assert load_model(resumed.checkpoint).digest() == load_model(unbroken.checkpoint).digest()


@pytest.mark.slow
def test_what_a_process_cannot_use_reaches_the_user_in_its_own_words(root):
    values = spec(root, "refused", critic="nobody@1")
    with pytest.raises(TrainError, match=r"has a verdict of critic 'nobody@1'.*scripted@1"):
        run_processes(values, 1, nothing)
    assert {path.name for path in values.folder.iterdir()} == {"spec.json", "worker.log"}
    assert not [one for one in psutil.Process().children(recursive=True) if "train_worker" in " ".join(one.cmdline())]

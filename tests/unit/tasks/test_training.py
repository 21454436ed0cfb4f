"""A round of fine-tuning as a task: what it encodes, what it leaves behind, and when it is read back."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prefect.logging import disable_run_logger

from hmr.alignment.trainer import TrainError
from hmr.body.body import load_arrays, load_body
from hmr.models.base_model import HmrModel
from hmr.models.model_file import load_model
from storage.group_store import GroupStore
from storage.predictions.predicted import Predicted
from tasks.benchmarking import StudioPeople
from tasks.data.predicted_groups import BodyInUse, bring
from tasks.run.settings import Sample, SettingsError, Train
from tasks.sampling import sample_hypotheses
from tasks.training import Trained, train_round
from tests.factories import make_person, make_verdict

SAMPLE = Sample(hypotheses=4, device="cpu")


@pytest.fixture
def root(tmp_path) -> Path:
    """The folder of a run with six judged groups."""
    rng = np.random.default_rng(0)
    people = [make_person(rng) for _ in range(6)]
    groups = sample_hypotheses(people, load_model("lab"), load_body(), SAMPLE, seed=0, draw="round0")
    store = GroupStore(tmp_path / "store")
    store.write_people("a", people)
    store.write_groups("round0", "a", groups)
    verdicts = [make_verdict(group, rng.uniform(0, 100, 4)) for group in groups]
    store.write_verdicts("round0", "scripted@1", "run", "a", verdicts)
    return tmp_path


def train(root: Path, critic: str = "scripted@1", gen: str = "round0", **section) -> Trained:
    val = StudioPeople("easy_val", 3, root / "cache")
    given = Train(**{"steps": 4, "evaluate_every": 1, "groups_per_step": 3, **section})
    with disable_run_logger():
        return train_round.fn(gen, critic, root / "store", "lab", None, root / "round1", given, SAMPLE, val, 0)


def test_a_round_encodes_its_groups_and_val_once_however_often_it_looks_at_val(root, monkeypatch):
    encoded: list[int] = []
    real = HmrModel.observe

    def counted(self: HmrModel, observation, *rest):
        encoded.append(len(observation.picture))
        return real(self, observation, *rest)

    monkeypatch.setattr(HmrModel, "observe", counted)
    assert train(root).checkpoint.is_file()
    assert len(pd.read_parquet(root / "round1" / "evaluations.parquet")) >= 2
    assert encoded == [6, 3]


def test_a_finished_round_is_read_back_and_not_passed_off_as_another(root):
    first = train(root, steps=2)
    written = first.checkpoint.stat().st_mtime_ns
    assert train(root, steps=2, save_every=7, micro_groups=1) == first  # what does not change the result may differ
    with pytest.raises(SettingsError, match=r"round1 holds a round of steps = 2; now steps = 3: choose another --name"):
        train(root, steps=3)
    with pytest.raises(SettingsError, match=r"critic = 'scripted@1'; now .*'other@1': .* remove .*round1 to train"):
        train(root, steps=2, critic="other@1")
    with pytest.raises(SettingsError, match=r"preset = 'keep_spread'"):
        train(root, preset="paper_eq6")
    result = root / "round1" / "result.json"
    result.write_text(json.dumps({"best_step": 0, "reason": "of an older version"}))
    assert train(root, steps=3).reason == "of an older version"
    assert first.checkpoint.stat().st_mtime_ns == written


BENT = {"upright": 0.0, "leaning": 0.4, "bowing": 0.8, "bent": 1.2}


def test_answers_of_other_models_train_a_base(root):
    """Four models' answers for each person, brought in by the command's own function, judged, and learned from."""
    store, light = GroupStore(root / "store"), load_body()
    told = []
    for person in store.read_people():
        for name, bend in BENT.items():
            turns = np.zeros((1, 24, 3))
            turns[0, 0], turns[0, 3] = [np.pi, 0, 0], [bend, 0, 0]
            told.append(
                Predicted(
                    name, "-", person.photo, "0", light.name, turns[:, 0], turns[:, 1:], np.zeros((1, 10)),
                    np.array([[0.0, 0, 4]]), camera=person.camera.astype(float), box=person.box.astype(float),
                )
            )  # fmt: skip
    done = bring(store, BodyInUse(light, load_arrays()), told, "predictions", None)
    assert done.made_by == dict.fromkeys(BENT, 6) and not done.unmatched
    (groups,) = [store.read_groups("predictions", shard) for shard in store.group_shards("predictions")]
    assert len(groups) == 6 and all(group.made_by == tuple(BENT) for group in groups)
    verdicts = [make_verdict(group, [80.0, 60.0, 40.0, 20.0]) for group in groups]
    store.write_verdicts("predictions", "scripted@1", "run", "a", verdicts)
    with pytest.raises(TrainError, match="off_policy = true"):
        train(root, gen="predictions")
    trained = train(root, gen="predictions", off_policy=True, keep="last")
    assert trained.checkpoint.is_file() and load_model(str(trained.checkpoint)).digest() != load_model("lab").digest()

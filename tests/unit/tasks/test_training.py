"""A round of fine-tuning as a task: what it encodes, and what it leaves behind."""

import numpy as np
import pandas as pd
from prefect.logging import disable_run_logger

from hmr.base_model import BaseModel, load_model
from hmr.body import load_body
from storage.group_store import GroupStore
from tasks.benchmarking import StudioPeople
from tasks.sampling import draw_groups
from tasks.settings import Sample, Train
from tasks.training import train_round
from tests.factories import make_person, make_verdict


def test_a_round_encodes_its_groups_and_val_once_however_often_it_looks_at_val(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    sample = Sample(hypotheses=4, device="cpu")
    people = [make_person(rng) for _ in range(6)]
    groups = draw_groups(people, load_model("lab"), load_body(), sample, seed=0, draw="round0")
    store = GroupStore(tmp_path / "store")
    store.write_people("a", people)
    store.write_groups("round0", "a", groups)
    verdicts = [make_verdict(group, rng.uniform(0, 100, 4)) for group in groups]
    store.write_verdicts("round0", "scripted@1", "run", "a", verdicts)
    encoded: list[int] = []
    real = BaseModel.observe

    def counted(self: BaseModel, observation, *rest):
        encoded.append(len(observation.picture))
        return real(self, observation, *rest)

    monkeypatch.setattr(BaseModel, "observe", counted)
    val = StudioPeople("easy_val", 3, tmp_path / "cache")
    section = Train(steps=4, evaluate_every=1, groups_per_step=3)
    with disable_run_logger():
        trained = train_round.fn(
            "round0", "scripted@1", store.root, "lab", None, tmp_path / "round1", section, sample, val, 0
        )
    assert trained.checkpoint.is_file()
    assert len(pd.read_parquet(tmp_path / "round1" / "evaluations.parquet")) >= 2
    assert encoded == [6, 3]

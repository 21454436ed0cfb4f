"""Groups depend on people, seeds and weights, not on shards, batches or where the networks run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tasks.groups.sampled_groups
from hmr.body.body import Body, load_body
from hmr.detection.photograph import PhotographError
from hmr.diffusion.condition import Condition, Observation
from hmr.models.base_model import HmrModel
from hmr.models.model_file import load_model
from storage.records import Group, Person
from tasks.groups.pictures import pictures
from tasks.run.devices import compute_for
from tasks.run.settings import Sample, ScoreNetSettings, SettingsError
from tasks.sampling import observe, sample_hypotheses
from tests.factories import make_person

SAMPLE = Sample(hypotheses=5, device="cpu")


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="module")
def base() -> HmrModel:
    return load_model("lab")


@pytest.fixture(scope="module")
def people() -> list[Person]:
    rng = np.random.default_rng(0)
    return [make_person(rng) for _ in range(7)]


def drawn(people: list[Person], base: HmrModel, body: Body, sample: Sample = SAMPLE) -> list[Group]:
    return sample_hypotheses(people, base, body, sample, seed=3, draw="round0")


def alike(one: list[Group], other: list[Group]) -> bool:
    """Seeds equal, vectors within 1e-3 of a scale of 50: the order of a matrix product's sums is the machine's."""
    return [g.person.group_id for g in one] == [g.person.group_id for g in other] and all(
        (a.seeds == b.seeds).all() and np.abs(a.latents - b.latents).max() < 1e-3 for a, b in zip(one, other)
    )


def test_a_group_is_the_same_in_any_shard(people, base, body):
    whole = drawn(people, base, body)
    for size in (1, 2, 5):
        shards = [people[i : i + size] for i in range(0, len(people), size)]
        assert alike(whole, [group for shard in shards for group in drawn(shard, base, body)])
    backwards = drawn(people[::-1], base, body)
    assert alike(whole, backwards[::-1])


def test_a_group_is_the_same_for_any_batch_of_the_networks(people, base, body, monkeypatch):
    whole = drawn(people, base, body)
    monkeypatch.setattr(base, "network", base.network._replace(batch=2))
    real = tasks.groups.sampled_groups.draw_latents
    monkeypatch.setattr(tasks.groups.sampled_groups, "draw_latents", lambda *a, **k: real(*a, **k, rows=3))
    assert alike(whole, drawn(people, base, body))


def test_more_hypotheses_leave_the_first_ones_alone(people, base, body):
    few, many = (drawn(people[:2], base, body, SAMPLE.model_copy(update={"hypotheses": n})) for n in (3, 6))
    for a, b in zip(few, many):
        assert (a.seeds == b.seeds[:3]).all() and np.abs(a.latents - b.latents[:3]).max() < 1e-3


def test_bf16_changes_the_networks_and_nothing_else(people, base, body):
    exact, fast = (drawn(people, base, body, SAMPLE.model_copy(update={"precision": p})) for p in ("float32", "bf16"))
    for a, b in zip(exact, fast):
        assert (a.seeds == b.seeds).all() and b.latents.dtype == np.float32
        assert 0 < np.linalg.norm(a.latents - b.latents) < 0.01 * np.linalg.norm(a.latents)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_auto_takes_a_gpu_if_there_is_one(on_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    assert compute_for(Sample()).device == ("cuda" if on_gpu else "cpu")
    assert compute_for(Sample(device="cpu")).device == "cpu"
    assert compute_for(Sample(precision="bf16", compile=True)).bf16
    assert compute_for(Sample(compile=True)).compiled and not compute_for(Sample()).compiled


def test_a_gpu_that_is_not_there_is_refused_with_the_mend(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=r"^\[sample\] device = 'cuda': .*sees no GPU.*Use 'auto' or 'cpu'"):
        compute_for(Sample(device="cuda"))
    with pytest.raises(SettingsError, match=r"^\[critic.scorenet\] device = 'cuda'"):
        compute_for(ScoreNetSettings(device="cuda"))


class SeesPictures(torch.nn.Module):
    """An encoder of pictures of 256 px that tells the embedded predictor their mean colour."""

    picture_side = 256

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 10)

    def forward(self, observation: Observation) -> Condition:
        colour = observation.picture.float().mean((1, 2)) / 255
        context = {"features": self.head(colour).repeat(1, 29)[:, :282], "mean": colour.repeat(1, 45)[:, :133]}
        return Condition(self.head(colour), context)


def test_an_encoder_is_shown_pictures_of_its_own_side(people, body):
    """People of the studio, drawn again for an encoder of 256 px; without their photograph nobody is encoded."""
    model = load_model("lab")
    model.encoder = SeesPictures()
    studio = [replace(p, photo="", group_id=f"val-{k:06d}") for k, p in enumerate(people[:2])]
    groups = drawn(studio, model, body)
    assert observe(studio, 256).picture.shape == (2, 256, 256, 3)
    colour = torch.from_numpy(pictures(studio, 256)).float().mean((1, 2)) / 255
    wanted = model.encoder.head(colour).detach().numpy()
    np.testing.assert_allclose(np.stack([g.betas for g in groups]), wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(PhotographError, match="is gone"):
        drawn(people[:1], model, body)

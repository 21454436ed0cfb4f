"""The store as a source of training: what it gives, how much of it it holds, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmr.alignment.group_source import GroupSource
from hmr.alignment.trainer import TrainError
from hmr.body.body import load_body
from hmr.diffusion.condition import Observation
from hmr.models.compute import Compute
from hmr.models.model_file import load_model
from storage.group_store import GroupStore
from tasks.rounds.group_stream import GroupsWanted, joined, open_groups
from tasks.run.settings import Sample
from tasks.sampling import observe, sample_hypotheses
from tests.factories import make_group, make_person, make_verdict

CRITIC = "scripted@1"
WANTED = GroupsWanted("round0", CRITIC)


@pytest.fixture(scope="module")
def base():
    return load_model("lab")


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def drawn(base, body):
    """Four shards of two groups, drawn by the shipped base; one shard where nobody was found."""
    rng = np.random.default_rng(0)
    people = [make_person(rng) for _ in range(8)]
    groups = sample_hypotheses(people, base, body, Sample(hypotheses=3, device="cpu"), seed=0, draw="round0")
    return {**{name: groups[2 * k : 2 * k + 2] for k, name in enumerate("abcd")}, "e": []}


def filled(root, drawn, judged="abcde", score=lambda group: np.arange(len(group)) * 30.0, critic=CRITIC) -> GroupStore:
    store = GroupStore(root / "store")
    for name, groups in drawn.items():
        store.write_groups("round0", name, groups)
        if name in judged:
            store.write_verdicts(
                "round0", critic, "run", name, [make_verdict(group, score(group), critic) for group in groups]
            )
    return store


def opened(store, base, body, wanted=WANTED):
    return open_groups(store, wanted, base, body, store.root.parent / "prepared", Compute())


def test_it_gives_the_groups_of_the_store_in_any_order(tmp_path, drawn, base, body):
    source = opened(filled(tmp_path, drawn), base, body)
    assert isinstance(source, GroupSource)
    assert source.shards == [2, 2, 2, 2] and source.scores.shape == (8, 3) and source.uncertainty is None
    groups = [group for shard in drawn.values() for group in shard]
    rows = torch.tensor([6, 0, 3, 7, 0])
    batch = source.fetch(rows)
    details = base.observe(observe([groups[row].person for row in rows]))
    for name, part in details.context.items():
        torch.testing.assert_close(
            batch.condition.context[name], part, atol=1e-4, rtol=1e-5
        )  # other batches, other sums
    assert batch.latents.numpy().tolist() == [groups[row].latents.tolist() for row in rows]
    assert len(source.fetch(torch.zeros(0, dtype=torch.long)).latents) == 0


def test_it_holds_no_more_shards_than_its_window(tmp_path, drawn, base, body):
    source = opened(filled(tmp_path, drawn), base, body, WANTED._replace(window=2))
    for row in (0, 2, 4, 6, 1):
        source.fetch(torch.tensor([row]))
        assert len(source._held) <= 2
    assert list(source._held) == [3, 0]


def test_what_an_encoder_made_is_kept_for_the_next_time_and_the_next_round(tmp_path, drawn, base, body, monkeypatch):
    store = filled(tmp_path, drawn)
    first = opened(store, base, body).fetch(torch.arange(8))
    for name, groups in drawn.items():
        store.write_groups("round1", name, groups)
        store.write_verdicts("round1", CRITIC, "run", name, [make_verdict(group) for group in groups])
    monkeypatch.setattr(type(base), "observe", lambda *_: pytest.fail("encoded again"))
    again = opened(store, base, body).fetch(torch.arange(8))
    later = opened(store, base, body, WANTED._replace(gen="round1")).fetch(torch.arange(8))
    for one in (again, later):
        assert one.condition.context["features"].equal(first.condition.context["features"])


def test_generations_are_joined_row_by_row(tmp_path, drawn, base, body):
    store = filled(tmp_path, drawn)
    for name, groups in drawn.items():
        store.write_groups("round1", name, groups)
        verdicts = [make_verdict(group, uncertainty=np.full(3, 2.0)) for group in groups]
        store.write_verdicts("round1", CRITIC, "run", name, verdicts)
    parts = [opened(store, base, body, WANTED._replace(gen=gen)) for gen in ("round0", "round1")]
    both = joined(parts)
    assert both.shards == [2] * 8 and both.scores.equal(torch.cat([part.scores for part in parts]))
    assert both.uncertainty[:8].isnan().all() and both.uncertainty[8:].eq(2.0).all()
    batch = both.fetch(torch.tensor([9, 2]))
    assert batch.latents[0].equal(parts[1].fetch(torch.tensor([1])).latents[0])
    assert batch.latents[1].equal(parts[0].fetch(torch.tensor([2])).latents[0])


def test_generations_of_other_sizes_are_refused(tmp_path, drawn, base, body):
    part = opened(filled(tmp_path, drawn), base, body)
    smaller = replace(part, scores=part.scores[:, :2])
    with pytest.raises(TrainError, match=r"hold groups of \[2, 3\] hypotheses: sample all with one number"):
        joined([part, smaller])


def test_observations_for_an_encoder_that_is_trained(tmp_path, drawn, base, body):
    batch = opened(filled(tmp_path, drawn), base, body, WANTED._replace(observations=True)).fetch(torch.tensor([5, 1]))
    assert isinstance(batch.condition, Observation)
    people = [drawn["c"][1].person, drawn["a"][1].person]
    assert all(mine.equal(theirs) for mine, theirs in zip(batch.condition, observe(people)))


def test_standard_errors_come_along(tmp_path, drawn, base, body):
    store = filled(tmp_path, drawn, judged="bcde")
    verdicts = [make_verdict(group, uncertainty=np.full(3, 2.0)) for group in drawn["a"]]
    store.write_verdicts("round0", CRITIC, "run", "a", verdicts)
    found = opened(store, base, body).uncertainty
    assert found[:2].eq(2.0).all() and found[2:].isnan().all()


def test_a_store_without_verdicts(tmp_path, drawn, base, body):
    store = filled(tmp_path, drawn, critic="scripted@2")
    with pytest.raises(
        TrainError, match=r"has a verdict of critic 'scripted@1'.*or train on the verdicts of scripted@2"
    ):
        opened(store, base, body)


def test_shards_that_a_critic_has_not_judged_are_refused_or_skipped_and_counted(tmp_path, drawn, base, body):
    store = filled(tmp_path, drawn, judged="acd")
    with pytest.raises(TrainError, match=r"2 of 5 shards of 'round0' have no verdict.*\(b, e\): run critique, or"):
        opened(store, base, body)
    source = opened(store, base, body, WANTED._replace(unjudged="skip"))
    assert source.shards == [2, 2, 2] and source.skipped == ["b", "e"]


def test_groups_of_another_model(tmp_path, drawn, base, body):
    store = filled(tmp_path, drawn)
    other = load_model("default")
    with pytest.raises(TrainError, match=f"drawn by model {base.digest()}, and {other.digest()} is to be trained"):
        opened(store, other, body)
    assert opened(store, other, body, WANTED._replace(off_policy=True)).shards == [2, 2, 2, 2]


def test_groups_posed_with_another_body(tmp_path, drawn, base, body):
    moved = [replace(group, keypoints=group.keypoints + np.float32(0.02)) for group in drawn["a"]]
    with pytest.raises(TrainError, match=r"another body than '.*' \(keypoints 35 mm apart\).*set \[base\] body"):
        opened(filled(tmp_path, {**drawn, "a": moved}), base, body)


def test_groups_of_another_network_or_of_unlike_sizes(tmp_path, drawn, base, body):
    rng = np.random.default_rng(1)
    foreign = [make_group(rng, 3, latents=np.zeros((3, 133), np.float32), model_digest="x") for _ in range(2)]
    mixed = [foreign[0], replace(foreign[1], model_digest="y")]
    with pytest.raises(TrainError, match="mixes groups of model_digest x, y"):
        opened(filled(tmp_path / "mixed", {"a": mixed}), base, body)
    larger = sample_hypotheses(
        [group.person for group in drawn["b"]], base, body, Sample(hypotheses=4, device="cpu"), seed=0, draw="round0"
    )
    with pytest.raises(TrainError, match=r"hold \[3, 4\] hypotheses"):
        opened(filled(tmp_path / "sizes", {**drawn, "b": larger}), base, body)


def test_vectors_of_another_length(tmp_path, drawn, base, body, monkeypatch):
    """Our store keeps none; one that somebody else wrote may."""
    store = filled(tmp_path, drawn)
    shorter = [replace(group, latents=group.latents[:, :120]) for group in drawn["a"]]
    monkeypatch.setattr(GroupStore, "read_groups", lambda *_: shorter)
    with pytest.raises(TrainError, match=r"'round0' hold vectors of \[120\] numbers, models diffuse 133: they were"):
        opened(store, base, body)


def test_nobody_at_all(tmp_path, base, body):
    with pytest.raises(TrainError, match="nobody was found"):
        opened(filled(tmp_path, {"a": []}, judged="a"), base, body)

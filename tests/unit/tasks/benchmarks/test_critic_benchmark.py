import numpy as np
import pytest

from critique.evidence import EvidenceCritic
from critique.oracle import OracleCritic
from critique.scripted import ScriptedCritic
from storage.records import Verdict
from tasks.benchmarking import StudioPeople
from tasks.benchmarks.critic_benchmark import (
    Judged,
    ablated,
    judge_drawn,
    measure,
    model_groups,
    perturbed_groups,
    stacked,
)
from tasks.run.settings import CriticSection, SettingsError
from tasks.sampling import body, model
from tasks.scoring import make_critic


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> StudioPeople:
    return StudioPeople("easy_val", 6, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def perturbed(people):
    return perturbed_groups(body(None), people, hypotheses=6)


def numbers(rows) -> dict[str, float]:
    return {row["metric"].removeprefix("critic.").removeprefix("model_"): row["value"] for row in rows}


def test_perturbed_groups_lie_about_the_truth_as_far_as_their_noise(people, perturbed):
    near = perturbed_groups(body(None), people, hypotheses=6, level=1.0)
    far = perturbed_groups(body(None), people, hypotheses=6, level=8.0)
    assert 10 < near.errors.mean() < 60 < 2 * near.errors.mean() < far.errors.mean()
    assert perturbed_groups(body(None), people, hypotheses=6).errors.tolist() == perturbed.errors.tolist()
    for group in near.groups:
        centred = group.joints - group.joints[:, :1]
        assert len(group) == 6 and np.abs(centred - centred.mean(0)).max() < 0.4
        np.testing.assert_allclose(group.joints[:, 0], group.joints[:1, 0].repeat(6, 0), atol=1e-5)


def test_the_oracle_is_perfect_and_evidence_is_better_than_chance(perturbed):
    truth = {g.person.group_id: e for g, e in zip(perturbed.groups, perturbed.errors)}
    critics = {"oracle": OracleCritic(lambda group: truth[group.person.group_id]), "evidence": EvidenceCritic()}
    judged = judge_drawn(body(None), perturbed.groups, critics)
    best = numbers(measure(judged["oracle"], perturbed.errors, "perturbed", resamples=0))
    assert best["srcc"] > 0.97 and best["pair_accuracy"] > 0.97  # what is off by more than 300 mm gets 0 together
    assert best["top1_regret_mm"] == best["zero_spread_rate"] == best["failure_rate"] == 0
    found = numbers(measure(judged["evidence"], perturbed.errors, "perturbed", resamples=0))
    assert 0.3 < found["srcc"] < 1 and found["top1_regret_mm"] < found["random_regret_mm"]
    assert found["seconds_per_group"] > 0
    assert found["chosen_mm"] - found["top1_regret_mm"] == pytest.approx(found["best_mm"])


def test_the_learned_scorer_is_better_than_chance_on_people_it_never_saw(people):
    groups = model_groups(model("lab"), body(None), people, hypotheses=12, temperature=4.0)
    (judged,) = judge_drawn(
        body(None), groups.groups, {"scorer": make_critic(CriticSection(name="scorer"), 0)}
    ).values()
    found = numbers(measure(judged, groups.errors, "model", resamples=0))
    assert found["srcc"] > 0.3 and found["top1_regret_mm"] < 0.7 * found["random_regret_mm"]


def test_groups_of_a_model_are_its_benchmarks_groups(people):
    found = model_groups(model("lab"), body(None), people, hypotheses=4)
    assert found.errors.shape == (len(found.groups), 4)
    assert all(group.model_digest == model("lab").digest() and group.zero_start[0] for group in found.groups)


def test_seconds_that_a_critic_gives_are_kept(perturbed):
    def judge(drawn) -> Verdict:
        size = len(drawn.group)
        return Verdict(
            drawn.group.person.group_id, "slow@1", np.arange(size, dtype=float), ("ok",) * size, ("",) * size, 7.0, 0.5
        )

    judged = judge_drawn(body(None), perturbed.groups[:2], {"slow": ScriptedCritic(judge)})["slow"]
    assert judged.seconds.tolist() == [7, 7] and judged.cost.tolist() == [0.5, 0.5]


def test_failures_and_flat_groups_are_counted():
    errors = np.array([[10.0, 20, 30], [10, 30, 20], [20, 10, 30], [30, 10, 20]])
    scores = np.array([[9.0, 8, 7], [5, 5, 5], [np.nan] * 3, [1, np.nan, 2]])
    zeros = np.zeros(4)
    found = numbers(measure(Judged("any@1", scores, zeros, zeros), errors, "model", resamples=0))
    assert found["failure_rate"] == pytest.approx(4 / 12)
    assert found["zero_spread_rate"] == pytest.approx(1 / 4)
    assert found["srcc"] == pytest.approx(1)  # of the first group alone: the others have too few or are flat


def test_rows_carry_their_interval_and_their_kind():
    random = np.random.default_rng(0)
    errors = random.uniform(50, 200, (20, 5))
    judged = Judged("any@1", -errors + random.normal(0, 40, errors.shape), np.ones(20), np.zeros(20))
    rows = measure(judged, errors, "model", resamples=200)
    for row in rows:
        assert row["metric"].startswith("critic.model_") and row["groups"] == "model" and row["critic"] == "any@1"
        assert row["low"] <= row["value"] <= row["high"] or row["metric"].endswith("plcc")
    assert {"srcc", "krcc", "plcc", "top1_regret_mm", "pair_accuracy_80_to_inf_mm"} <= set(numbers(rows))
    names = [row["metric"] for row in measure(judged, errors, "perturbed", resamples=0, without="mask")]
    assert "critic.without_mask.srcc" in names


def test_correlations_with_other_errors_bear_their_names():
    random = np.random.default_rng(0)
    errors = random.uniform(50, 200, (20, 5))
    judged = Judged("any@1", -errors + random.normal(0, 40, errors.shape), np.ones(20), np.zeros(20))
    found = numbers(measure(judged, errors, "model", 50, others={"pve": errors, "pa": -errors}))
    for name in ("srcc", "krcc", "plcc"):
        assert found[f"{name}_pve"] == found[name]
    assert found["srcc_pa"] == pytest.approx(-found["srcc"])  # what is best by one error is worst by the other
    assert found["krcc_pa"] == pytest.approx(-found["krcc"]) and "top1_regret_mm_pa" not in found
    alone = numbers(measure(judged, errors, "model", 50))
    assert alone == {name: value for name, value in found.items() if not name.endswith(("_pve", "_pa"))}


def test_ablations_leave_out_one_part_each():
    found = ablated(CriticSection(name="scorer"))
    assert set(found) == {"regression", "mask", "landmarks", "depth", "plausibility"}
    assert make_critic(found["mask"], 0).settings.without == ("mask",)
    found = ablated(CriticSection(name="evidence", evidence={"balance": 2.0}))
    settings = make_critic(found["depth"], 0).settings
    assert settings.depth_order == settings.world_distance == settings.orientation == 0
    assert settings.balance == 2 and settings.silhouette > 0
    with pytest.raises(SettingsError, match="no parts"):
        ablated(CriticSection(name="shuffled"))


def test_verdicts_are_stacked_in_order():
    verdicts = [Verdict(f"g{k}", "any@1", np.array([k, 2.0 * k]), ("ok",) * 2, ("",) * 2) for k in range(3)]
    assert stacked(verdicts).scores.tolist() == [[0, 0], [1, 2], [2, 4]]

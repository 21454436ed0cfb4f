import copy
import math
import re

import pytest
import torch
from torch import nn

from hmr.alignment.guard import GuardLook
from hmr.alignment.objectives import PRESETS
from hmr.alignment.train_settings import learning_rate_share
from hmr.alignment.trainer import ScoredGroups, TrainError, TrainSettings, train_policy
from hmr.alignment.training_state import StateError
from hmr.diffusion.condition import Condition, Observation
from hmr.diffusion.latent import DIMS
from hmr.diffusion.sampler import denoise
from hmr.models.base_model import HmrModel

SMALL = {
    "encoder": {"image": False, "width": 16, "features": 16},
    "predictor": {"width": 32, "blocks": 1, "features": 16},
}


class Interrupted(Exception):
    """Stands for a kill in the middle of a run."""


@pytest.fixture(scope="module")
def model() -> HmrModel:
    torch.manual_seed(0)
    return HmrModel(SMALL).eval()


def groups(images: int = 16, size: int = 8) -> ScoredGroups:
    """Groups in which a larger first coordinate is better."""
    generator = torch.Generator().manual_seed(1)
    details = Condition(
        torch.zeros(images, 10),
        {"features": torch.randn(images, 16, generator=generator), "mean": torch.zeros(images, DIMS)},
    )
    latents = 10 * torch.randn(images, size, DIMS, generator=generator)
    return ScoredGroups(details, latents, (50 + 2 * latents[..., 0]).clamp(0, 100).double())


def first_coordinate(model: HmrModel, scored: ScoredGroups) -> float:
    return float(denoise(model.predictor, scored.condition, torch.zeros(len(scored.latents), 1, DIMS))[..., 0].mean())


def calm(_: HmrModel) -> GuardLook:
    return GuardLook(step=0, zero_noise_mm=100.0, best_of_g_mm=80.0, diversity_mm=20.0)


def improving(scored: ScoredGroups):
    return lambda model: GuardLook(0, 100.0 - first_coordinate(model, scored), 80.0, 20.0)


SETTINGS = TrainSettings(steps=30, groups_per_step=8, evaluate_every=10, learning_rate=1e-3, warmup=2, ema=0.8)


def test_it_learns_what_the_scores_prefer(model):
    scored = groups()
    before = first_coordinate(model, scored)
    result = train_policy(model, scored, SETTINGS, improving(scored))
    assert result.decision.best.step > 0
    assert first_coordinate(result.model, scored) > before + 0.5
    statistic = [row["S/joints"] for row in result.curves]
    assert statistic[0] == pytest.approx(0, abs=1e-6) and statistic[-1] < 0


def test_the_model_that_came_in_is_left_alone(model):
    digest = model.digest()
    train_policy(model, groups(), SETTINGS, calm)
    assert model.digest() == digest


def test_without_progress_on_validation_the_start_is_kept(model):
    result = train_policy(model, groups(), SETTINGS, calm)
    assert result.decision.best.step == 0
    assert result.model.digest() == model.digest()


def test_the_last_step_is_kept_where_that_is_asked_for(model):
    last = train_policy(model, groups(), SETTINGS.model_copy(update={"keep": "last"}), calm)
    assert last.model.digest() != model.digest()
    assert last.decision.reason == "all 30 steps taken; best is step 0, and the last is kept"


def test_a_run_that_the_guard_stops_goes_back_whatever_is_to_be_kept(model):
    seen = []

    def worse(_: HmrModel) -> GuardLook:
        seen.append(1)
        return GuardLook(0, 100.0 * 1.1 ** (len(seen) - 1), 80.0, 20.0)

    result = train_policy(model, groups(), SETTINGS.model_copy(update={"keep": "last"}), worse)
    assert result.decision.stop and result.model.digest() == model.digest()


def test_an_older_model_can_be_the_reference(model):
    """Held to another model, the policy is away from its reference before the first step."""
    torch.manual_seed(1)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.predictor.final[1].bias.add_(0.5)
    one_step = SETTINGS.model_copy(update={"steps": 1, "evaluate_every": 1})
    own = train_policy(model, groups(), one_step, calm).curves[0]
    held = train_policy(model, groups(), one_step, calm, reference=other).curves[0]
    assert own["distance/joints"] == pytest.approx(0, abs=1e-6) and held["distance/joints"] > 0.01


def test_a_rising_validation_error_stops_and_rolls_back(model):
    seen = []

    def worse(_: HmrModel) -> GuardLook:
        seen.append(1)
        return GuardLook(0, 100.0 * 1.1 ** (len(seen) - 1), 80.0, 20.0)

    result = train_policy(model, groups(), SETTINGS, worse)
    assert result.decision.stop and "validation error rose" in result.decision.reason
    assert len(result.curves) == 10
    assert result.model.digest() == model.digest()


def test_an_interrupted_run_goes_on_bit_for_bit(model, tmp_path):
    scored = groups()
    whole = train_policy(model, scored, SETTINGS, improving(scored))

    def interrupt(row: dict[str, float]) -> None:
        if row["step"] == 17:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_policy(model, scored, SETTINGS, improving(scored), states=tmp_path, report=interrupt)
    resumed = train_policy(model, scored, SETTINGS, improving(scored), states=tmp_path)
    assert resumed.model.digest() == whole.model.digest()
    assert resumed.curves == whole.curves
    assert resumed.evaluations == whole.evaluations


def test_abstentions_and_flat_groups_change_nothing(model):
    scored = groups()
    with_noise = ScoredGroups(
        Condition(
            torch.cat([scored.condition.betas, torch.zeros(2, 10)]),
            {n: torch.cat([p, p[:2]]) for n, p in scored.condition.context.items()},
        ),
        torch.cat([scored.latents, scored.latents[:2]]),
        torch.cat([scored.scores, torch.full((1, 8), torch.nan), torch.full((1, 8), 50.0)]),
    )
    settings = SETTINGS.model_copy(update={"steps": 5})
    plain, mixed = (train_policy(model, g, settings, calm).curves for g in (scored, with_noise))
    assert {row.pop("frac_reward_zero_std") for row in plain} == {0.0}
    assert {row.pop("frac_reward_zero_std") for row in mixed} == {1 / 17}  # of the groups that have a score
    assert plain == mixed


def test_groups_without_a_score_are_refused(model):
    scored = groups()
    silent = scored._replace(scores=torch.full_like(scored.scores, torch.nan))
    with pytest.raises(TrainError, match="none of 16 groups can be trained on: 0 have a score"):
        train_policy(model, silent, SETTINGS, calm)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_takes_a_step(model, name):
    settings = SETTINGS.model_copy(update={"preset": name, "steps": 2, "evaluate_every": 2})
    result = train_policy(model, groups(), settings, calm)
    assert len(result.curves) == 2 and all(torch.isfinite(torch.tensor(r["loss"])) for r in result.curves)


def changed(**values) -> TrainSettings:
    return TrainSettings.model_validate({**SETTINGS.model_dump(), **values})


def weights(model: HmrModel) -> torch.Tensor:
    return torch.cat([p.flatten() for p in model.predictor.parameters()])


def curve(result, name: str) -> list[float]:
    return [row[name] for row in result.curves if name in row]


@pytest.mark.parametrize("micro", [1, 3])
def test_accumulated_micro_batches_are_one_large_batch(model, micro):
    scored = groups()
    whole, parts = (
        train_policy(model, scored, changed(steps=10, micro_groups=size), improving(scored)) for size in (None, micro)
    )
    torch.testing.assert_close(weights(parts.model), weights(whole.model), rtol=0, atol=1e-5)
    for name in ("loss", "S/joints", "gradient_norm", "median_abs_beta_s", "convexity_margin"):
        assert curve(parts, name) == pytest.approx(curve(whole, name), rel=1e-4, abs=1e-5)


def test_the_linear_objective_may_split_groups_and_others_may_not(model):
    scored = groups()
    settings = changed(preset="paper_eq6", steps=5, learning_rate=1e-4)
    whole = train_policy(model, scored, settings, calm)
    parts = train_policy(model, scored, settings.model_copy(update={"micro_hypotheses": 3}), calm)
    assert curve(parts, "loss") == pytest.approx(curve(whole, "loss"), rel=1e-4, abs=1e-5)
    with pytest.raises(ValueError, match=r"splits groups, and 'log_sigmoid'.*needs whole ones: use micro_groups"):
        train_policy(model, scored, changed(micro_hypotheses=3), calm)


class Counted(nn.Module):
    """A noise predictor that counts its calls, and has memory for so many groups when it is trained."""

    def __init__(self, inner: nn.Module, room: int | None = None) -> None:
        super().__init__()
        self.inner, self.room = inner, room
        self.calls: list[int] = []  # shared by copies
        self.spread = inner.spread

    def __deepcopy__(self, memo) -> "Counted":
        twin = Counted(copy.deepcopy(self.inner, memo), self.room)
        twin.calls = self.calls
        return twin

    def forward(self, latents, steps, condition):
        if torch.is_grad_enabled():
            self.calls.append(len(latents))
            if self.room is not None and len(latents) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        else:
            self.calls.append(0)
        return self.inner(latents, steps, condition)


def with_predictor(model: HmrModel, predictor: nn.Module) -> HmrModel:
    made = copy.deepcopy(model)
    made.predictor = predictor
    return made


def test_the_reference_is_asked_only_now_and_then_where_the_gradient_does_not_need_it(model):
    scored = groups()
    results, asked = [], []
    for every in (1, 4):
        counted = Counted(copy.deepcopy(model.predictor))
        settings = changed(preset="paper_eq6", steps=10, evaluate_every=10, watch_every=every, learning_rate=1e-4)
        results.append(train_policy(with_predictor(model, counted), scored, settings, calm))
        asked.append(counted.calls.count(0))
    always, seldom = results
    assert asked == [10, 4]  # steps 0, 4, 8, and 9: the one before validation
    assert curve(always, "loss") == curve(seldom, "loss")
    assert curve(always, "gradient_norm") == curve(seldom, "gradient_norm")
    assert [curve(always, "S/all")[k] for k in (0, 4, 8, 9)] == curve(seldom, "S/all")


def test_out_of_memory_halves_the_micro_batch_and_takes_the_same_step_again(model):
    scored = groups()
    large = train_policy(model, scored, changed(steps=6), improving(scored))
    counted = Counted(copy.deepcopy(model.predictor), room=2)
    small = train_policy(
        with_predictor(model, counted), scored, changed(steps=6, halve_on_oom=True), lambda _: calm(model)
    )
    tried = [size for size in counted.calls if size]
    assert tried[:6] == [8, 4, 2, 2, 2, 2] and set(tried[6:]) == {2}
    assert curve(small, "loss") == pytest.approx(curve(large, "loss"), rel=1e-4)


@pytest.mark.parametrize(
    ("room", "settings", "fix"),
    [
        (2, {}, r"out of memory with 8 groups at once in step 1 \(CUDA out.*set micro_groups = 4"),
        (0, {"halve_on_oom": True}, "with 1 groups at once.*one group does not fit"),
    ],
)
def test_out_of_memory_says_what_to_do(model, room, settings, fix):
    counted = Counted(copy.deepcopy(model.predictor), room)
    with pytest.raises(TrainError, match=fix):
        train_policy(with_predictor(model, counted), groups(), changed(**settings), calm)


def test_a_run_with_micro_batches_goes_on_from_the_newest_whole_state(model, tmp_path):
    scored, settings = groups(), changed(micro_groups=3, save_every=4, keep_states=2, watch_every=3)
    whole = train_policy(model, scored, settings, improving(scored))

    def interrupt(row: dict[str, float]) -> None:
        if row["step"] == 19:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_policy(model, scored, settings, improving(scored), states=tmp_path, report=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000012.pt", "step-00000016.pt"]
    newest = tmp_path / "step-00000016.pt"
    newest.write_bytes(newest.read_bytes()[:1000])  # a disk that was full
    steps = []
    resumed = train_policy(
        model, scored, settings, improving(scored), states=tmp_path, report=lambda row: steps.append(row["step"])
    )
    assert steps[0] == 13
    assert resumed.model.digest() == whole.model.digest()
    assert resumed.curves == whole.curves and resumed.evaluations == whole.evaluations


def test_a_state_of_another_run_is_refused(model, tmp_path):
    train_policy(model, groups(), changed(steps=2), calm, states=tmp_path)
    for scored, settings in ((groups(), changed(steps=2, seed=1)), (groups(12), changed(steps=2))):
        with pytest.raises(StateError, match="saved by a run with another model, other groups, scores or settings"):
            train_policy(model, scored, settings, calm, states=tmp_path)
    again = train_policy(model, groups(), changed(steps=2, micro_groups=2, keep_states=5), calm, states=tmp_path)
    assert len(again.curves) == 2
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(StateError, match=r"no saved state in .* can be read"):
        train_policy(model, groups(), changed(steps=2), calm, states=tmp_path)


def test_warm_up_and_schedule():
    flat = TrainSettings(steps=30, warmup=10)
    assert [learning_rate_share(flat, k) for k in (0, 4, 9, 10, 29)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    cosine = TrainSettings(steps=30, warmup=10, schedule="cosine")
    assert [learning_rate_share(cosine, k) for k in (4, 10, 15, 20)] == pytest.approx(
        [0.5, 1, (1 + math.cos(math.pi / 4)) / 2, 0.5]
    )


def test_the_average_follows_the_policy_as_its_decay_says(model):
    """ema 0 is the policy itself; with 0.5 (reached at n = 8) and one step, n = 0: nine tenths of the way."""
    scored = groups()
    start, last = weights(model), None
    for ema in (0.0, 0.5):
        counts = iter((100.0, 90.0))
        settings = changed(steps=1, evaluate_every=1, ema=ema, warmup=0)
        result = train_policy(model, scored, settings, lambda _, of=counts: GuardLook(0, next(of), 80.0, 20.0))
        assert result.decision.best.step == 1
        moved = weights(result.model) - start
        if last is not None:
            torch.testing.assert_close(moved, 0.9 * last, rtol=1e-3, atol=1e-6)
        last = moved


def test_adapters_learn_and_are_merged_into_plain_weights(model):
    pytest.importorskip("peft")
    scored = groups()
    before = first_coordinate(model, scored)
    result = train_policy(model, scored, changed(lora_rank=4, learning_rate=5e-3), improving(scored))
    assert first_coordinate(result.model, scored) > before + 0.2
    names = dict(result.model.predictor.named_parameters())
    assert names.keys() == dict(model.predictor.named_parameters()).keys()
    change = (names["start.weight"] - model.predictor.start.weight).detach()
    assert 1 <= int(torch.linalg.matrix_rank(change, atol=1e-5)) <= 4
    torch.testing.assert_close(names["start.bias"], model.predictor.start.bias, rtol=0, atol=0)


def test_an_interrupted_run_of_adapters_goes_on_bit_for_bit(model, tmp_path):
    pytest.importorskip("peft")
    scored, settings = groups(), changed(lora_rank=2, steps=12, evaluate_every=6)
    whole = train_policy(model, scored, settings, improving(scored))

    def interrupt(row: dict[str, float]) -> None:
        if row["step"] == 8:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_policy(model, scored, settings, improving(scored), states=tmp_path, report=interrupt)
    resumed = train_policy(model, scored, settings, improving(scored), states=tmp_path)
    assert resumed.model.digest() == whole.model.digest()


def seen_groups(images: int = 8) -> ScoredGroups:
    """The same kind of groups, of people that an encoder has yet to look at."""
    generator = torch.Generator().manual_seed(2)
    seen = Observation(
        torch.zeros(images, 8, 8, 3, dtype=torch.uint8),
        torch.zeros(images, 64, 64, dtype=torch.uint8),
        torch.randn(images, 33, 4, generator=generator),
        torch.randn(images, 33, 3, generator=generator),
    )
    return groups(images)._replace(condition=seen)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_encoder_is_trained_too_where_it_is_asked_for(model, precision):
    scored, first = seen_groups(), model.digest()
    settings = changed(steps=6, evaluate_every=3, train_encoder=True, encoder_precision=precision)
    counts = iter(range(10))
    result = train_policy(model, scored, settings, lambda _: GuardLook(0, 100.0 - next(counts), 80.0, 20.0))
    moved = {
        name: float((new - old).detach().abs().max())
        for (name, new), old in zip(result.model.named_parameters(), model.parameters())
    }
    assert moved["encoder.mean_head.weight"] > 0 and moved["predictor.start.weight"] > 0
    assert moved["encoder.beta_head.weight"] == 0  # the loss does not see the betas
    assert moved["encoder.mean_head.bias"] < moved["predictor.start.bias"]
    assert model.digest() == first
    assert result.curves[0]["distance/joints"] == 0  # the reference looks with an encoder of its own
    assert result.curves[-1]["distance/joints"] > 0


def test_a_source_must_give_what_is_trained(model):
    with pytest.raises(TrainError, match="train_encoder = true, but the source gives conditions"):
        train_policy(model, groups(), changed(train_encoder=True), calm)
    with pytest.raises(TrainError, match="train_encoder = false, but the source gives observations"):
        train_policy(model, seen_groups(), SETTINGS, calm)


def test_a_gradient_that_is_not_finite_ends_the_run_before_it_touches_a_weight(model):
    scored = groups()
    scored.latents[3, 2, 5] = torch.inf
    result = train_policy(model, scored, SETTINGS, calm)
    assert result.decision.stop and re.search("gradient_norm.* not a finite number", result.decision.reason)
    assert result.model.digest() == model.digest()


def test_a_group_of_one_has_nothing_to_learn_from(model):
    with pytest.raises(TrainError, match=r"1 hypothesis each.*sample groups of two or more"):
        train_policy(model, groups(size=1), SETTINGS, calm)


def test_what_was_left_out_is_counted(model):
    scored = groups()
    scored.scores[0], scored.scores[1], scored.scores[2, 3:5] = torch.nan, 50.0, torch.nan
    counts = train_policy(model, scored, changed(steps=1), calm).counts
    assert counts == (16, 14, 1, 1, 2)


def test_a_group_whose_spread_its_own_noise_explains_is_not_trained_on(model):
    scored = groups()
    noise = torch.zeros_like(scored.scores)
    noise[:3] = 100.0
    counts = train_policy(model, scored._replace(uncertainty=noise), changed(steps=1), calm).counts
    assert counts.trained_on == 13


def test_curves_carry_the_names_of_trl(model):
    scored = groups()
    settings = changed(steps=2, preset="stable", objective={"objective": "ratio", "beta": 1.0, "clip_eps": 0.2})
    row = train_policy(model, scored, settings, calm).curves[-1]
    assert {"reward", "reward_std", "frac_reward_zero_std", "clip_ratio/region_mean", "kl"} <= row.keys()
    joints, twists = row["distance/joints"], row["distance/twists"]
    assert row["kl"] == pytest.approx((87 * joints + 46 * twists) / 133)
    rewards = scored.scores / 100
    once = train_policy(model, scored, changed(steps=1, groups_per_step=16), calm).curves[0]
    assert once["reward"] == pytest.approx(float(rewards.mean()))
    assert once["reward_std"] == pytest.approx(float(rewards.std(1, correction=0).mean()))

import pytest
import torch

from hmr.base_model import BaseModel
from hmr.condition import Condition
from hmr.guard import Evaluation
from hmr.latent import DIMS
from hmr.sampler import denoise
from hmr.trainer import ScoredGroups, TrainError, TrainSettings, train_policy

SMALL = {
    "encoder": {"image": False, "width": 16, "features": 16},
    "predictor": {"width": 32, "blocks": 1, "features": 16},
}


class Interrupted(Exception):
    """Stands for a kill in the middle of a run."""


@pytest.fixture(scope="module")
def model() -> BaseModel:
    torch.manual_seed(0)
    return BaseModel(SMALL).eval()


def groups(images: int = 16, size: int = 8) -> ScoredGroups:
    """Groups in which a larger first coordinate is better."""
    generator = torch.Generator().manual_seed(1)
    told = Condition(
        torch.zeros(images, 10),
        {"features": torch.randn(images, 16, generator=generator), "mean": torch.zeros(images, DIMS)},
    )
    latents = 10 * torch.randn(images, size, DIMS, generator=generator)
    return ScoredGroups(told, latents, (50 + 2 * latents[..., 0]).clamp(0, 100).double())


def first_coordinate(model: BaseModel, scored: ScoredGroups) -> float:
    return float(denoise(model.predictor, scored.condition, torch.zeros(len(scored.latents), 1, DIMS))[..., 0].mean())


def calm(_: BaseModel) -> Evaluation:
    return Evaluation(step=0, zero_noise_mm=100.0, best_of_g_mm=80.0, diversity_mm=20.0)


def improving(scored: ScoredGroups):
    return lambda model: Evaluation(0, 100.0 - first_coordinate(model, scored), 80.0, 20.0)


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


def test_a_rising_validation_error_stops_and_rolls_back(model):
    seen = []

    def worse(_: BaseModel) -> Evaluation:
        seen.append(1)
        return Evaluation(0, 100.0 * 1.1 ** (len(seen) - 1), 80.0, 20.0)

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
            {n: torch.cat([p, p[:2]]) for n, p in scored.condition.memory.items()},
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


@pytest.mark.parametrize("name", ["paper_eq6", "released_dgpo", "stable"])
def test_every_preset_takes_a_step(model, name):
    settings = SETTINGS.model_copy(update={"preset": name, "steps": 2, "evaluate_every": 2})
    result = train_policy(model, groups(), settings, calm)
    assert len(result.curves) == 2 and all(torch.isfinite(torch.tensor(r["loss"])) for r in result.curves)

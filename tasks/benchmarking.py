"""Stage 5: a model against the ground truth of the embedded benchmark, and what plain lifting reaches there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from hmr.base_model import BaseModel
from hmr.body import Body
from hmr.condition import Condition
from hmr.evaluation import ESTIMATES, METRICS, Evaluation, TrueBodies, evaluate_groups, group_errors
from hmr.labels import KnownPeople, known_people
from hmr.lifting import lifting_errors, load_liftings
from hmr.metrics import bootstrap_improvement, rank_correlations
from hmr.observation import SeenPeople, see_split, sure_detections
from hmr.sampler import ddim, group_seeds, start_noise
from hmr.studio import SIZE, Purpose, Split, truths
from storage.records import Group, Person
from tasks.judging import judge_all, make_critic
from tasks.retrying import may_pass
from tasks.sampling import body, groups_from, model
from tasks.settings import CriticSection, Overlay, Sample


class StudioPeople(NamedTuple):
    """Where the people of a studio split lie, and how many scenes it has."""

    split: Split
    count: int
    cache: Path
    processes: int = 1


class Known(NamedTuple):
    """People of a split with their ground truth, for measuring only."""

    seen: SeenPeople
    truth: KnownPeople


class Sampled(NamedTuple):
    """A model's groups on a split, measured."""

    evaluation: Evaluation
    latents: torch.Tensor  # (n, g, 133)
    condition: Condition
    known: Known


_KNOWN: dict[tuple[str, int, str], Known] = {}


def known(frame: Body, people: StudioPeople, purpose: Purpose = "benchmark") -> Known:
    """Seen people and truth of a split, kept in memory for the process."""
    key = (people.split, people.count, str(people.cache))
    if key not in _KNOWN:
        seen = see_split(people.split, people.count, people.cache, processes=people.processes)
        _KNOWN[key] = Known(seen, known_people(frame, people.split, seen, purpose=purpose))
    return _KNOWN[key]


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="look at {people.split}")
def look_at(people: StudioPeople) -> int:
    """Draw a split's photographs and find the people in them; returns how many were found."""
    return len(see_split(people.split, people.count, people.cache, processes=people.processes).index)


@torch.no_grad()
def sample_people(base: BaseModel, frame: Body, people: StudioPeople, *, hypotheses: int, vertices: bool) -> Sampled:
    """Draw groups at temperature 1 for a split, always from the same noise, and measure them."""
    data = known(frame, people)
    condition = base.observe(data.seen.observation())
    ids = [f"{people.split}-{i}" for i in data.seen.index]
    seeds = torch.from_numpy(group_seeds(0, "benchmark", ids, hypotheses))
    zero = torch.zeros(seeds.shape, dtype=torch.bool)
    zero[:, 0] = True
    latents = ddim(base.predictor, condition, start_noise(seeds, zero))
    evaluation = evaluate_groups(
        frame, data.truth.bodies, latents, condition.betas,
        torch.from_numpy(data.seen.camera), torch.from_numpy(data.seen.crop),
        true_camera=data.truth.camera, vertices=vertices,
    )  # fmt: skip
    return Sampled(evaluation, latents, condition, data)


def person_records(people: StudioPeople, seen: SeenPeople) -> list[Person]:
    """People of a split as records that a critic can judge; their photographs exist only as crops."""
    side = float(SIZE)
    return [
        Person(
            group_id=f"{people.split}-{seen.index[k]:06d}",
            photo="",
            photo_sha256="",
            width=SIZE,
            height=SIZE,
            box=np.array([0, 0, side, side], np.float32),
            detection=1.0,
            crop=seen.crop[k],
            camera=seen.camera[k],
            landmarks=seen.landmarks[k],
            world_landmarks=seen.world[k],
            mask=seen.mask[k],
            picture=seen.picture[k],
        )
        for k in range(len(seen.index))
    ]


def choosing_critic(section: CriticSection) -> CriticSection:
    """The critic that chooses hypotheses in the benchmark: the run's own if it needs neither pictures nor truth."""
    return section if section.name == "evidence" else section.model_copy(update={"name": "evidence"})


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="benchmark {name}")
def benchmark_model(
    name: str,
    model_path: str,
    body_path: Path | None,
    people: StudioPeople,
    hypotheses: int,
    section: CriticSection,
    overlay: Overlay,
    result: Path,
) -> Path:
    """Measure a model on a split and write per-image errors to `result` (.npz); an existing result is kept."""
    if result.exists():
        return result
    base, frame = model(model_path), body(body_path)
    sampled = sample_people(base, frame, people, hypotheses=hypotheses, vertices=False)
    critic = make_critic(choosing_critic(section), seed=0)
    records = person_records(people, sampled.known.seen)
    drawn = groups_from(
        records, sampled.latents, sampled.condition.betas, frame, base.digest(), Sample(hypotheses=hypotheses)
    )
    scores = np.stack([v.scores for v in judge_all(drawn, critic, body_path, overlay)])
    truth, seen = sampled.known.truth, sampled.known.seen
    chosen = evaluate_groups(
        frame, truth.bodies, sampled.latents, sampled.condition.betas,
        torch.from_numpy(seen.camera), torch.from_numpy(seen.crop),
        true_camera=truth.camera, scores=scores, vertices=True,
    )  # fmt: skip
    errors, _ = group_errors(
        frame, truth.bodies, sampled.latents, sampled.condition.betas,
        torch.from_numpy(seen.camera), torch.from_numpy(seen.crop), vertices=False,
    )  # fmt: skip
    quality = rank_correlations(scores, errors.mpjpe_mm)
    flat = {f"{e}/{m}": v for e, by in chosen.errors.items() for m, v in by.items()}
    result.parent.mkdir(parents=True, exist_ok=True)
    unfinished = result.with_suffix(".tmp.npz")
    np.savez(
        unfinished, **flat, keypoint_px=chosen.keypoint_px, diversity_mm=chosen.diversity_mm,
        srcc=quality.srcc, krcc=quality.krcc, plcc=quality.plcc, group_mpjpe_mm=errors.mpjpe_mm,
        index=seen.index, scenes=people.count, critic=critic.name, digest=base.digest(), scores=scores,
    )  # fmt: skip
    unfinished.replace(result)
    return result


def table(result: Path) -> dict[str, dict[str, float]]:
    """Means over images of a result file: {estimate: {metric: mm}}."""
    with np.load(result) as kept:
        return {e: {m: float(kept[f"{e}/{m}"].mean()) for m in METRICS} for e in ESTIMATES}


def compare(before: Path, after: Path, resamples: int) -> dict[str, dict[str, dict[str, float]]]:
    """Improvement in percent with a 95 % bootstrap interval over images: {estimate: {metric: {value, low, high}}}."""
    with np.load(before) as old, np.load(after) as new:
        return {e: {m: _interval(old[f"{e}/{m}"], new[f"{e}/{m}"], resamples) for m in METRICS} for e in ESTIMATES}


def _interval(before: NDArray, after: NDArray, resamples: int) -> dict[str, float]:
    if resamples == 0:
        return {"value": float(100 * (1 - after.mean() / before.mean()))}
    found = bootstrap_improvement(before, after, 0, resamples=resamples)
    return {"value": found.estimate, "low": found.low, "high": found.high}


def quality(result: Path) -> dict[str, Any]:
    """The choosing critic against ground truth: means of per-group correlations, and where each is undefined."""
    with np.load(result) as kept:
        found = {name: float(np.nanmean(kept[name])) for name in ("srcc", "krcc", "plcc")}
        return {**found, "critic": str(kept["critic"]), "groups": len(kept["index"])}


def extras(result: Path) -> dict[str, float]:
    """The other numbers of a result file."""
    with np.load(result) as kept:
        return {
            "keypoint_px": float(kept["keypoint_px"].mean()),
            "diversity_mm": float(kept["diversity_mm"].mean()),
            "spread_mm": float(kept["group_mpjpe_mm"].std(1).mean()),
            "people": len(kept["index"]),
            "detected_percent": 100 * len(kept["index"]) / int(kept["scenes"]),
        }


def lifting_rows(base_name: str, frame: Body, people: StudioPeople) -> dict[str, float]:
    """MPJPE, mm, of what needs no diffusion: the mean pose and both linear liftings of the base's own training data."""
    data = known(frame, people)
    errors = lifting_errors(load_liftings(base_name), frame, data.seen, data.truth)
    return {name: float(values.mean()) for name, values in errors.items()}


def sure_rows(base_name: str, frame: Body, people: StudioPeople, result: Path) -> dict[str, float]:
    """MPJPE, mm, on the people whose detection is sure, and how many percent they are."""
    data = known(frame, people)
    sure = sure_detections(data.seen)
    errors = lifting_errors(load_liftings(base_name), frame, data.seen, data.truth)
    with np.load(result) as kept:
        errors |= {e: kept[f"{e}/mpjpe_mm"] for e in ("zero_noise", "best_of_g")}
    means = {f"{name}.mpjpe_mm": float(values[sure].mean()) for name, values in errors.items()}
    return {"people_percent": 100 * float(sure.mean()), **means}


def wild_errors(frame: Body) -> Callable[[Group], NDArray[np.float64]]:
    """Errors of a group of `wild` by ground truth, NaN for other photographs; for the oracle critic alone."""

    def errors(group: Group) -> NDArray[np.float64]:
        scene = re.fullmatch(r"wild-(\d+)", Path(group.person.photo).stem)
        if scene is None:  # one of the free photographs: nobody knows
            return np.full(len(group), np.nan)
        truth = truths(frame, "wild", [int(scene[1])], purpose="oracle critic")
        bodies = TrueBodies(*(torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation)))
        found, _ = group_errors(
            frame, bodies, torch.from_numpy(group.latents)[None], torch.from_numpy(group.betas)[None],
            torch.from_numpy(group.person.camera)[None], torch.from_numpy(group.person.crop)[None], vertices=False,
        )  # fmt: skip
        return found.mpjpe_mm[0]

    return errors

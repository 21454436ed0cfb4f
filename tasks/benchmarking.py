"""Stage 6: errors of a model on the embedded benchmark, and those of plain lifting for comparison."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.skeleton import JOINT_NAMES
from hmr.diffusion.condition import Condition
from hmr.diffusion.latent import Decoding
from hmr.diffusion.sampler import SamplerSettings, draw_latents, group_seeds
from hmr.metrics.evaluation import (
    ESTIMATES,
    MEASURED,
    METRICS,
    Evaluation,
    Framing,
    PosedGroups,
    TrueBodies,
    evaluate_groups,
    in_parts,
    joined,
    joint_errors,
    pose_groups,
)  # fmt: skip
from hmr.metrics.pose_metrics import bootstrap_improvement, rank_correlations, spread_correlations
from hmr.models.base_model import HmrModel
from hmr.models.compute import Compute, PlacedPredictor, encode
from hmr.pretraining.labels import KnownPeople, known_people
from hmr.pretraining.lifting import lifting_errors, load_liftings
from hmr.studio.observation import SeenPeople, landmarks_in_crop, see_split, sure_detections
from hmr.studio.studio import SIZE, Purpose, Split, truths
from storage.finished_file import finished_file, read_again
from storage.records import Group, Person
from tasks.run.devices import compute_for
from tasks.run.settings import Benchmark, CriticSection, OverlaySection, Sample
from tasks.run.shard_task import task
from tasks.sampling import body, groups_from, model, observe, sampler_settings
from tasks.scoring import judge_all, make_critic


class StudioPeople(NamedTuple):
    """A studio split: its name, its number of scenes, and the folder with its cached detections."""

    split: Split
    count: int  # type: ignore[assignment]  # hides the tuple's method of this name
    cache: Path
    processes: int = 1


class Known(NamedTuple):
    """People of a split with their ground truth, for measuring only."""

    seen: SeenPeople
    truth: KnownPeople

    def rows(self, some: slice) -> "Known":
        """The people of a slice."""
        bodies = TrueBodies(*(part[some] for part in self.truth.bodies))
        return Known(SeenPeople._make(part[some] for part in self.seen), KnownPeople(bodies, self.truth.camera[some]))


class DrawnPeople(NamedTuple):
    """A model's groups on a split."""

    known: Known
    seeds: torch.Tensor  # (n, g)
    latents: torch.Tensor  # (n, g, 133)
    framing: Framing
    posed: PosedGroups


Protocol = Literal["fit", "published"]
"""What the benchmark may use of the ground truth; see `framing`."""

ON_CPU = Compute()
EVERYBODY = slice(None)

_KNOWN: dict[tuple[str, int, str], Known] = {}


def known(body_model: Body, people: StudioPeople, purpose: Purpose = "benchmark") -> Known:
    """Detections and true bodies of a split, kept in memory for the process."""
    key = (people.split, people.count, str(people.cache))
    if key not in _KNOWN:
        seen = see_split(people.split, people.count, people.cache, processes=people.processes)
        _KNOWN[key] = Known(seen, known_people(body_model, people.split, seen, purpose=purpose))
    return _KNOWN[key]


@task(task_run_name="look at {people.split}")
def look_at(people: StudioPeople) -> int:
    """Draw a split's photographs and detect the people in them; returns how many were found."""
    return len(see_split(people.split, people.count, people.cache, processes=people.processes).index)


def framing(known: Known, betas: torch.Tensor, how: Decoding, body_model: Body, protocol: Protocol = "fit") -> Framing:
    """How a split's diffused vectors become bodies.

    `fit` uses the camera guessed from the picture and fits the root's depth. `published` takes camera and root depth
    from the ground truth, as the published evaluations do: that much of the answer is given away. betas: (n, 10) shape
    coefficients.
    """
    crop = torch.from_numpy(known.seen.crop)
    if protocol == "fit":
        return Framing(betas, torch.from_numpy(known.seen.camera), crop, how)
    return Framing(betas, known.truth.camera, crop, how, body_model.points(*known.truth.bodies).joints[:, 0, 2])


def encode_split(base: HmrModel, body_model: Body, people: StudioPeople, compute: Compute = ON_CPU) -> Condition:
    """The encoder's output for the people of a split; alignment with a frozen encoder never changes it."""
    return _encoded(base, people, known(body_model, people).seen, compute)


def _encoded(base: HmrModel, people: StudioPeople, seen: SeenPeople, compute: Compute) -> Condition:
    return encode(base, observe(person_records(people, seen), base.picture_side), compute)


@torch.no_grad()
def draw_people(
    base: HmrModel, body_model: Body, people: StudioPeople, *, hypotheses: int, sampler: SamplerSettings | None = None,
    protocol: Protocol = "fit", compute: Compute = ON_CPU, condition: Condition | None = None,
    some: slice = EVERYBODY,
) -> DrawnPeople:  # fmt: skip
    """Draw groups for a split, always from the same noise, and pose them (metres, camera frame).

    sampler: None = the model's own. condition: the result of `encode_split`, for models that share an encoder; None =
    computed here. some: a slice of the people.
    """
    data = known(body_model, people).rows(some)
    details = _encoded(base, people, data.seen, compute) if condition is None else condition
    ids = [f"{people.split}-{i}" for i in data.seen.index]
    sampler = base.sampler if sampler is None else sampler
    seeds = torch.from_numpy(group_seeds(0, "benchmark", ids, hypotheses))
    zero = torch.zeros(seeds.shape, dtype=torch.bool)
    zero[:, 0] = True
    latents = draw_latents(
        PlacedPredictor(base.predictor, compute), details.to(torch.device(compute.device)), seeds, zero, sampler,
        landmarks=torch.from_numpy(landmarks_in_crop(data.seen.landmarks, data.seen.crop)),
    )  # fmt: skip
    view = framing(data, details.betas, base.decoding, body_model, protocol)
    return DrawnPeople(data, seeds, latents, view, pose_groups(body_model, latents, view))


def evaluate_people(
    body_model: Body, drawn: DrawnPeople, *, vertices: bool, scores: NDArray[np.float64] | None = None
) -> Evaluation:
    """Errors of groups against the ground truth of their people, mm.

    scores: (n, g) 0-100 of the choosing critic, NaN = abstained; None = no critic chooses.
    """
    truth = drawn.known.truth
    return evaluate_groups(
        body_model, truth.bodies, drawn.latents, drawn.posed, drawn.framing,
        true_camera=truth.camera, scores=scores, vertices=vertices,
    )  # fmt: skip


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
            second_look=None if np.isnan(seen.second_look[k]).any() else seen.second_look[k],
        )
        for k in range(len(seen.index))
    ]


def choosing_critic(section: CriticSection) -> CriticSection:
    """The critic that selects hypotheses in the benchmark: the run's own if it needs neither overlays nor truth."""
    able = section.name in ("evidence", "scorer", "scorenet", "distilled")
    return section if able else section.model_copy(update={"name": "evidence"})


def benchmark_sampler(sample: Sample, base: HmrModel) -> SamplerSettings:
    """The run's sampler at temperature 1, the model's own spread."""
    return sampler_settings(sample.at_own_spread, base.sampler)


@task(task_run_name="benchmark {people.split}: {name}")
def benchmark_model(
    name: str,
    model_path: str,
    body_path: Path | None,
    people: StudioPeople,
    section: Benchmark,
    sample: Sample,
    critic_section: CriticSection,
    overlay: OverlaySection,
    result: Path,
) -> Path:
    """Measure a model on a split and write per-person errors (mm) to `result` (.npz); an existing result is kept.

    Groups are drawn with the solver, device and precision of `sample`, at temperature 1.
    """
    if read_again(result, _arrays) is not None:
        return result
    base, body_model = model(model_path), body(body_path)
    sampler = benchmark_sampler(sample, base)
    critic = make_critic(choosing_critic(critic_section), seed=0)

    def measured(some: slice) -> tuple[Evaluation, NDArray[np.float64]]:
        drawn = draw_people(
            base, body_model, people, hypotheses=section.hypotheses, sampler=sampler, protocol=section.protocol,
            compute=compute_for(sample), some=some,
        )  # fmt: skip
        seen, view = drawn.known.seen, drawn.framing
        groups = groups_from(
            person_records(people, seen._replace(camera=view.camera.numpy())), drawn.latents, drawn.posed, view.betas,
            body_model, base.digest(), sampler.temperature, drawn.seeds.numpy(),
        )  # fmt: skip
        scores = np.stack([v.scores for v in judge_all(groups, critic, body_path, overlay)])
        return evaluate_people(body_model, drawn, vertices=True, scores=scores), scores

    index = known(body_model, people).seen.index
    parts = [
        measured(some) for some in in_parts(len(index), section.hypotheses, MEASURED)
    ]  # groups of few people at a time
    found, scores = joined([part for part, _ in parts]), np.concatenate([part for _, part in parts])
    quality = rank_correlations(scores, found.group.mpjpe_mm)
    flat: dict[str, Any] = {f"{e}/{m}": v for e, by in found.errors.items() for m, v in by.items()}
    with finished_file(result) as unfinished:
        np.savez(
            unfinished, **flat, keypoint_px=found.keypoint_px, diversity_mm=found.diversity_mm,
            joint_spread_mm=found.joint_spread_mm, joint_error_mm=found.joint_error_mm,
            srcc=quality.srcc, krcc=quality.krcc, plcc=quality.plcc, group_mpjpe_mm=found.group.mpjpe_mm,
            group_pa_mpjpe_mm=found.group.pa_mpjpe_mm, group_pve_mm=found.group.pve_mm, index=index,
            scenes=people.count, critic=critic.name, digest=base.digest(), scores=scores, protocol=section.protocol,
        )  # fmt: skip
    return result


def _arrays(path: Path) -> dict[str, NDArray]:
    """All of an .npz file; reading an array checks its checksum."""
    with path.open("rb") as file, np.load(file) as kept:  # numpy leaves a damaged file open that it opened itself
        return {name: kept[name] for name in kept.files}


def table(result: Path) -> dict[str, dict[str, float]]:
    """Means over people of a result file: {estimate: {metric: mm}}."""
    with np.load(result) as kept:
        return {e: {m: float(kept[f"{e}/{m}"].mean()) for m in METRICS} for e in ESTIMATES}


def compare(before: Path, after: Path, resamples: int) -> dict[str, dict[str, dict[str, float]]]:
    """Improvement in percent with a 95 % bootstrap interval over people: {estimate: {metric: {value, low, high}}}."""
    with np.load(before) as old, np.load(after) as new:
        return {e: {m: _interval(old[f"{e}/{m}"], new[f"{e}/{m}"], resamples) for m in METRICS} for e in ESTIMATES}


def _interval(before: NDArray, after: NDArray, resamples: int) -> dict[str, float]:
    if resamples == 0:
        return {"value": float(100 * (1 - after.mean() / before.mean()))}
    found = bootstrap_improvement(before, after, 0, resamples=resamples)
    return {"value": found.estimate, "low": found.low, "high": found.high}


def quality(result: Path) -> dict[str, Any]:
    """The choosing critic against ground truth: means of per-group correlations, and in how many groups each is
    undefined.
    """
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


def uncertainty(result: Path) -> dict[str, Any]:
    """How unsure the groups are of each joint, and how well that predicts the error of the zero-noise hypothesis.

    `joint_spread_mm`: mean over people, {joint: mm}. `error_srcc`: Spearman's correlation of spread and error over all
    people and joints; `error_srcc_within_joint`: over people, mean over joints. The pelvis, where both are 0, is left
    out.
    """
    with np.load(result) as kept:
        spread, error = kept["joint_spread_mm"][:, 1:], kept["joint_error_mm"][:, 1:]
    details = spread_correlations(spread, error)
    return {
        "joint_spread_mm": dict(zip(JOINT_NAMES[1:], spread.mean(0).tolist())),
        "error_srcc": details.overall,
        "error_srcc_within_joint": details.within_joint,
    }


def lifting_rows(base_name: str, body_model: Body, people: StudioPeople) -> dict[str, float]:
    """MPJPE, mm, of methods without diffusion: the mean pose and both linear liftings fitted on the base's training
    data.
    """
    data = known(body_model, people)
    errors = lifting_errors(load_liftings(base_name), body_model, data.seen, data.truth)
    return {name: float(values.mean()) for name, values in errors.mpjpe_mm.items()}


def floor_rows(base_name: str, body_model: Body, people: StudioPeople) -> dict[str, float]:
    """The rows of `lifting_rows`, and the same with PA-MPJPE: {"name.metric": mm}."""
    data = known(body_model, people)
    errors = lifting_errors(load_liftings(base_name), body_model, data.seen, data.truth)._asdict()
    return {f"{name}.{metric}": float(v.mean()) for metric, by in errors.items() for name, v in by.items()}


def sure_rows(base_name: str, body_model: Body, people: StudioPeople, result: Path) -> dict[str, float]:
    """MPJPE, mm, on the people whose detection is sure, and the percentage of such people."""
    data = known(body_model, people)
    sure = sure_detections(data.seen)
    errors = dict(lifting_errors(load_liftings(base_name), body_model, data.seen, data.truth).mpjpe_mm)
    with np.load(result) as kept:
        errors |= {e: kept[f"{e}/mpjpe_mm"] for e in ("zero_noise", "best_of_g")}
    means = {f"{name}.mpjpe_mm": float(values[sure].mean()) for name, values in errors.items()}
    return {"people_percent": 100 * float(sure.mean()), **means}


def wild_errors(body_model: Body) -> Callable[[Group], NDArray[np.float64]]:
    """A function that gives the true errors (G,) of a group of `wild`, mm, NaN for other photographs; for the oracle
    critic.
    """

    def errors(group: Group) -> NDArray[np.float64]:
        scene = re.fullmatch(r"wild-(\d+)", Path(group.person.photo).stem)
        if scene is None:  # one of the free photographs: no truth
            return np.full(len(group), np.nan)
        truth = truths(body_model, "wild", [int(scene[1])], purpose="oracle critic")
        true = body_model.points(*map(torch.from_numpy, (truth.rotations, truth.betas, truth.translation))).joints
        return joint_errors(torch.from_numpy(group.joints)[None], true)[0][0]

    return errors

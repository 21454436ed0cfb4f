"""Stage 6: errors of a model on people with truth, and those of plain lifting for comparison."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.skeleton import JOINT_NAMES
from hmr.detection.photograph import read_photograph
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
    TrueJoints,
    evaluate_groups,
    in_parts,
    joined,
    joint_errors,
    pose_groups,
    some_of,
    true_joints,
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
from tasks.data.imported_people import ImportedPeople, look_at_records, measurable_people
from tasks.data.record_people import RECORDS, read_found
from tasks.data.truth import record_truth
from tasks.photographs import save_scenes
from tasks.run.devices import compute_for
from tasks.run.settings import Benchmark, CriticSection, OverlaySection, Sample, SettingsError
from tasks.run.shard_task import task
from tasks.sampling import body, groups_from, model, observe, sampler_settings
from tasks.scoring import judge_all, make_critic


class StudioPeople(NamedTuple):
    """A studio split: its name, its number of scenes, and the folder with its cached detections."""

    split: Split
    count: int  # type: ignore[assignment]  # hides the tuple's method of this name
    cache: Path
    processes: int = 1


BenchmarkPeople = StudioPeople | ImportedPeople
"""People with truth: of the studio, or the user's own."""


class Known(NamedTuple):
    """People with their ground truth, for measuring only; n rows."""

    seen: SeenPeople
    truth: KnownPeople
    people: list[Person]  # as critics may see them
    ids: list[str]  # that their noise is drawn by
    chosen: int  # scenes or records that they were found in
    about: dict[str, str]  # what they are measured against

    def rows(self, some: slice) -> "Known":
        """The people of a slice."""
        truth = KnownPeople(some_of(self.truth.bodies, some), self.truth.camera[some])
        seen = SeenPeople._make(part[some] for part in self.seen)
        return self._replace(seen=seen, truth=truth, people=self.people[some], ids=self.ids[some])

    def placed(self, camera: torch.Tensor) -> list[Person]:
        """The people as seen by other cameras (n, 4), px."""
        return [replace(person, camera=camera[k].numpy().copy()) for k, person in enumerate(self.people)]


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

_KNOWN: dict[tuple[Any, ...], tuple[Body, Known]] = {}


def known(body_model: Body, people: BenchmarkPeople, purpose: Purpose = "benchmark") -> Known:
    """Detections and truth of people, kept in memory for the process.

    Raises SettingsError for the user's own people if none of them can be measured.
    """
    key = (people, id(body_model)) if isinstance(people, ImportedPeople) else (*people[:2], str(people.cache))
    if key not in _KNOWN:
        _KNOWN[key] = body_model, _known(body_model, people, purpose)  # the body is held, so that its id stays its own
    return _KNOWN[key][1]


def _known(body_model: Body, people: BenchmarkPeople, purpose: Purpose) -> Known:
    if isinstance(people, ImportedPeople):
        found = measurable_people(body_model, people)
        ids = [person.group_id for person in found.people]
        return Known(seen_of(found.people), found.truth, found.people, ids, found.found.chosen, found.about)
    seen = see_split(people.split, people.count, people.cache, processes=people.processes)
    return known_of_studio(people, seen, known_people(body_model, people.split, seen, purpose=purpose))


def known_of_studio(people: StudioPeople, seen: SeenPeople, truth: KnownPeople) -> Known:
    """People of a split as they were seen, with their truth."""
    ids = [f"{people.split}-{k}" for k in seen.index]
    about = {"truth": "bodies (studio)", "root": "pelvis", "joints": "14"}
    return Known(seen, truth, person_records(people, seen), ids, people.count, about)


def seen_of(people: Sequence[Person]) -> SeenPeople:
    """What detection saw of people, as arrays; their index is their place."""
    unseen = np.full((33, 7), np.nan, np.float32)
    return SeenPeople(
        np.arange(len(people)),
        np.stack([person.picture for person in people]),
        np.stack([person.mask for person in people]),
        np.stack([person.landmarks for person in people]),
        np.stack([person.world_landmarks for person in people]),
        np.stack([person.crop for person in people]),
        np.stack([person.camera for person in people]),
        np.stack([unseen if person.second_look is None else person.second_look for person in people]),
    )


@task(task_run_name="look at {people.split}")
def look_at(people: BenchmarkPeople) -> int:
    """Detect the people in a split's photographs, which are drawn first if they are the studio's; returns how many
    were found.

    Raises SettingsError for records that cannot be used.
    """
    if isinstance(people, ImportedPeople):
        found = look_at_records(people)
        return len(read_found(found.folder, found.shards)[0])
    return len(see_split(people.split, people.count, people.cache, processes=people.processes).index)


def framing(known: Known, betas: torch.Tensor, how: Decoding, body_model: Body, protocol: Protocol = "fit") -> Framing:
    """How a split's diffused vectors become bodies.

    `fit` uses the camera guessed from the picture and fits the root's depth. `published` takes camera and root depth
    from the ground truth, as the published evaluations do: that much of the answer is given away. betas: (n, 10) shape
    coefficients. Raises SettingsError for `published` if camera or depth of somebody are not known.
    """
    crop = torch.from_numpy(known.seen.crop)
    if protocol == "fit":
        return Framing(betas, torch.from_numpy(known.seen.camera), crop, how)
    camera, depth = true_placement(known.truth, body_model)
    return Framing(betas, camera, crop, how, depth)


def true_placement(truth: KnownPeople, body_model: Body) -> tuple[torch.Tensor, torch.Tensor]:
    """True cameras (n, 4), px, and depths of the pelvis (n,), metres.

    Raises SettingsError if one of them is not known for everybody.
    """
    depth = true_joints(body_model, truth.bodies)[:, 0, 2]
    away = isinstance(truth.bodies, TrueJoints) and not bool(truth.bodies.placed.all())
    if away or not bool(truth.camera.isfinite().all() & depth.isfinite().all()):
        raise SettingsError(
            "[benchmark] protocol = 'published' places bodies with the true camera and root depth, and these records "
            "do not tell them for everybody: set protocol = 'fit'"
        )
    return truth.camera, depth


def encode_split(base: HmrModel, body_model: Body, people: BenchmarkPeople, compute: Compute = ON_CPU) -> Condition:
    """The encoder's output for the people of a split; alignment with a frozen encoder never changes it."""
    return _encoded(base, known(body_model, people), compute)


def _encoded(base: HmrModel, data: Known, compute: Compute) -> Condition:
    return encode(base, observe(data.people, base.picture_side), compute)


@torch.no_grad()
def draw_people(
    base: HmrModel, body_model: Body, people: BenchmarkPeople, *, hypotheses: int,
    sampler: SamplerSettings | None = None, protocol: Protocol = "fit", compute: Compute = ON_CPU,
    condition: Condition | None = None, some: slice = EVERYBODY,
) -> DrawnPeople:  # fmt: skip
    """Draw groups for a split, always from the same noise, and pose them (metres, camera frame).

    sampler: None = the model's own. condition: the result of `encode_split`, for models that share an encoder; None =
    computed here. some: a slice of the people.
    """
    data = known(body_model, people).rows(some)
    details = _encoded(base, data, compute) if condition is None else condition
    sampler = base.sampler if sampler is None else sampler
    seeds = torch.from_numpy(group_seeds(0, "benchmark", data.ids, hypotheses))
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


def choosing_critic(section: CriticSection, chosen: str | None = None, *, drawn_people: bool = False) -> CriticSection:
    """The critic that selects hypotheses in the benchmark: `chosen`, else the run's own.

    Evidence instead of one that knows the truth, and, unless it is `chosen`, of one that asks a server about the
    studio's drawn people: nobody pays for those unasked.
    """
    unasked = chosen is None and drawn_people and section.asks_server
    section = section.named(chosen or section.name)
    return section.named("evidence") if section.needs_truth or unasked else section


def benchmark_sampler(sample: Sample, base: HmrModel) -> SamplerSettings:
    """The run's sampler at temperature 1, the model's own spread."""
    return sampler_settings(sample.at_own_spread, base.sampler)


@task(task_run_name="benchmark {people.split}: {name}")
def benchmark_model(
    name: str,
    model_path: str,
    body_path: Path | None,
    people: BenchmarkPeople,
    section: Benchmark,
    sample: Sample,
    critic_section: CriticSection,
    overlay: OverlaySection,
    result: Path,
    folder: Path | None = None,
    processes: int = 1,
) -> Path:
    """Measure a model on a split and write per-person errors (mm) to `result` (.npz); an existing result is kept.

    Groups are drawn with the solver, device and precision of `sample`, at temperature 1. The critic that chooses is
    asked within its budget; where it could not answer for a passing reason, the next call asks again. folder: of the
    run, where paid answers are kept, and pictures of the studio for a critic that looks.
    """
    kept = read_again(result, _arrays)
    if kept is not None and not kept.get("pending", np.zeros(1)).any():
        return result
    base, body_model = model(model_path), body(body_path)
    sampler = benchmark_sampler(sample, base)
    chooses = choosing_critic(critic_section, section.critic, drawn_people=isinstance(people, StudioPeople))
    critic = make_critic(chooses, seed=0, folder=folder)
    pending = 0

    def measured(some: slice) -> tuple[Evaluation, NDArray[np.float64]]:
        drawn = draw_people(
            base, body_model, people, hypotheses=section.hypotheses, sampler=sampler, protocol=section.protocol,
            compute=compute_for(sample), some=some,
        )  # fmt: skip
        view, records = drawn.framing, drawn.known.placed(drawn.framing.camera)
        if critic.needs_pictures and isinstance(people, StudioPeople):
            records = with_scenes(people.split, records, (folder or result.parent) / "scenes")
        groups = groups_from(
            records, drawn.latents, drawn.posed, view.betas, body_model, base.digest(), sampler.temperature,
            drawn.seeds.numpy(),
        )  # fmt: skip
        verdicts = judge_all(groups, critic, body_path, overlay, processes)
        nonlocal pending
        pending += sum(verdict.pending for verdict in verdicts)
        scores = np.stack([verdict.scores for verdict in verdicts])
        return evaluate_people(body_model, drawn, vertices=True, scores=scores), scores

    data = known(body_model, people)
    index = data.seen.index
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
            scenes=data.chosen, critic=critic.name, digest=base.digest(), scores=scores, protocol=section.protocol,
            pending=pending, about=json.dumps(data.about),
        )  # fmt: skip
    return result


def with_scenes(split: Split, people: list[Person], folder: Path) -> list[Person]:
    """Studio people with their scenes drawn as files, for critics that look."""
    save_scenes(split, [int(person.group_id.rsplit("-", 1)[1]) for person in people], folder)
    paths = [folder / f"{person.group_id}.png" for person in people]
    return [
        replace(person, photo=str(path.absolute()), photo_sha256=read_photograph(path).sha256)
        for person, path in zip(people, paths)
    ]


def _arrays(path: Path) -> dict[str, NDArray]:
    """All of an .npz file; reading an array checks its checksum."""
    with path.open("rb") as file, np.load(file) as kept:  # numpy leaves a damaged file open that it opened itself
        return {name: kept[name] for name in kept.files}


def table(result: Path) -> dict[str, dict[str, float]]:
    """Means over people of a result file: {estimate: {metric: mm}}, of the metrics that the truth allows."""
    with np.load(result) as kept:
        return {e: {m: float(kept[f"{e}/{m}"].mean()) for m in _measured(kept)} for e in ESTIMATES}


def measured_against(result: Path) -> dict[str, Any]:
    """What the errors of a result file are taken to, and how many people the choosing critic could judge."""
    with np.load(result) as kept:
        about = json.loads(str(kept["about"])) if "about" in kept else {}
        judged = float(np.isfinite(kept["scores"]).any(1).mean()) if "scores" in kept else 1.0
        return {**about, "judged_percent": 100 * judged}


def _measured(kept: Mapping[str, NDArray]) -> list[str]:
    return [metric for metric in METRICS if not np.isnan(kept[f"zero_noise/{metric}"]).any()]


def compare(before: Path, after: Path, resamples: int) -> dict[str, dict[str, dict[str, float]]]:
    """Improvement in percent with a 95 % bootstrap interval over people: {estimate: {metric: {value, low, high}}}."""
    with np.load(before) as old, np.load(after) as new:
        return {
            e: {m: _interval(old[f"{e}/{m}"], new[f"{e}/{m}"], resamples) for m in _measured(old)} for e in ESTIMATES
        }


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
        found = {name: _mean(kept[name]) for name in ("srcc", "krcc", "plcc") if np.isfinite(kept[name]).any()}
        return {**found, "critic": str(kept["critic"]), "groups": len(kept["index"])}


def extras(result: Path) -> dict[str, float]:
    """The other numbers of a result file."""
    with np.load(result) as kept:
        pixels = {"keypoint_px": _mean(kept["keypoint_px"])} if np.isfinite(kept["keypoint_px"]).any() else {}
        return pixels | {
            "diversity_mm": float(kept["diversity_mm"].mean()),
            "spread_mm": float(kept["group_mpjpe_mm"].std(1).mean()),
            "people": len(kept["index"]),
            "detected_percent": 100 * len(kept["index"]) / int(kept["scenes"]),
        }


def _mean(values: NDArray) -> float:
    return float(np.nanmean(values))


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


def lifting_rows(base_name: str, body_model: Body, people: BenchmarkPeople) -> dict[str, float]:
    """MPJPE, mm, of methods without diffusion: the mean pose and both linear liftings fitted on the base's training
    data.
    """
    data = known(body_model, people)
    errors = lifting_errors(load_liftings(base_name), body_model, data.seen, data.truth)
    return {name: float(values.mean()) for name, values in errors.mpjpe_mm.items()}


def floor_rows(base_name: str, body_model: Body, people: BenchmarkPeople) -> dict[str, float]:
    """The rows of `lifting_rows`, and the same with PA-MPJPE: {"name.metric": mm}."""
    data = known(body_model, people)
    errors = lifting_errors(load_liftings(base_name), body_model, data.seen, data.truth)._asdict()
    return {f"{name}.{metric}": float(v.mean()) for metric, by in errors.items() for name, v in by.items()}


def sure_rows(base_name: str, body_model: Body, people: BenchmarkPeople, result: Path) -> dict[str, float]:
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


def record_errors(body_model: Body, folder: Path) -> Callable[[Group], NDArray[np.float64]]:
    """The same for a run in `folder` on the user's records: NaN for people whose records tell no joints in space."""
    known: dict[str, torch.Tensor] = {}

    def errors(group: Group) -> NDArray[np.float64]:
        key = group.person.group_id
        if key not in known:  # read once, when the first group is judged
            for file in sorted((folder / RECORDS).glob("*.parquet")):
                known.update(_true_joints(body_model, file))
        if key not in known:
            return np.full(len(group), np.nan)
        return joint_errors(torch.from_numpy(group.joints)[None], known[key][None])[0][0]

    return errors


def _true_joints(body_model: Body, file: Path) -> dict[str, torch.Tensor]:
    """True joints (29, 3) by group id, of those people of a shard whose records tell enough of them."""
    records = pq.read_table(file)
    truth = record_truth(body_model, records)
    if not truth.kept.any():
        return {}
    ids = np.array(records["group_id"].to_pylist(), object)[truth.kept]
    return dict(zip(ids, true_joints(body_model, truth.people.bodies)))

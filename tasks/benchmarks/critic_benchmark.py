"""The critic benchmark: how well a critic's scores follow the true errors, on groups of people with known truth.

Two kinds of groups, always named: `perturbed` (noise about the truth, the published protocol, with the true camera)
and `model` (drawn by a base model, as in alignment: much harder). The people are the embedded studio's, or
those of a dataset that the user brings (`instances`), whose groups are measured by three errors instead of one.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from critique.critic import Critic
from critique.scorer import USED_BY
from hmr.body.body import Body
from hmr.body.rotations import rotation_matrices
from hmr.metrics.critic_quality import GAPS_MM, calibrated, pair_accuracy, pooled_correlation, top_regret
from hmr.metrics.evaluation import PosedGroups, TrueBodies, group_errors, joint_errors, true_joints
from hmr.metrics.perturbation import mixed_levels, perturb
from hmr.metrics.pose_metrics import Interval, bootstrap_interval, rank_correlations
from hmr.models.base_model import HmrModel
from hmr.pretraining.labels import KnownPeople
from hmr.studio.studio import Split
from storage.records import DrawnGroup, Group, Person, Verdict
from tasks.benchmarking import BenchmarkPeople, Known, draw_people, known, with_scenes
from tasks.groups.instances import SeenInstances, seen_by_true_camera
from tasks.groups.known_groups import known_group
from tasks.rendering import draw_group
from tasks.run.settings import CriticSection, Sample, SettingsError
from tasks.sampling import groups_from, sample_hypotheses

Kind = Literal["perturbed", "model"]
KINDS: tuple[Kind, ...] = ("perturbed", "model")
SEED = 0
CHUNK = 32
"""People whose perturbed bodies are posed at once."""

Floats = NDArray[np.float64]
Row = dict[str, Any]


class NothingJudgedError(ValueError):
    """No hypothesis has a score, so there is nothing to measure; the message holds the critic's comment."""


class KnownGroups(NamedTuple):
    """Groups with the true errors of their hypotheses."""

    groups: list[Group]
    errors: Floats  # (image, hypothesis) mm
    others: Mapping[str, Floats] = {}  # PA-MPJPE as "pa" and PVE as "pve", same shape and unit, if measured

    def first(self, count: int | None) -> "KnownGroups":
        """The first `count` groups; None = all."""
        others = {name: errors[:count] for name, errors in self.others.items()}
        return KnownGroups(self.groups[:count], self.errors[:count], others)

    def by_person(self) -> dict[str, Floats]:
        """The errors (G,) of each group, mm, by its person's id: for the oracle critic."""
        return {group.person.group_id: errors for group, errors in zip(self.groups, self.errors)}


class Judged(NamedTuple):
    """A critic's verdicts on groups, stacked."""

    critic: str
    scores: Floats  # (image, hypothesis) 0-100, NaN = abstained
    seconds: Floats  # (image,)
    cost: Floats  # (image,) money


@torch.no_grad()
def model_groups(
    base: HmrModel, body_model: Body, people: BenchmarkPeople, *, hypotheses: int, temperature: int | float = 1.0
) -> KnownGroups:
    """Groups drawn by a model for a split, as in the benchmark of models, with their errors, mm."""
    sampler = replace(base.sampler, temperature=temperature * base.sampler.temperature)
    drawn = draw_people(base, body_model, people, hypotheses=hypotheses, sampler=sampler)
    groups = groups_from(
        drawn.known.people, drawn.latents, drawn.posed, drawn.framing.betas, body_model, base.digest(), temperature,
        drawn.seeds.numpy(),
    )  # fmt: skip
    return KnownGroups(groups, joint_errors(drawn.posed.joints, true_joints(body_model, drawn.known.truth.bodies))[0])


def perturbed_groups(
    body_model: Body, people: BenchmarkPeople, *, hypotheses: int, level: float | None = None
) -> KnownGroups:
    """True bodies of a split with added noise of mixed levels (or of one), always the same noise; with the true
    camera. Raises SettingsError for people of whom no bodies or no camera are known.
    """
    data = known(body_model, people)
    if not can_be_perturbed(data):
        raise SettingsError(
            "perturbed groups are made of true bodies, and of these records only joints are known, or no camera: take "
            "--groups model, or records with parameters of the body in use ([base] body)"
        )
    records = data.placed(data.truth.camera)
    return perturbed_about(body_model, records, data.truth.whole, hypotheses=hypotheses, level=level)


def can_be_perturbed(data: Known) -> bool:
    """Whether true bodies and cameras of all people are known."""
    return isinstance(data.truth.bodies, TrueBodies) and bool(data.truth.camera.isfinite().all())


@torch.no_grad()
def perturbed_about(
    body_model: Body, people: Sequence[Person], truth: TrueBodies, *, hypotheses: int, level: float | None = None
) -> KnownGroups:
    """The true bodies of people with added noise of mixed levels (or of one), always the same noise; errors in mm."""
    random = torch.Generator().manual_seed(SEED)
    count = len(people)
    levels = mixed_levels(count, hypotheses, random) if level is None else torch.full((count, hypotheses), level)
    bodies = perturb(truth, levels, random)
    groups, errors = [], []
    for some in torch.arange(count).split(CHUNK):
        found = [
            known_group(body_model, people[int(k)], *(part[k] for part in bodies), made_by="perturbed truth")
            for k in some
        ]
        true = body_model.points(*TrueBodies(*(part[some] for part in truth))).joints
        joints = torch.stack([torch.from_numpy(group.joints) for group in found])
        groups += found
        errors.append(joint_errors(joints, true)[0])
    return KnownGroups(groups, np.concatenate(errors))


def perturbed_instances(body_model: Body, seen: SeenInstances, *, hypotheses: int, level: float | None) -> KnownGroups:
    """`perturbed_about` for people of a dataset, with the true camera and all three errors, mm."""
    people = seen_by_true_camera(seen)
    made = perturbed_about(body_model, people, seen.truth.whole, hypotheses=hypotheses, level=level)
    return with_all_errors(body_model, made.groups, seen.truth)


def model_instances(base: HmrModel, body_model: Body, seen: SeenInstances, sample: Sample) -> KnownGroups:
    """Groups drawn for people of a dataset as for any photograph, with the camera as guessed, and all three
    errors, mm.
    """
    parts = [seen.people[k : k + CHUNK] for k in range(0, len(seen.people), CHUNK)]
    groups = [
        group
        for part in parts
        for group in sample_hypotheses(part, base, body_model, sample, seed=SEED, draw="benchmark")
    ]
    return with_all_errors(body_model, groups, seen.truth)


def with_all_errors(body_model: Body, groups: list[Group], truth: KnownPeople) -> KnownGroups:
    """The groups with MPJPE, PA-MPJPE and PVE, mm; one group for each true body."""
    pose, translation, joints, betas = (
        torch.from_numpy(np.stack([getattr(group, name) for group in groups]))
        for name in ("pose", "translation", "joints", "betas")
    )
    posed = PosedGroups(rotation_matrices(pose), translation, joints)
    errors = group_errors(body_model, truth.bodies, posed, betas)
    return KnownGroups(groups, errors.mpjpe_mm, {"pa": errors.pa_mpjpe_mm, "pve": errors.pve_mm})


def photographed(known: KnownGroups, split: Split, folder: Path) -> KnownGroups:
    """The groups of studio people with their scenes drawn as files, for critics that look; everything else is
    unchanged.
    """
    people = with_scenes(split, [group.person for group in known.groups], folder)
    return known._replace(groups=[replace(group, person=one) for group, one in zip(known.groups, people)])


def judge_drawn(body_model: Body, groups: Iterable[Group], critics: Mapping[str, Critic]) -> dict[str, Judged]:
    """Verdicts of several critics on the same groups; each group is drawn once, without pictures.

    The seconds count only judging, not the drawing, which all critics share.
    """
    found: dict[str, list[Verdict]] = {name: [] for name in critics}
    for group in groups:
        drawn = draw_group(body_model, group)
        for name, critic in critics.items():
            found[name].append(_timed(critic, drawn))
    return {name: stacked(verdicts) for name, verdicts in found.items()}


def stacked(verdicts: list[Verdict]) -> Judged:
    """Verdicts of one critic on groups of the same size, as arrays. Raises NothingJudgedError if none has a score."""
    if all(np.isnan(verdict.scores).all() for verdict in verdicts):
        first = verdicts[0]
        raise NothingJudgedError(
            f"critic '{first.critic}' gave none of {len(verdicts)} groups a score, so there is nothing to measure: "
            f"{first.comments[0] or first.statuses[0]}"
        )
    return Judged(
        verdicts[0].critic,
        np.stack([v.scores for v in verdicts]),
        np.array([v.seconds for v in verdicts]),
        np.array([v.cost for v in verdicts]),
    )


def _timed(critic: Critic, drawn: DrawnGroup) -> Verdict:
    start = time.perf_counter()
    verdict = critic.judge(drawn)
    return verdict if verdict.seconds else replace(verdict, seconds=time.perf_counter() - start)


def ablated(section: CriticSection) -> dict[str, CriticSection]:
    """The evidence critic without each kind of evidence in turn; the scorer also without its regression.

    Raises SettingsError for any other critic.
    """
    if section.name == "scorer":
        gone = section.scorer.get("without", ())
        less = {part: section.scorer | {"without": (*gone, part)} for part in USED_BY}
        return {part: section.model_copy(update={"scorer": settings}) for part, settings in less.items()}
    if section.name == "evidence":
        return {
            part: section.model_copy(update={"evidence": section.evidence | dict.fromkeys(checks, 0.0)})
            for part, checks in USED_BY.items()
            if checks
        }
    raise SettingsError(f"critic '{section.name}' has no parts to leave out; ablations are of evidence and scorer")


def measure(
    judged: Judged, errors: Floats, kind: Kind, resamples: int, without: str = "", others: Mapping[str, Floats] = {}
) -> list[Row]:
    """All numbers of one critic on one kind of groups, with 95 % bootstrap intervals over people.

    PLCC is taken over all hypotheses after `calibrated`; everything else within groups, then averaged over groups.
    Metrics are `critic.srcc` for perturbed groups and `critic.model_srcc` for a model's, `critic.without_mask.srcc` for
    an ablation. `errors` (image, hypothesis) are MPJPE, mm; correlations with `others` are named after them,
    `critic.srcc_pve`.
    """
    rows = _measured(judged, errors, kind, resamples, without)
    for name, values in others.items():
        for row in _correlations(judged, values, kind, resamples, without):
            rows.append(row | {"metric": f"{row['metric']}_{name}"})
    return rows


def _correlations(judged: Judged, errors: Floats, kind: Kind, resamples: int, without: str) -> list[Row]:
    """PLCC, SRCC and KRCC of the scores with one error; a correlation that no group has is left out."""
    ranks = rank_correlations(judged.scores, errors)
    plcc = pooled_correlation(calibrated(judged.scores, errors), errors, SEED, resamples=resamples)
    rows = [_row(judged, kind, without, "plcc", plcc, "")]
    for name, values in (("srcc", ranks.srcc), ("krcc", ranks.krcc)):
        if not np.isnan(values).all():
            rows.append(_row(judged, kind, without, name, _interval(values, resamples), ""))
    return rows


def _measured(judged: Judged, errors: Floats, kind: Kind, resamples: int, without: str) -> list[Row]:
    pairs = pair_accuracy(judged.scores, errors)
    regret = top_regret(judged.scores, errors)
    spread = np.nanstd(np.where(np.isnan(judged.scores).all(1, keepdims=True), 0, judged.scores), axis=1)
    details = ~np.isnan(judged.scores)
    bounds = [*(f"{gap:g}" for gap in GAPS_MM), "inf"]
    by_image: dict[str, tuple[Floats, str]] = {
        "pair_accuracy": (pairs.accuracy, ""),
        **{
            f"pair_accuracy_{low}_to_{high}_mm": (pairs.by_gap[:, k], "")
            for k, (low, high) in enumerate(pairwise(bounds))
        },
        "top1_regret_mm": (regret.chosen, "mm"),
        "random_regret_mm": (regret.random, "mm"),
        "chosen_mm": (regret.chosen + errors.min(1), "mm"),
        "mean_mm": (errors.mean(1), "mm"),
        "best_mm": (errors.min(1), "mm"),
        "zero_spread_rate": (np.where(details.any(1), spread == 0, False).astype(np.float64), ""),
        "failure_rate": (1.0 - details.mean(1), ""),
        "seconds_per_group": (judged.seconds, "s"),
        "cost_per_group": (judged.cost, ""),
    }
    rows = _correlations(judged, errors, kind, resamples, without)
    for name, (values, unit) in by_image.items():
        if not np.isnan(values).all():
            rows.append(_row(judged, kind, without, name, _interval(values, resamples), unit))
    return rows


def _interval(values: Floats, resamples: int) -> Interval:
    if resamples:
        return bootstrap_interval(values, SEED, resamples=resamples)
    mean = float(np.nanmean(values))
    return Interval(mean, mean, mean, int((~np.isnan(values)).sum()))


def _row(judged: Judged, kind: Kind, without: str, name: str, found: Interval, unit: str) -> Row:
    part = f"without_{without}." if without else ""
    metric = f"critic.{part}{'model_' if kind == 'model' else ''}{name}"
    return {
        "metric": metric, "value": found.estimate, "unit": unit, "baseline": None, "ratio": None,
        "low": found.low, "high": found.high, "images": found.images,
        "critic": judged.critic, "groups": kind, "without": without,
    }  # fmt: skip

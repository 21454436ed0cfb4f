"""A critic without a language model: compares each hypothesis with what was detected in the photograph.

The evidence is what the networks detected (landmarks, world landmarks, mask; the second look of a larger network, which
no base reads), where labelled people have their joints of whom the networks saw the same (`joints_in_space`, the
heaviest check), and what bodies can do (joint limits, limb lengths, penetration, balance, ground contact). The critic
never sees the ground truth of the people whom it judges, draws nothing and is deterministic. There is no check of
symmetry: a parametric body is symmetric by construction, and a limb that the sampler drew too long on one side is
reported by `limb_lengths`.

Score. With penalty c_k of check k (0..1), its evidence e_k (0..1), a scale s_k and a weight w_k,

    total_i = sum_k w_k e_k c_ki / s_k,    score_i = ceiling_i / (1 + exp((total_i - median) / spread)),

with median and spread (1.4826 x median absolute deviation, at least LEAST_SPREAD) of the group's totals. So scores
spread within a group and are not comparable across groups, except for the ceiling of a body that misses the person
(`critique/ceiling.py`). If all totals of a group are equal, each scores half of its ceiling.

Weights, scales and the offsets from landmarks to our keypoints are fitted on labelled `broad` people of the studio,
whom no base was trained on, by deploy/assets/build_evidence.py (`assets/evidence.json`). The weights are fitted so that
the total follows the rank of the error inside groups. Every check keeps a minimum weight, because few hypotheses have
the fault that it detects, unless it ranks some groups worse than chance: then it is off by default. `check_table` gives
e_k c_ki, the numbers that enter the sum. Give the critic a new version when a constant changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from critique.ceiling import ceilings
from critique.checks.balance import balance
from critique.checks.depth_order import depth_order
from critique.checks.finding import Finding
from critique.checks.fitted import fitted
from critique.checks.ground_contact import ground_contact
from critique.checks.joint_limits import joint_limits
from critique.checks.joints_in_space import joints_in_space
from critique.checks.limb_lengths import limb_lengths
from critique.checks.orientation import orientation
from critique.checks.penetration import penetration
from critique.checks.reprojection import reprojection
from critique.checks.silhouette import silhouette
from critique.checks.world_distance import world_distance
from critique.critic import as_verdict
from storage.records import DrawnGroup, Group, Verdict

Floats = NDArray[np.float64]
Check = Callable[[DrawnGroup], Finding]
Weight = Annotated[float, Field(ge=0)]

CHECKS: dict[str, Check] = {
    "orientation": orientation,
    "joint_limits": joint_limits,
    "reprojection": reprojection,
    "depth_order": depth_order,
    "joints_in_space": joints_in_space,
    "world_distance": world_distance,
    "silhouette": silhouette,
    "penetration": penetration,
    "limb_lengths": limb_lengths,
    "balance": balance,
    "ground_contact": ground_contact,
}
"""All checks, the most basic fault first: comments prefer it (a body that faces the wrong way has wrong wrists too)."""

SEES = ("reprojection", "silhouette", "depth_order", "joints_in_space", "world_distance", "orientation")
"""Checks that use the photograph's evidence; if some are on and none has any evidence, the critic abstains."""

OURS = ("limb_lengths",)
"""Checks of hypotheses that our sampler drew."""

POSED = ("joint_limits", "joints_in_space", "penetration", "balance")
"""Checks that need all joints and their rotations."""

SCALES = {name: fitted().scales.get(name, 1.0) for name in CHECKS}
"""Standard deviation of a penalty inside a group; constant, so that a verdict depends on one group alone."""

LEAST_SPREAD = 0.05
"""Smallest spread of totals (no unit): a group with less counts as a group of equals."""

ABOUT = 0.85
"""Share of the largest severity from which on a fault counts as equally severe."""

PLAIN = 0.2
"""Severity (0..1) below which a fault is not named in a comment."""

UNSEEN = ("limb_lengths",)
"""Checks of faults that are not visible in the mesh: named only if no other fault reaches PLAIN."""

NO_FAULT = "no plain fault: follows the photograph"


def _shipped(name: str) -> float:
    return fitted().weights.get(name, 0.0)


class EvidenceSettings(BaseModel):
    """Weight of each check in the sum, no unit; the defaults are fitted, 0 switches a check off."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reprojection: Weight = _shipped("reprojection")
    silhouette: Weight = _shipped("silhouette")
    depth_order: Weight = _shipped("depth_order")
    joints_in_space: Weight = _shipped("joints_in_space")
    world_distance: Weight = _shipped("world_distance")
    orientation: Weight = _shipped("orientation")
    limb_lengths: Weight = _shipped("limb_lengths")
    joint_limits: Weight = _shipped("joint_limits")
    penetration: Weight = _shipped("penetration")
    balance: Weight = _shipped("balance")
    ground_contact: Weight = _shipped("ground_contact")

    def active(self) -> dict[str, float]:
        """The checks that are on, with their weights."""
        return {name: weight for name in CHECKS if (weight := getattr(self, name)) > 0}


@dataclass(frozen=True)
class EvidenceCritic:
    """Critic: agreement with the detections, and plausibility. A group takes a few milliseconds."""

    settings: EvidenceSettings = field(default_factory=EvidenceSettings)
    name: str = "evidence@4"
    needs_pictures: bool = False

    def judge(self, group: DrawnGroup) -> Verdict:
        """A verdict; abstains on the whole group without evidence, and on hypotheses with NaN or infinite values."""
        sound = finite(group)
        scores = np.full(len(group.group), np.nan)
        comments = ["the hypothesis holds numbers that are not finite"] * len(group.group)
        judged = np.flatnonzero(sound)
        if len(judged):
            some = group if sound.all() else members(group, judged)
            weights = comparable(self.settings.active(), some.group)
            findings = {name: CHECKS[name](some) for name in weights}
            seeing = [findings[name] for name in SEES if name in findings]
            if not seeing or any(finding.evidence > 0 for finding in seeing):
                highest, misses = ceilings(some, weights)
                scores[judged] = spread(totals(findings, weights)) * highest / 100
                details = in_words(findings, misses)
            else:
                details = ["no visible landmark and no mask: nothing to judge by"] * len(judged)
            for index, comment in zip(judged, details):
                comments[index] = comment
        return as_verdict(group.group, self.name, scores, comments)


def comparable(weights: dict[str, float], group: Group) -> dict[str, float]:
    """The checks that judge all hypotheses of a group alike, with their weights.

    How far a sampler stretched its joints is told of our own hypotheses alone, and a mesh has no pose.
    """
    left_out = OURS if group.made_by else ()
    left_out = (*left_out, *POSED) if not group.posed.all() else left_out
    return {name: weight for name, weight in weights.items() if name not in left_out}


def check_table(group: DrawnGroup) -> dict[str, Floats]:
    """(G,) evidence times penalty, 0 to 1, of every check, the numbers that `totals` weighs; for calibration.

    All hypotheses of the group must be finite; see `finite` and `members`.
    """
    findings = {name: check(group) for name, check in CHECKS.items()}
    return {name: finding.evidence * finding.penalty for name, finding in findings.items()}


def totals(findings: dict[str, Finding], weights: dict[str, float]) -> Floats:
    """(G,) sum of the scaled penalties times their weights, no unit; 0 = no fault."""
    parts = [weights[name] * found.evidence / SCALES[name] * found.penalty for name, found in findings.items()]
    return np.sum(parts, axis=0)


def spread(total: Floats) -> Floats:
    """(G,) scores 0-100 that fall with `total` (G,) and spread over the group; equal totals get 50."""
    median = np.median(total)
    deviation = max(1.4826 * float(np.median(np.abs(total - median))), LEAST_SPREAD)
    return 100 / (1 + np.exp(np.clip((total - median) / deviation, -30, 30)))


def worst_faults(findings: dict[str, Finding]) -> list[str]:
    """For every hypothesis its most severe fault as text; if several are about as severe, that of the first check."""
    names = list(findings)
    severities = np.stack([findings[name].severity * findings[name].evidence for name in names])
    unseen = np.isin(names, UNSEEN)
    severities[unseen] *= ~(severities[~unseen] >= PLAIN).any(0)
    about_worst = severities >= ABOUT * severities.max(0)
    return [
        findings[names[worst]].comment(index) if severities[worst, index] >= PLAIN else NO_FAULT
        for index, worst in enumerate(about_worst.argmax(0))
    ]


def in_words(findings: dict[str, Finding], misses: list[str]) -> list[str]:
    """For every hypothesis its comment: that it misses the person, if it does, and its worst fault.

    misses: for each hypothesis the text of `ceilings`, "" if it does not miss the person.
    """
    details = zip(misses, worst_faults(findings))
    return [fault if not miss else miss if fault == NO_FAULT else f"{miss}; {fault}" for miss, fault in details]


def finite(group: DrawnGroup) -> NDArray[np.bool_]:
    """(G,) whether pose, translation, joints and keypoints of a hypothesis are all finite; of a mesh, its keypoints."""
    arrays = (group.group.pose, group.group.translation, group.group.joints, group.group.keypoints)
    sound = [np.isfinite(array).reshape(len(array), -1).all(1) for array in arrays]
    return np.where(group.group.posed, np.all(sound, axis=0), sound[-1])


def members(group: DrawnGroup, chosen: NDArray[np.intp]) -> DrawnGroup:
    """The drawn group reduced to the hypotheses with indices `chosen` (n,), in that order; all units stay the same."""
    names = ("seeds", "zero_start", "synthetic", "latents", "pose", "translation", "joints", "keypoints")
    whole = group.group
    fewer = replace(
        whole,
        **{name: getattr(whole, name)[chosen] for name in names},
        made_by=tuple(whole.made_by[k] for k in chosen) if whole.made_by else (),
        shapes=None if whole.shapes is None else whole.shapes[chosen],
        meshes=tuple(whole.meshes[k] for k in chosen) if whole.meshes else (),
    )
    return replace(
        group,
        group=fewer,
        silhouettes=group.silhouettes[chosen],
        penetration=group.penetration[chosen],
        overlays=tuple(group.overlays[i] for i in chosen) if group.overlays else (),
        sides=tuple(group.sides[i] for i in chosen) if group.sides else (),
    )

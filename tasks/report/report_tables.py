"""A run's numbers for people: one sentence, rows of a table, a markdown page.

Every function takes the `summary` of a run (see `tasks.report.summary`) or a part of it. What was not measured,
None or NaN, becomes "n/a". An improvement is positive if the error became smaller.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeGuard

Summary = Mapping[str, Any]
Kind = Literal["better", "worse", "unsure", "same", "unknown"]

METRICS = {"mpjpe_mm": "MPJPE", "pa_mpjpe_mm": "PA-MPJPE", "pve_mm": "PVE"}
LIFTINGS = {
    "mean_pose": "no model: the mean pose",
    "lifting_places": "no model: what the lab base reads, lifted linearly",
    "lifting_landmarks": "no model: landmarks lifted linearly",
    "lifting_world": "no model: world landmarks lifted linearly",
    "lifting_everything": "no model: both lifted linearly",
}
HEADROOM = {"zero_noise": "zero noise", "best_of_g": "best of the group"}
PROTOCOLS = {
    "fit": "Bodies are placed without ground truth: the camera is guessed from the picture, the root’s depth fitted.",
    "published": "Published protocol: bodies are placed with the true camera and the true root depth, as the published "
    "evaluations do, which gives part of the answer away.",
}
PHOTOGRAPHS = {
    "keypoints_px": ("2-D distance to landmarks that the base did not read, px", 1, 1),
    "within_8px": ("within 8 px of them, % of people", 100, 0),
    "read_px": ("2-D distance to the landmarks that it read, px", 1, 1),
    "mask_iou": ("mask IoU, people whose whole body is seen", 1, 2),
    "mask_iou_all": ("mask IoU, all people", 1, 2),
}
"""For each key of `summary["photographs"]` (medians over people): its name, a factor, and the number of digits."""
NOTHING = "n/a"


def estimate_names(critic: str) -> dict[str, str]:
    """Names of the benchmark's estimates by key; `critic` is the one that selected, which may not be the run's own."""
    return {
        "zero_noise": "zero noise",
        "mean": "mean of the group",
        "medoid": "medoid of the group",
        "selected": f"chosen by {critic}",
        "fused": f"mean of the first five of {critic}",
        "best_of_g": "best of the group (oracle)",
    }


def chooser(summary: Summary) -> str:
    """Name and version of the critic that selected hypotheses in the benchmark."""
    return (summary.get("critic_quality") or {}).get("critic") or summary["critic"]


class Headline(NamedTuple):
    """The result of the benchmark in words."""

    kind: Kind
    sentence: str  # about the zero-noise error
    second: str  # about the best of the group


def known(value: float | None) -> TypeGuard[float]:
    """Whether a number was measured."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """A number as text, with a real minus sign and no negative zero."""
    if value is None or not math.isfinite(value):
        return NOTHING
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{digits}f}".replace("-", "−")


def percent(found: Mapping[str, float] | None, unit: str = " %") -> str:
    """An improvement {value, low, high} as text, with its interval if there is one: +5.8 % [+4.9, +6.7]."""
    if not found or not known(found.get("value")):
        return NOTHING
    text = f"{number(found['value'], signed=True)}{unit}"
    if known(found.get("low")) and known(found.get("high")):
        text += f" [{number(found['low'], signed=True)}, {number(found['high'], signed=True)}]"
    return text


def kind_of_change(found: Mapping[str, float] | None) -> Kind:
    """How an improvement {value, low, high} is to be called, given its interval."""
    if not found or not known(found.get("value")):
        return "unknown"
    low, high = found.get("low"), found.get("high")
    if found["value"] == 0 and low in (0, None) and high in (0, None):
        return "same"
    if not (known(low) and known(high)):
        return "unsure"
    return "better" if low > 0 else "worse" if high < 0 else "unsure"


def headline(summary: Summary) -> Headline:
    """The result of the run in one sentence each, also when nothing has improved."""
    kind = kind_of_change(_improvement(summary, "zero_noise"))
    return Headline(
        kind,
        _sentence(summary, "zero_noise", "Zero-noise error"),
        _sentence(summary, "best_of_g", "The error of each group's best hypothesis (an oracle's choice)"),
    )


def benchmark_rows(summary: Summary) -> list[dict[str, str]]:
    """The benchmark as rows of text: each estimate by three metrics, then the values to compare them with."""
    rows = [
        _row(
            name,
            label,
            number(_error(summary, "before", estimate, metric)),
            number(_error(summary, "after", estimate, metric)),
            percent(_improvement(summary, estimate, metric)),
        )
        for estimate, name in estimate_names(chooser(summary)).items()
        for metric, label in METRICS.items()
    ]
    lifting = summary.get("lifting") or {}
    rows += [_row(LIFTINGS[key], "MPJPE", number(lifting[key])) for key in LIFTINGS if key in lifting]
    headroom, share = summary.get("headroom") or {}, summary.get("share_of_headroom") or {}
    for key in (key for key in HEADROOM if key in headroom):
        rows.append(_row(f"headroom, {HEADROOM[key]}", "MPJPE", change=percent(headroom[key])))
        rows.append(_row(f"share of headroom reached, {HEADROOM[key]}", "MPJPE", change=share_of(share.get(key))))
    return rows


def unsure_joints(summary: Summary, count: int = 5) -> list[tuple[str, str, str]]:
    """The joints with the largest spread before alignment: (name, spread before, spread after), mm."""
    before, after = (_uncertainty(summary, when).get("joint_spread_mm", {}) for when in ("before", "after"))
    worst = sorted(before, key=lambda name: -before[name])[:count]
    return [(name.replace("_", " "), number(before[name]), number(after.get(name))) for name in worst]


def uncertainty_text(summary: Summary) -> list[tuple[str, str, str]]:
    """How well spread predicts error over people: (of which joints, rank correlation before, after)."""
    keys = {"error_srcc": "all joints", "error_srcc_within_joint": "joint by joint"}
    before, after = (_uncertainty(summary, when) for when in ("before", "after"))
    return [(name, number(before.get(key), 2), number(after.get(key), 2)) for key, name in keys.items()]


def photograph_rows(summary: Summary) -> list[tuple[str, str, str]]:
    """How bodies match the people in photographs: (measure, before, after); no rows if nobody was measured."""
    before, after = ((summary.get("photographs") or {}).get(when) or {} for when in ("before", "after"))
    if not before.get("people"):
        return []

    def cell(found: Mapping[str, Any], key: str) -> str:
        _, factor, digits = PHOTOGRAPHS[key]
        value = found.get(key)
        return number(factor * value if known(value) else None, digits)

    return [(PHOTOGRAPHS[key][0], cell(before, key), cell(after, key)) for key in PHOTOGRAPHS]


def photographs_text(summary: Summary) -> str:
    """The results on photographs in one sentence; "" if nobody was measured."""
    found = summary.get("photographs") or {}
    before, after = (found.get(when) or {} for when in ("before", "after"))
    if not before.get("people"):
        return ""
    values = [[number(side.get(key), digits) for side in (before, after)] for key, digits in
              (("keypoints_px", 1), ("mask_iou_all", 2))]  # fmt: skip
    people, count = before["people"], found.get("photographs", 0)
    return (
        f"{people:,} {'person' if people == 1 else 'people'} in {count:,} "
        f"{'photograph' if count == 1 else 'photographs'}: the median 2-D distance was {values[0][0]} px before and "
        f"is {values[0][1]} px after, the median mask IoU {values[1][0]} and {values[1][1]}; the median body moved by "
        f"{number(found.get('moved_px'))} px."
    )


def leakage_text(summary: Summary) -> list[str]:
    """What the rewards knew, and the verdict of the run's audit; that there was none, if there was none."""
    oracle = str(summary["critic"]).startswith("oracle")
    said = ["Rewards in training: " + ("THE GROUND TRUTH, by the oracle critic." if oracle else
            f"the critic {summary['critic']}, which sees no ground truth.")]  # fmt: skip
    verdict = summary.get("audit")
    if verdict:
        return [*said, f"Audit of what training and test share: {verdict}"]
    return [
        *said,
        "What training and test share was not audited. `hmr-align data audit test=... train=RUN --json RUN/audit.json` "
        "compares them, and `hmr-align report` then shows the verdict here.",
    ]


def summary_table_markdown(summary: Summary) -> str:
    """A run as one page of markdown, for the dashboard."""
    rows = benchmark_rows(summary)
    details, verdicts = headline(summary), summary.get("verdicts") or {}
    quality = summary.get("critic_quality") or {}
    lines = [
        f"## {_cell(summary['run'])}",
        "",
        f"**{details.sentence}** {details.second}",
        "",
        PROTOCOLS[summary.get("protocol", "fit")],
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|---|---|---:|---:|---:|",
        *("| " + " | ".join(map(_cell, row.values())) + " |" for row in rows),
        "",
        f"- photographs {summary['images']:,}, people {summary['people']:,}, groups {summary['groups']:,}, "
        f"hypotheses {summary['hypotheses']:,}",
        *([f"- {seen} Evidence, not accuracy."] if (seen := photographs_text(summary)) else []),
        f"- critic {_cell(summary['critic'])}: {verdicts.get('scored', 0):,} scored, "
        f"{verdicts.get('abstained', 0):,} abstained",
        *([f"- {_cell(summary['saving'])}"] if summary.get("saving") else []),
        f"- critic {_cell(quality.get('critic', ''))} against ground truth: SRCC {number(quality.get('srcc'), 3)}, "
        f"KRCC {number(quality.get('krcc'), 3)}, PLCC {number(quality.get('plcc'), 3)}",
        f"- model: `{_cell(summary['checkpoint'])}`",
    ]
    return "\n".join(lines) + "\n"


def share_of(share: float | None) -> str:
    """A share of the headroom (1 = all of it) as text, in percent."""
    return f"{number(100 * share, 0)} %" if share is not None and math.isfinite(share) else NOTHING


def duration(seconds: float) -> str:
    """A number of seconds as text for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _row(estimate: str, metric: str, before: str = "", after: str = "", change: str = "") -> dict[str, str]:
    return {
        "estimate": estimate, "metric": metric, "before (mm)": before, "after (mm)": after, "improvement": change,
    }  # fmt: skip


def _uncertainty(summary: Summary, when: str) -> Mapping[str, Any]:
    return summary.get("uncertainty", {}).get(when, {})


def _error(summary: Summary, when: str, estimate: str, metric: str = "mpjpe_mm") -> float | None:
    return summary.get("benchmark", {}).get(when, {}).get(estimate, {}).get(metric)


def _improvement(summary: Summary, estimate: str, metric: str = "mpjpe_mm") -> dict[str, float] | None:
    return summary.get("improvement_percent", {}).get(estimate, {}).get(metric)


def _sentence(summary: Summary, estimate: str, subject: str) -> str:
    found = _improvement(summary, estimate)
    before, after = (number(_error(summary, when, estimate)) for when in ("before", "after"))
    kind = kind_of_change(found)
    if found is None or kind == "unknown":
        return f"{subject} was not compared: the benchmark has no numbers for it."
    if kind == "same":
        return f"{subject} is what it was, {before} mm: the run kept the model that it started from."
    fell = found["value"] >= 0
    sign = 1 if fell else -1
    text = f"{subject} {'fell' if fell else 'rose'} by {number(abs(found['value']))} %"
    bounds = [found.get("low"), found.get("high")][::sign]
    if not all(map(known, bounds)):
        return f"{text}, from {before} to {after} mm; no interval was computed, so chance is not ruled out."
    low, high = (number(sign * bound) for bound in bounds if known(bound))
    text += f" [{low}, {high}], from {before} to {after} mm"
    return f"{text}; the interval holds 0, so this may be chance." if kind == "unsure" else f"{text}."


def _cell(text: object) -> str:
    """Text escaped for a cell of a markdown table."""
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

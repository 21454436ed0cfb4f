"""The loopback server with a blind spot, and its answers to audits: a test double for reflection, no model at all.

    script = Auditing(JudgingStyle(look=overlooking_feet(agreement)))

It judges by what is above the feet, says in its comments when feet float or sink, and takes no points off for it
until a rule says so. Asked to review its judgements, it finds the remark whose scores were too high according to the
truth, and proposes a rule about it. It uses nothing but what the request holds.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from critique.endpoint.loopback import (
    Body,
    JudgingStyle,
    Look,
    ScriptedAnswer,
    floating,
    foreground,
    labelled,
    says,
    sunken,
)
from storage.records import Bytes

REMARKS: dict[str, Look] = {
    "the feet float above the ground": floating,
    "the feet sink below the ground": sunken,
}
"""Remarks about a mesh, and when each is made. Each is a condition that the judge's rules know."""

FEET = 0.72
"""Share of a person's height, from the top, that is above the feet."""

LEAST_OVERRATING = 8  # points; below it there is no pattern


def overlooking_feet(look: Look) -> Look:
    """`look`, without the lowest part of the person."""

    def blind(photograph: Bytes, overlay: Bytes) -> float:
        rows = np.flatnonzero(foreground(photograph).any(1))
        end = int(rows[0] + FEET * (rows[-1] - rows[0])) if rows.size else len(photograph)
        return look(photograph[:end], overlay[:end])

    return blind


@dataclass(frozen=True)
class Auditing:
    """A script: judges like `style`, with remarks as comments, and answers audits."""

    style: JudgingStyle

    def __call__(self, number: int, body: Body) -> ScriptedAnswer:
        text = "\n".join(part["text"] for part in body["messages"][0]["content"] if part["type"] == "text")
        if context := re.search(r"GROUP_CONTEXT_JSON\n(\{.*\})\n", text):
            return says(json.dumps({"new_rules": audit(json.loads(context[1]))}))(body)
        answer = self.style(number, body)
        return _with_remarks(answer, labelled(body)) if answer.status == 200 else answer


def audit(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """At most one rule: about the remark whose hypotheses were overrated most, relative to the others, and by how much.

    context: GROUP_CONTEXT_JSON.
    """
    predictions = context["predictions"]
    excess = np.array([one["score"] - one["true_quality"] for one in predictions], np.float64)
    overrated: dict[str, float] = {}
    for remark in REMARKS:
        said = np.array([remark in one["comment"] for one in predictions], bool)
        if said.any() and not said.all():
            overrated[remark] = float(excess[said].mean() - excess[~said].mean())
    worst = max(overrated, key=lambda remark: overrated[remark], default=None)
    if worst is None or overrated[worst] < LEAST_OVERRATING:
        return []
    points = int(np.clip(5 * round(overrated[worst] / 5), 5, 60))
    return [{"text": f"When {worst}, take {points} points off.", "tags": ["foot_contact", "physical_plausibility"]}]


def _with_remarks(answer: ScriptedAnswer, shown: Mapping[int, Bytes]) -> ScriptedAnswer:
    """A judgement with what is seen in each picture for a comment; an answer of another shape stays as it is."""
    try:
        message = answer.body["choices"][0]["message"]
        items = json.loads(message["content"])
        for place, overlay in shown.items():
            if place >= 2:
                seen = [remark for remark, holds in REMARKS.items() if holds(shown[1], overlay)]
                items[f"image_{place}"]["comment"] = ", ".join(seen) or "no fault at the feet"
    except (KeyError, TypeError, ValueError, IndexError):
        return answer
    message["content"] = json.dumps(items)
    return answer

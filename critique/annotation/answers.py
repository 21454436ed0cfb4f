"""One person's answer about a few bodies of a group, as a page sends it: untrusted, so all of it is checked."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FORMAT = "hmr-align answers 1"
MOST_BYTES = 20_000_000
MOST_SHOWN = 4

FAULTS: dict[str, str] = {
    "orientation": "faces the wrong way",
    "depth_order": "wrong limb in front",
    "limb_alignment": "arm or leg off",
    "hand": "hand off",
    "head": "head off",
    "foot_contact": "feet float or sink",
    "penetration": "goes through itself",
    "physical_plausibility": "no body can do that",
    "scale": "too large or small",
}
"""What can be wrong with a body, by the tag that rules of a memory have (critique/memory/rules.py)."""

Place = Annotated[int, Field(ge=0, lt=10_000)]
Text = Annotated[str, Field(max_length=400)]


class AnswersError(ValueError):
    """Answers that cannot be used; the message says where and why."""


class Answer(BaseModel):
    """Which of the shown bodies is better, and why. Hypotheses are named by their place in the group."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    gen: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=200)]
    group_id: Annotated[str, Field(max_length=400)]
    shown: Annotated[tuple[Place, ...], Field(min_length=2, max_length=MOST_SHOWN)]  # in the order on the page
    best_first: Annotated[tuple[Place, ...], Field(max_length=MOST_SHOWN)] = ()  # the rest is below, not compared
    equal: bool = False  # all shown are as good
    skipped: bool = False
    faults: Annotated[tuple[str, ...], Field(max_length=len(FAULTS))] = ()  # of those that are not the best
    text: Text = ""
    seconds: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0  # that chose order and members

    @model_validator(mode="after")
    def _one_thing(self) -> "Answer":
        if len(set(self.shown)) < len(self.shown) or len(set(self.best_first)) < len(self.best_first):
            raise ValueError("a hypothesis occurs twice")
        if set(self.best_first) - set(self.shown):
            raise ValueError("a hypothesis is ranked that was not shown")
        if set(self.faults) - FAULTS.keys():
            raise ValueError(f"a fault is none of {', '.join(FAULTS)}")
        if bool(self.best_first) + self.equal + self.skipped != 1:
            raise ValueError("an answer says who is best, or that all are equal, or that it was skipped: one of them")
        return self

    @property
    def question(self) -> tuple[str, str, frozenset[int]]:
        """What was asked; a later answer to the same question replaces the earlier one."""
        return self.gen, self.group_id, frozenset(self.shown)

    @property
    def why(self) -> str:
        """Faults and text as one plain sentence, "" if none was given."""
        text = re.sub(r"[\x00-\x1f\x7f`<>{}]+", " ", self.text).strip()
        return "; ".join([*(FAULTS[fault] for fault in self.faults), *([text] if text else [])])


def parse_answer(value: Any, where: str) -> Answer:
    """One answer from JSON. Raises AnswersError, which names `where` and the faults."""
    try:
        return Answer.model_validate(value)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_url=False, include_input=False)[:3]
        )
        raise AnswersError(f"{where}: {faults}") from None


def parse_answers(content: bytes, where: str) -> list[Answer]:
    """The answers in a file that a page exported. Raises AnswersError if it is none."""
    if len(content) > MOST_BYTES:
        raise AnswersError(f"{where}: larger than {MOST_BYTES / 1e6:.0f} MB, so it holds no answers of a page")
    try:
        found = json.loads(content)
        if found["format"] != FORMAT:
            raise AnswersError(f"{where}: format {str(found['format'])[:40]!r} instead of {FORMAT!r}")
        rows = list(found["answers"])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, AnswersError):
            raise
        raise AnswersError(f"{where}: no answers of a page (JSON with 'format' and 'answers')") from None
    return [parse_answer(row, f"{where}, answer {number}") for number, row in enumerate(rows, 1)]


def exported(answers: Sequence[Answer]) -> str:
    """Answers as the text of a file that `parse_answers` reads."""
    return json.dumps({"format": FORMAT, "answers": [answer.model_dump(mode="json") for answer in answers]}, indent=1)


def newest(answers: Iterable[Answer]) -> list[Answer]:
    """The last answer to each question, in the order in which the questions were first answered."""
    return list({answer.question: answer for answer in answers}.values())

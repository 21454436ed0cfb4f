"""The critic's rules: their required form, which are shown for a case, and which are duplicates.

A rule is one sentence that names a visible condition and its effect on the score. Wherever it comes from, its
text is untrusted: one line, no markup, limited length, and in a prompt it is quoted between delimiters as data.
"""

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from critique.memory.memory_settings import RECALL, RecallSettings
from critique.vlm.reply import plain_text

TEXT_LIMIT = 300  # characters of a rule or a rationale that are kept
WORD_LIMIT = 30

TAG_WORDS = {
    "orientation": r"orient|turned|faces? (away|back)|back to front",
    "depth_order": r"in front of|behind|depth|nearer|farther|further from",
    "limb_alignment": r"\b(limb|arm|leg|elbow|wrist|knee|shin|thigh|forearm)s?\b",
    "hand": r"\bhands?\b|\bfingers?\b",
    "head": r"\bhead\b|\bface\b|\bneck\b",
    "foot_contact": r"\b(foot|feet|heels?|toes?)\b|floats?\b|floating|ground|floor",
    "penetration": r"penetrat|intersect|inside the (body|trunk|torso)",
    "physical_plausibility": r"implausible|impossible|unnatural|backwards|balance|joint limit|floats?\b|floating",
    "occlusion": r"occlu|hidden|covered",
    "truncation": r"truncat|cut off|outside the picture|beyond the picture",
    "scale": r"too (big|small|large|tall|short)|\bscale\b|\bsize\b",
}
"""The words, as regular expressions, by which a comment is known to speak of a tag."""

TAGS = frozenset(TAG_WORDS)
"""Known tags; others are kept unchanged and named in the ledger."""


def tags_of(text: str) -> tuple[str, ...]:
    """The known tags whose words occur in a comment."""
    return tuple(sorted(tag for tag, words in TAG_WORDS.items() if re.search(words, text, re.IGNORECASE)))


TextEmbedder = Callable[[Sequence[str]], NDArray[np.float64]]
"""Texts to unit vectors, (texts, d)."""


def one_line_of(limit: int) -> BeforeValidator:
    """Validator: one line without markup, at most `limit` characters; memory text is cut down to this."""

    def one_line(text: object) -> object:
        if not isinstance(text, str):
            return text
        return plain_text(text.translate(str.maketrans("`<>", "'()")), limit)

    return BeforeValidator(one_line)


Line = Annotated[str, one_line_of(TEXT_LIMIT)]
Sentence = Annotated[str, one_line_of(TEXT_LIMIT), Field(min_length=1)]
Identity = Annotated[str, Field(min_length=1, max_length=80)]
Tag = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Tags = Annotated[tuple[Tag, ...], AfterValidator(lambda tags: tuple(sorted(set(tags))))]
State = Literal["candidate", "admitted", "retired"]


class Rule(BaseModel):
    """One sentence that names a visible condition and its effect on the score, and how well it has worked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Identity
    text: Sentence
    tags: Tags = ()
    state: State = "candidate"  # only admitted rules are shown
    uses: Annotated[int, Field(ge=0)] = 0  # N_u: groups of exploration whose critic was shown it
    successes: Annotated[int, Field(ge=0)] = 0  # N_s: of them, those that were ranked well
    lift: Annotated[float, Field(allow_inf_nan=False)] | None = None  # mean gain of SRCC on held-out groups
    origin: Line = ""  # who proposed it, from what
    created: Line = ""  # time, UTC

    @classmethod
    def named(cls, text: str, **given: object) -> "Rule":
        """A rule whose id is computed from its text, so that the same sentence has the same id everywhere."""
        return cls.model_validate({"id": rule_id(text), "text": text, **given})


def rule_id(text: str) -> str:
    """Id computed from the words alone, independent of case and spacing."""
    words = " ".join(text.lower().split())
    return f"r-{hashlib.sha256(words.encode()).hexdigest()[:8]}"


# --- form -------------------------------------------------------------------------------------------------

_CONDITION = re.compile(r"(?i)\b(if|when|whenever|where|wherever|unless|while)\b")
_EFFECT = re.compile(
    r"(?i)\b(points?|scores?|marks?)\b.*\b\d{1,3}\b|\b\d{1,3}\b.*\b(points?|scores?|marks?)\b"
    r"|\b(deduct|subtract|lower|raise|add|take|cap|give|score)\b.*\b\d{1,3}\b"
)
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|;")
_PARTICULAR = re.compile(r"(?i)\bimage[\s._-]*\d|\.(jpe?g|png|webp)\b|[/\\]|https?:|\bhypothesis\s*\d")
_CLOTHES = re.compile(
    r"(?i)\b(red|green|blue|yellow|orange|purple|pink|brown|black|white|gr[ae]y|striped|checked)\s+"
    r"(\w+\s+)?(shirts?|trousers|jeans|shorts|dress|skirt|jackets?|coats?|hats?|caps?|shoes?|clothes|clothing)\b"
)


def form_faults(text: str, tags: Sequence[str]) -> list[str]:
    """What is wrong with the form of a proposed rule, as texts; empty if nothing is.

    A rule is one general sentence of at most WORD_LIMIT words with a condition and its effect on the score, and has two
    or three tags in lower snake case. Source: what the paper's auditing prompt asks of a rule (Shen et al. 2026).
    """
    checks = {
        "is empty": not text.strip(),
        "is more than one sentence": len(_SENTENCE_END.findall(text.strip())) > 1,
        f"has more than {WORD_LIMIT} words": len(text.split()) > WORD_LIMIT,
        "names no condition (if, when ...)": not _CONDITION.search(text),
        "names no effect on the score, in points": not _EFFECT.search(text),
        "speaks of one picture or file": bool(_PARTICULAR.search(text)),
        "speaks of the colour of clothes": bool(_CLOTHES.search(text)),
        "has not two or three tags": not 2 <= len(set(tags)) <= 3,
        "has a tag that is not short lower snake case": not all(
            re.fullmatch(r"[a-z][a-z0-9_]{0,39}", tag) for tag in tags
        ),
    }
    return [fault for fault, found in checks.items() if found]


# --- choice -----------------------------------------------------------------------------------------------


def rule_scores(rules: Sequence[Rule], tags: frozenset[str], settings: RecallSettings = RECALL) -> NDArray[np.float64]:
    """(rules,) how useful each rule is expected to be for a case with these tags; no unit, larger is better.

        |tags_q & tags_i| + (N_s,i + a) / (N_u,i + b) + C sqrt(log max(N, 1) / (N_u,i + 1))

    with N the sum of all N_u. Source: the rule retrieval of Shen et al. 2026, which is 0/0 for a new rule. Our prior of
    a successes in b uses replaces that, by default one in two: (N_s + 1) / (N_u + 2), Laplace's rule of succession.
    """
    spread = math.log(max(sum(rule.uses for rule in rules), 1))
    return np.array(
        [
            len(tags.intersection(rule.tags))
            + (rule.successes + settings.prior_successes) / (rule.uses + settings.prior_uses)
            + settings.exploration * math.sqrt(spread / (rule.uses + 1))
            for rule in rules
        ],
        dtype=np.float64,
    )


def best_rules(rules: Sequence[Rule], tags: frozenset[str], settings: RecallSettings = RECALL) -> tuple[Rule, ...]:
    """The admitted rules with the highest scores, best first, ties by id."""
    admitted = [rule for rule in rules if rule.state == "admitted"]
    ranked = sorted(zip(rule_scores(admitted, tags, settings), admitted), key=lambda pair: (-pair[0], pair[1].id))
    return tuple(rule for _, rule in ranked[: settings.rules])


# --- similarity -------------------------------------------------------------------------------------------


def near_copy(text: str, others: Sequence[Rule], embed: TextEmbedder, least: float) -> Rule | None:
    """The rule that is nearly a copy of `text`, with a cosine of at least `least`; None if there is none."""
    if not others:
        return None
    vectors = embed([text, *(rule.text for rule in others)])
    likeness = vectors[1:] @ vectors[0]
    nearest = int(likeness.argmax())
    return others[nearest] if likeness[nearest] >= least else None


def merged(rules: Sequence[Rule], embed: TextEmbedder, least: float) -> list[tuple[Rule, list[Rule]]]:
    """Near-copies merged: each kept rule with its copies, most copied first.

    The first of near-copies is kept, with the tags of all of them if there are no more than three, and with the sum of
    their counts. least: the smallest cosine of near-copies.
    """
    groups: list[tuple[Rule, list[Rule]]] = []
    for rule in rules:
        kept = near_copy(rule.text, [first for first, _ in groups], embed, least)
        if kept is None:
            groups.append((rule, []))
        else:
            next(copies for first, copies in groups if first is kept).append(rule)
    return [(united(kept, copies), copies) for kept, copies in sorted(groups, key=lambda pair: -len(pair[1]))]


def united(kept: Rule, copies: Sequence[Rule]) -> Rule:
    """The kept rule with the tags of all, if there are no more than three, and with the sum of their counts."""
    tags = sorted({*kept.tags, *(tag for copy in copies for tag in copy.tags)})
    counts = {name: sum(getattr(rule, name) for rule in (kept, *copies)) for name in ("uses", "successes")}
    return kept.model_copy(update={"tags": tuple(tags) if len(tags) <= 3 else kept.tags, **counts})

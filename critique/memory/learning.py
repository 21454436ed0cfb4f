"""One session of reflection: from a memory and labelled groups to a new memory and the measured gain.

    explore   judge groups with the memory; count which rules were shown and whether the ranking was right; keep
              informative overlays as prototypes; have the badly ranked groups audited, which proposes rules
    gate      judge other groups with and without each proposed rule, and with a placebo; admit rules that help
    retest    judge the same groups without each rule that was admitted earlier; retire rules that no longer help
    check     judge a third set of groups with the old and the new memory: for the report, nothing is chosen by it

Nothing here reads a file or sends a request: the functions for judging, auditing and drawing are passed in.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.memory.gate import Lift, agreement, decide, paired_lift, shared_confidence
from critique.memory.memory import Event, Memory
from critique.memory.memory_settings import ReflectionSettings
from critique.memory.prototypes import Prototype, representative, varied
from critique.memory.reflection import Audit, group_context
from critique.memory.rules import TAGS, Rule, TextEmbedder, form_faults, merged, near_copy, tags_of
from critique.oracle import truth_quality
from storage.records import Group, Verdict


@dataclass(frozen=True, eq=False)
class Case:
    """A group with its true errors."""

    group: Group
    errors: NDArray[np.float64]  # (G,) mm; NaN = no truth
    said: Verdict | None = None  # people's verdict, which then stands for the truth

    @property
    def quality(self) -> NDArray[np.float64]:
        """(G,) true quality 0-1, larger is better; NaN = no truth."""
        return truth_quality(self.errors) if self.said is None else self.said.scores / 100

    @property
    def notes(self) -> Sequence[str]:
        """(G,) what people said of each hypothesis; empty if nobody was asked."""
        return () if self.said is None else self.said.comments

    @property
    def photograph(self) -> str:
        """The photograph that the person is in."""
        return self.group.person.photo_sha256 or self.group.person.group_id


class Parts(NamedTuple):
    """Labelled groups, split into parts that share no photograph."""

    explore: Sequence[Case]
    gate: Sequence[Case]
    check: Sequence[Case]


@dataclass(frozen=True)
class Tools:
    """The functions that a session uses."""

    judge: Callable[[Memory, Sequence[Group]], list[Verdict]]  # in the order of the groups
    audit: Callable[[Sequence[dict[str, Any]]], list[Audit]]  # of GROUP_CONTEXT_JSONs
    picture: Callable[[Group, int], bytes | None]  # one hypothesis's overlay, as JPEG or PNG
    likeness: TextEmbedder
    time: str  # of the session, UTC
    critic: str  # name of the critic, for the ledger


@dataclass(frozen=True)
class Session:
    """Result of one session: the new memory (its ledger holds the events), and the numbers of the report."""

    memory: Memory
    events: tuple[Event, ...]
    numbers: dict[str, float]


def cut_into_parts(cases: Sequence[Case], settings: ReflectionSettings) -> Parts:
    """The first photographs for exploring, the next for the gate, the rest for the check; none is in two parts.

    The split is the same in every session, so that no rule is tested on a photograph that a prototype comes from. If
    there are fewer groups than the settings ask for, each part gets its share of them.
    """
    by_photo: dict[str, list[Case]] = {}
    for case in cases:
        by_photo.setdefault(case.photograph, []).append(case)
    wanted = np.cumsum([settings.explore, settings.gate, settings.check])
    ends = np.floor(wanted * min(1.0, len(cases) / wanted[-1]))
    parts: tuple[list[Case], ...] = ([], [], [])
    taken = 0
    for photo in by_photo.values():
        part = int(np.searchsorted(ends, taken, side="right"))
        if part < 3:
            parts[part].extend(photo)
        taken += len(photo)
    return Parts(*parts)


def planned_groups(memory: Memory, settings: ReflectionSettings) -> int:
    """The most groups that a session judges, audits not counted: one request or more each."""
    admitted = sum(rule.state == "admitted" for rule in memory.rules) if settings.retest else 0
    arms = 1 + settings.candidates + 1 + admitted
    return settings.explore + arms * settings.gate + 2 * settings.check


def run_session(memory: Memory, parts: Parts, tools: Tools, settings: ReflectionSettings) -> Session:
    """Explore, gate, retest and check, in this order."""
    record = _Recorder(memory, tools)
    explored = explore(memory, parts.explore, tools, settings)
    candidates = proposed(explored.memory, explored.audits, tools.likeness, settings, record)
    tested = gate(explored.memory, candidates, parts.gate, tools, settings, record)
    final = replace(tested, events=(*memory.events, *record.events))
    numbers = {"explore_srcc": _mean(explored.srcc), "audits": float(len(explored.audits))}
    numbers |= {name: float(sum(event.what == name for event in record.events)) for name in ("admitted", "retired")}
    if parts.check:
        numbers |= check(memory, final, parts.check, tools, settings)
    return Session(final, tuple(record.events), numbers)


class _Recorder:
    """Writes the ledger entries of one session."""

    def __init__(self, memory: Memory, tools: Tools) -> None:
        self.events: list[Event] = []
        self.time, self.critic = tools.time, tools.critic
        self._same = {"critic": tools.critic, "session": memory.digest[:16], "time": tools.time}

    def __call__(self, what: str, rule: Rule | None = None, detail: str = "", lift: Lift | None = None) -> None:
        measured: dict[str, Any] = {}
        if lift is not None and lift.groups:
            bound = {"low": lift.low} if np.isfinite(lift.low) else {}
            measured = {"lift": lift.mean, "groups": lift.groups, **bound}
        named = {} if rule is None else {"rule": rule.id, "text": rule.text}
        self.events.append(Event.model_validate({"what": what, "detail": detail, **named, **measured, **self._same}))


# --- explore ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explored:
    """The memory with updated counts and new prototypes, and the audits."""

    memory: Memory
    audits: list[Audit]
    srcc: list[float]  # of every explored group


def explore(memory: Memory, cases: Sequence[Case], tools: Tools, settings: ReflectionSettings) -> Explored:
    """Judge the groups, update the counts, keep prototypes, and have badly ranked groups audited (the worst first)."""
    verdicts = tools.judge(memory, [case.group for case in cases])
    srcc = [agreement(verdict.scores, case.quality) for case, verdict in zip(cases, verdicts)]
    uses, successes = Counter[str](), Counter[str]()
    for case, found in zip(cases, srcc):
        if np.isfinite(found):
            shown = [rule.id for rule in memory.rules_for(case.group.person)]
            uses.update(shown)
            successes.update(shown if found > settings.tau else ())
    rules = tuple(
        rule.model_copy(update={"uses": rule.uses + uses[rule.id], "successes": rule.successes + successes[rule.id]})
        for rule in memory.rules
    )
    added = [
        prototype for case, verdict in zip(cases, verdicts) for prototype in remembered(case, verdict, memory, tools)
    ]
    known = {prototype.id for prototype in added}
    kept = (*(prototype for prototype in memory.prototypes if prototype.id not in known), *added)
    worst_first = sorted((found, place) for place, found in enumerate(srcc) if np.isfinite(found))
    chosen = [place for found, place in worst_first if settings.when == "always" or found < settings.tau]
    contexts = [
        group_context(verdicts[place], cases[place].quality, cases[place].notes) for place in chosen[: settings.audits]
    ]
    grown = replace(memory, rules=rules, prototypes=varied(kept, settings.most_prototypes))
    return Explored(grown, tools.audit(contexts) if contexts else [], srcc)


def remembered(case: Case, verdict: Verdict, memory: Memory, tools: Tools) -> list[Prototype]:
    """The informative overlays of a judged group as prototypes; their score is the one that the truth gives."""
    embedding = tuple(float(number) for number in memory.embed(case.group.person))
    found = []
    for name, place in representative(verdict.scores, case.quality).items():
        score = round(100 * float(case.quality[place]))
        missed = f" (a judge had said {verdict.scores[place]:.0f})" if name == "misjudged" else ""
        overlay = f"{case.group.person.group_id}#{place}"
        found.append(
            Prototype(
                id=f"p-{case.group.model_digest[:6]}-{overlay}"[:80],
                rationale=f"Score {score}{missed}: {verdict.comments[place] or 'no comment'}",
                score=float(score),
                tags=tags_of(verdict.comments[place]),
                embedding=embedding,
                embedder=memory.embed.name,
                overlay=overlay,
                picture=tools.picture(case.group, place),
                created=tools.time,
            )
        )
    return found


def proposed(
    memory: Memory, audits: Sequence[Audit], likeness: TextEmbedder, settings: ReflectionSettings, record: _Recorder
) -> list[Rule]:
    """The candidate rules in the order of testing: never tested ones first, most often proposed first, then by their
    gain.
    """
    wellformed: list[Rule] = []
    for number, audit in enumerate(audits, start=1):
        if audit.fault:
            record("audit failed", detail=audit.fault)
        for text, tags in audit.proposals:
            rule = Rule.named(
                text or "(empty)", origin=f"audit {number} of {len(audits)} by {record.critic}", created=record.time
            )
            if faults := form_faults(text, tags):
                record("malformed", rule, "; ".join(faults))
            else:
                wellformed.append(rule.model_copy(update={"tags": tuple(sorted(set(tags)))}))
    fresh: list[Rule] = []
    for rule, copies in merged(wellformed, likeness, settings.duplicate):
        known = near_copy(rule.text, memory.rules, likeness, settings.duplicate)
        if known is not None:
            record("merged", rule, f"says what {known.id} says, which is {known.state}")
            continue
        unknown = sorted(set(rule.tags) - TAGS)
        details = f"proposed {1 + len(copies)} times" + (f"; tags not known: {', '.join(unknown)}" if unknown else "")
        record("proposed", rule, details)
        fresh.append(rule)
    waiting = [rule for rule in memory.rules if rule.state == "candidate"]
    return sorted([*waiting, *fresh], key=lambda rule: (rule.lift is not None, -(rule.lift or 0.0)))


# --- gate -------------------------------------------------------------------------------------------------


def gate(
    memory: Memory,
    candidates: Sequence[Rule],
    cases: Sequence[Case],
    tools: Tools,
    settings: ReflectionSettings,
    record: _Recorder,
) -> Memory:
    """The memory after the test: candidates admitted or not, admitted rules kept or retired."""
    tested = candidates[: settings.candidates]
    retested = [rule for rule in memory.rules if rule.state == "admitted"] if settings.retest else []
    if not tested and not retested:
        return _with_rules(memory, candidates, settings)
    confidence = shared_confidence(settings.confidence, len(tested))
    plain = _srcc(memory, cases, tools)

    def trial(rule: Rule) -> Lift:
        with_it = _srcc(replace(memory, pinned=(rule,)), cases, tools)
        return _lift(plain, with_it, cases, settings, confidence)

    placebo_passed = False
    if tested:  # if the placebo helps too, the rules are not the reason
        placebo = Rule.named(settings.placebo, origin="placebo", tags=("physical_plausibility", "scale"))
        gained = trial(placebo)
        placebo_passed = decide(gained) == "admitted"
        record("placebo passed" if placebo_passed else "placebo refused", placebo, lift=gained)
    changed: dict[str, Rule] = {rule.id: rule for rule in candidates}
    for rule in tested:
        gained = trial(rule)
        outcome, detail = decide(gained), ""
        if outcome == "admitted" and placebo_passed:
            outcome, detail = "undecided", "the placebo passed too"
        record(outcome, rule, detail, gained)
        state = {"admitted": "admitted", "undecided": "candidate", "refused": "retired"}[outcome]
        changed[rule.id] = rule.model_copy(update={"state": state, "lift": gained.mean})
    for rule in retested:  # only groups that are shown the rule count
        places = [place for place, case in enumerate(cases) if rule in memory.rules_for(case.group.person)]
        shown = [cases[place] for place in places]
        without = _srcc(memory.without(rule), shown, tools)
        gained = _lift(without, [plain[place] for place in places], shown, settings, settings.confidence)
        gone = gained.groups > 0 and gained.mean <= 0
        record("retired" if gone else "kept", rule, lift=gained)
        if gained.groups:
            changed[rule.id] = rule.model_copy(update={"state": "retired" if gone else "admitted", "lift": gained.mean})
    return _with_rules(memory, list(changed.values()), settings)


def _srcc(memory: Memory, cases: Sequence[Case], tools: Tools) -> list[float]:
    """Agreement with the truth of each group, judged with this memory."""
    verdicts = tools.judge(memory, [case.group for case in cases]) if cases else []
    return [agreement(verdict.scores, case.quality) for case, verdict in zip(cases, verdicts)]


def _lift(
    without: Sequence[float],
    with_it: Sequence[float],
    cases: Sequence[Case],
    settings: ReflectionSettings,
    confidence: float,
) -> Lift:
    photographs = [case.photograph for case in cases]
    return paired_lift(without, with_it, photographs, confidence=confidence, resamples=settings.resamples)


def _with_rules(memory: Memory, changed: Sequence[Rule], settings: ReflectionSettings) -> Memory:
    """The memory with these rules put in or replaced; beyond `most_rules`, those of least lift are retired."""
    by_id = {rule.id: rule for rule in (*memory.rules, *changed)}
    living = [rule for rule in by_id.values() if rule.state != "retired"]
    living.sort(key=lambda rule: (rule.state == "admitted", rule.lift or 0.0), reverse=True)
    for rule in living[settings.most_rules :]:
        by_id[rule.id] = rule.model_copy(update={"state": "retired"})
    return replace(memory, rules=tuple(by_id.values()))


# --- check ------------------------------------------------------------------------------------------------


def check(
    before: Memory, after: Memory, cases: Sequence[Case], tools: Tools, settings: ReflectionSettings
) -> dict[str, float]:
    """Mean SRCC on groups that were not used for learning or choosing, with the memory before and after the session."""
    old, new = (_srcc(memory, cases, tools) for memory in (before, after))
    lift = _lift(old, new, cases, settings, settings.confidence)
    both = np.isfinite(old) & np.isfinite(new)
    return {
        "check_srcc_before": _mean(np.array(old)[both]),
        "check_srcc_after": _mean(np.array(new)[both]),
        "check_lift": lift.mean,
        "check_lift_low": lift.low,
        "check_lift_high": lift.high,
        "check_groups": float(lift.groups),
    }


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Mean of those that are numbers; NaN if none is."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else float("nan")

"""What a whole run will take, stage by stage: work, requests, tokens, money, hours and bytes. Nothing is sent."""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from critique.vlm.cost import Estimate, estimate
from tasks.benchmarking import choosing_critic
from tasks.critics.remembering import memory_of
from tasks.forecast.counts import Counts, count_people
from tasks.forecast.missing import asks_somewhere, missing_variables, refuse_missing, vlm_of
from tasks.forecast.rates import GROUP_BYTES, HYPOTHESIS_BYTES, PERSON_BYTES, VERDICT_BYTES, Rate, rates
from tasks.run.devices import compute_for
from tasks.run.plan import Plan
from tasks.run.settings import CriticSection, Settings
from tasks.sampling import model
from tasks.training import train_settings

LOOK_HYPOTHESES = 20  # of each person of val at each look
UNMEASURED = "not measured"
ASKED = ["requests", "tokens in", "tokens out", "money", "server hours"]
HEADS = ["stage", "what", *ASKED, "core hours", "GB"]


class Work(NamedTuple):
    """What one stage takes."""

    stage: str
    what: str
    seconds: float | None = 0.0  # of one core; None = nobody has measured it
    asked: Estimate | None = None  # of the judge's server
    stored: int = 0  # bytes in the run's store


class Forecast(NamedTuple):
    """A table for the terminal, and notes about it."""

    heads: list[str]
    rows: list[tuple[str, ...]]
    notes: list[str]


def forecast(settings: Settings) -> Forecast:
    """The table of a run with these settings.

    Raises SettingsError if a file is missing or cannot be used, naming all that are missing in one message.
    """
    refuse_missing(settings)
    plan = Plan(settings)
    plan.check_sampling()
    plan.check_second_critic()
    counts = count_people(plan)
    works = list(_Arithmetic(plan, counts).stages())
    rows = [_row(work) for work in (*works, _total(works))]
    notes = list(_notes(plan, counts, works))
    if not asks_somewhere(settings):
        told = [k for k, head in enumerate(HEADS) if head not in ASKED]
        return Forecast([HEADS[k] for k in told], [tuple(row[k] for k in told) for row in rows], notes)
    return Forecast(HEADS, rows, notes)


class _Arithmetic:
    """The stages of a run in their order."""

    def __init__(self, plan: Plan, counts: Counts) -> None:
        self.plan, self.settings, self.counts = plan, plan.settings, counts
        self.rates: dict[str, Rate] = rates()
        self.published = model(plan.base).architecture["network"] == "hyponet"
        self.on_gpu = compute_for(self.settings.sample).device == "cuda"
        self.vlm = vlm_of(self.settings) if asks_somewhere(self.settings) else None
        self.prototypes = 0
        if self.vlm is not None:
            held = memory_of(self.vlm, plan.folder).prototypes
            self.prototypes = min(len(held), self.vlm.recall.prototypes)

    def stages(self) -> Iterator[Work]:
        """Every stage of `hmr-align align`, for all rounds."""
        people, hypotheses = self.counts.people, self.settings.sample.hypotheses
        yield self._find()
        yield self._benchmark("benchmark before")
        for number in range(1, self.settings.align.rounds + 1):
            drawn = f"{people:,} groups of {hypotheses}"
            stored = people * (GROUP_BYTES + hypotheses * HYPOTHESIS_BYTES)
            yield Work(f"round {number}: sample", drawn, self._sample(people, hypotheses), stored=stored)
            yield from self._judge(number, people, hypotheses)
            yield self._train(number)
        yield self._benchmark("benchmark after")
        yield self._report()

    def _find(self) -> Work:
        counts = self.counts
        looked = counts.val + counts.test + (counts.people if self.settings.data.train else 0)
        drawn = self.settings.studio.wild if self.plan.on_studio else 0
        seconds = (looked + drawn) * self.rates["find_in_crop"].seconds
        thorough = self.settings.photographs.thorough or self.plan.on_studio
        seconds += counts.pictures * self.rates["find_in_photograph" if thorough else "find_in_crop"].seconds
        what = "; ".join(f"{count:,} of {name}" for name, count in counts.sets)
        what += f"; {counts.val:,} of val, {counts.test:,} of test"
        return Work("find people", what, seconds, stored=counts.people * PERSON_BYTES)

    def _sample(self, people: int, hypotheses: int) -> float | None:
        """Seconds of encoding people and drawing their groups; None on a GPU."""
        if self.on_gpu:
            return None
        if not self.published:
            return people * hypotheses * self.rates["sample_embedded"].seconds
        each = self.rates["encode_hrnet"].seconds + hypotheses * self.rates["sample_hyponet"].seconds
        return people * each

    def _judge(self, number: int, people: int, hypotheses: int) -> Iterator[Work]:
        section = self.settings.critic
        sections = [section, *([section.named(section.monitor)] if section.monitor else [])]
        for one in sections:
            asked = people
            if one.name == "cascade":  # its budget is shared by the rounds
                asked = min(people, ceil(one.cascade.budget / max(self.settings.align.rounds, 1)))
            name = f"round {number}: {'judge' if one is section else 'monitor'}"
            shared = one is not section and one.asks_server and section.asks_server  # paid for once
            yield self._asked(name, one, people, hypotheses, 0 if shared else asked, stored=True)

    def _asked(
        self, stage: str, section: CriticSection, people: int, hypotheses: int, groups: int, stored: bool = False
    ) -> Work:
        """A critic's work on `people` groups, about `groups` of which it asks its server."""
        size = people * hypotheses * VERDICT_BYTES if stored else 0
        what = f"{people:,} groups of {hypotheses} by {section.name}"
        if not section.asks_server:
            measured = section.name in ("evidence", "reprojection", "physics")
            each = self.rates["judge_evidence"].seconds if measured else None
            return Work(stage, what, None if each is None else people * hypotheses * each, stored=size)
        assert self.vlm is not None
        found = estimate(self.vlm, {hypotheses: groups}, self.settings.overlay.size, self.prototypes)
        seconds = found.pictures * self.rates["draw_overlay"].seconds + found.requests * self.rates["ask"].seconds
        alone = section.name == "vlm"
        what += f", {found.pictures:,} pictures"
        return Work(stage, what, seconds if alone else None, found, size)

    def _train(self, number: int) -> Work:
        how = train_settings(self.plan.training(number), self.settings.run.seed)
        looks = how.steps // how.evaluate_every + 1
        what = (
            f"{how.steps:,} steps of {how.groups_per_step} groups, {how.preset}; "
            f"{looks} looks at {self.counts.val:,} people of val"
        )
        learn, look = self._step(how.train_encoder), self._sample(self.counts.val, LOOK_HYPOTHESES)
        if learn is None or look is None:
            return Work(f"round {number}: train", what, None)
        return Work(f"round {number}: train", what, how.steps * how.groups_per_step * learn + looks * look)

    def _step(self, train_encoder: bool) -> float | None:
        """Seconds of a training step for each of its groups; the number of hypotheses counts in proportion."""
        if self.on_gpu or train_encoder:
            return None
        rate = self.rates["train_hyponet" if self.published else "train_embedded"]
        return rate.seconds * self.settings.sample.hypotheses / 20

    def _benchmark(self, stage: str) -> Work:
        section, people = self.settings.benchmark, self.counts.test
        drawn_people = not self.settings.data.test
        critic = choosing_critic(self.settings.critic, section.critic, drawn_people=drawn_people)
        judged = self._asked(stage, critic, people, section.hypotheses, people)
        drawn = self._sample(people, section.hypotheses)
        what = f"{people:,} people, M = {section.hypotheses}; {critic.name} chooses"
        if judged.seconds is None or drawn is None:
            return judged._replace(what=what, seconds=None)
        measured = people * section.hypotheses * self.rates["measure"].seconds
        return judged._replace(what=what, seconds=drawn + judged.seconds + measured)

    def _report(self) -> Work:
        shown = min(self.settings.overlay.groups_shown, self.counts.people)
        hypotheses = self.settings.sample.hypotheses
        found = self._asked("report", self.settings.critic, 2 * shown, hypotheses, 2 * shown)
        return found._replace(what=f"{shown} groups before and after, judged", seconds=None)


def _total(works: list[Work]) -> Work:
    asked = [work.asked for work in works if work.asked is not None]
    sums = [sum(getattr(one, name) for one in asked) for name in Estimate._fields[:-1]]
    known = sum(work.seconds for work in works if work.seconds is not None)
    stored = sum(work.stored for work in works)
    return Work("all", "", known, Estimate(*sums, measured=False) if asked else None, stored)


def _row(work: Work) -> tuple[str, ...]:
    asked, hours = work.asked, UNMEASURED
    if work.seconds is not None:
        hours = _hours(work.seconds / 3600)
    counts = ("", "", "", "", "")
    if asked is not None and asked.requests:
        numbers = (asked.requests, asked.prompt_tokens, asked.completion_tokens)
        counts = (*(f"{number:,}" for number in numbers), f"{asked.money:,.2f}", _hours(asked.hours))
    return (work.stage, work.what, *counts, hours, f"{work.stored / 1e9:,.2f}" if work.stored else "")


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 0.05 else f"{value:.3f}"


def _notes(plan: Plan, counts: Counts, works: list[Work]) -> Iterator[str]:
    settings = plan.settings
    lacking = [work.stage for work in works if work.seconds is None]
    yield "Core hours: of one core of an AMD EPYC, by measured rates (tasks/assets/rates.toml names their sources)."
    if lacking:
        yield f"Not in the sum, for want of a measured rate: {', '.join(lacking)}. On a GPU nothing was measured."
    if counts.pictures and not plan.on_studio:
        yield "People: one for each file of the folder was assumed."
    if plan.folder.exists():
        yield f"{plan.folder} exists: what it holds is done already and not taken off here."
    if not asks_somewhere(settings):
        yield "No server is asked, and it costs no money."
        return
    vlm, total = vlm_of(settings), _total(works).asked
    yield (
        "Tokens and seconds of the server by rules of thumb (28 x 28 px a token, 15 s an answer, "
        f"{vlm.max_in_flight} in flight); repairs and retries come on top."
    )
    if not vlm.prompt_price + vlm.completion_price:
        yield "No price is set, so money is 0: set prompt_price and completion_price (per million tokens)."
    if vlm.budget is not None and total is not None and total.money > vlm.budget:
        yield f"The budget of {vlm.budget:g} would stop it on the way."
    if vlm.memory is not None:
        yield "Not counted: what `hmr-align reflect` asks to make the memory."
    yield from missing_variables(settings)

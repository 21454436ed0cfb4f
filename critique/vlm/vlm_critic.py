"""A vision-language model behind any OpenAI-compatible chat-completions endpoint, as a critic.

Each group is shown in one or several calls (blocks.py), whose scores are combined (aggregate.py). Whatever an answer
holds, the result is a verdict: scores, or abstentions whose status says what happened, together with the raw answers.
Requests and caching are in endpoint.py.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from critique.critic import Needs, Sight, seeded_random
from critique.endpoint.adaptation import changed
from critique.endpoint.cache import AnswerCache
from critique.endpoint.endpoint import (
    PICTURES,
    Deadline,
    Endpoint,
    Look,
    NotKept,
    TooManyPictures,
    as_sent,
    cost,
    request_body,
)
from critique.endpoint.stream import Judge, for_each, judge_all
from critique.memory.memory import Memory
from critique.vlm.aggregate import link
from critique.vlm.blocks import Presentation, calls, presentations
from critique.vlm.cost import Tokens, request_tokens
from critique.vlm.expectation import expected_scores
from critique.vlm.picture_encoder import Packing, Part, PictureEncoder, picture_side
from critique.vlm.prompt import (
    PROMPT_VERSION,
    EncodedPictures,
    SheetPictures,
    encode,
    first_message,
    memory_parts,
    on_sheets,
    repair_messages,
    task_text,
)
from critique.vlm.reply import ParsedReply, ReplyError, parse_reply
from critique.vlm.vlm_settings import VlmConfigError, VlmSettings, check_model
from storage.records import UNREADABLE, DrawnGroup, Reply, Verdict

if TYPE_CHECKING:
    from critique.vlm import batch

__all__ = ["VlmConfigError", "VlmCritic", "VlmSettings", "name_of"]

REPAIRS = 2  # times that an unusable answer is sent back

# Settings that can change a score: together with the prompt and the memory they determine the critic's version.
_ANSWER_SETTINGS = {
    "model", "max_tokens", "temperature", "structured", "long_side", "encoding", "detail", "views", "frame",
    "prompt_order", "shuffle", "seed", "mode", "repeats", "block_size", "anchors", "link", "expected_scores",
}  # fmt: skip
# The same of settings that came later: where they are not set, versions stay what they were.
_LATER = {"max_picture_bytes", "layout"}


def _shaping(settings: VlmSettings) -> dict[str, Any]:
    """The settings that can change a score."""
    later = settings.model_dump(mode="json", include=_LATER, exclude_defaults=True)
    return settings.model_dump(mode="json", include=_ANSWER_SETTINGS) | later


def name_of(settings: VlmSettings, memory: Memory) -> str:
    """The model and a digest of all that affects its answers: after a change, groups count as unjudged."""
    shaping = (
        settings.model_dump_json(include=_ANSWER_SETTINGS | set(_shaping(settings))),
        PROMPT_VERSION,
        memory.digest,
    )
    version = hashlib.sha256(repr(shaping).encode()).hexdigest()[:8]
    return f"vlm-{re.sub(r'[^A-Za-z0-9._-]+', '-', settings.model or '')}@{version}"


@dataclass
class _Judgement:
    """Result of one presentation: the last answer read, or a status and reason; and all answers on the way."""

    order: Presentation
    parsed: ParsedReply | None = None
    status: str = "ok"
    reason: str = ""
    replies: list[Reply] = field(default_factory=list)

    @property
    def judged(self) -> bool:
        return self.parsed is not None and "ok" in self.parsed.statuses


@dataclass(frozen=True)
class _Case:
    """The data for all calls about one group."""

    pictures: EncodedPictures | SheetPictures
    memory: tuple[Part, ...]
    side: int  # px of a picture as drawn
    prototypes: int  # pictures among the memory


class FirstRequest(NamedTuple):
    """What the server would be sent first."""

    order: Presentation
    body: bytes  # JSON; address and key are not in it
    guess: Tokens  # expected tokens
    request: dict[str, Any]  # the body before what the server refuses was left out: its digest finds the answer


class VlmCritic:
    """Asks a vision-language model for the scores of a group. The memory is read, and never written.

    `cache` is the file of the run's answers and ledger; without it every judgement is paid for again. `anew` asks again
    where cached answers could not be read. `ready` False: only `first_requests` is of use; no key is read, and the
    server is not asked for its models. Raises VlmConfigError if the settings name a memory and none is given.
    """

    needs_pictures = True

    def __init__(
        self, settings: VlmSettings, *, memory: Memory | None = None, cache: Path | None = None, anew: bool = False,
        ready: bool = True,
    ) -> None:  # fmt: skip
        if settings.memory is not None and memory is None:
            raise VlmConfigError(f"the memory {settings.memory} was not read; give VlmCritic its content as `memory`")
        if ready:
            check_model(settings)
        self.settings = settings
        self.cache = cache
        self.anew = anew
        self._memory = memory or Memory()
        self._picture_part = PictureEncoder(
            settings.long_side, settings.encoding, settings.detail, settings.max_picture_bytes
        )
        self._refused: set[str] = set()  # options that the server refused
        self._name = name_of(settings, self._memory)

    def __repr__(self) -> str:
        return f"VlmCritic({self.name!r} at {self.settings.address})"

    @property
    def name(self) -> str:
        """Model and version, as `name_of` gives them."""
        return self._name

    @property
    def sight(self) -> Sight:
        """What its pictures show, according to the settings `frame` and `views`."""
        return Sight(whole=self.settings.frame == "photograph", sides=self.settings.views != "front")

    @property
    def needs(self) -> Needs:
        """Pictures alone; encoded where they are drawn, unless they are still to be arranged on contact sheets."""
        pack = None if self.settings.layout == "sheet" else Packing(self._picture_part, self.settings.views)
        return Needs(self.sight, shapes=False, pack=pack)

    @property
    def by_batch(self) -> bool:
        """Whether the settings ask for batches."""
        return self.settings.batch

    def about(self) -> dict[str, Any]:
        """What the version in the name stands for: model, prompt, memory, settings and rules. It holds no key."""
        prompt = repr((PROMPT_VERSION, task_text(3, self.settings.views, self.settings.layout)))
        rules = [rule for rule in self._memory.rules if rule.state == "admitted"]
        return {
            "model": self.settings.model,
            "address": self.settings.address,
            "prompt_version": PROMPT_VERSION,
            "prompt_digest": hashlib.sha256(prompt.encode()).hexdigest()[:16],
            "memory": None if self.settings.memory is None else str(self.settings.memory),
            "memory_digest": self._memory.digest[:16],
            "prototypes": len(self._memory.prototypes),
            "rules": [{"id": rule.id, "text": rule.text} for rule in (*self._memory.pinned, *rules)],
            "settings": _shaping(self.settings),
            "recall": self.settings.recall.model_dump(mode="json"),
            "token_limit_field": self.settings.token_limit_field,
        }

    @property
    def memory(self) -> Memory:
        """The memory that it reads."""
        return self._memory

    def presentations(self, group_id: str, size: int, settings: VlmSettings | None = None) -> Sequence[Presentation]:
        """The hypotheses shown in each call, in order; depends on the settings and the group id alone."""
        s = settings or self.settings
        rng = seeded_random(s.seed, group_id)
        return presentations(s.mode, size, s.repeats, s.block_size, s.anchors, rng, s.shuffle)

    def judge(self, group: DrawnGroup) -> Verdict:
        """One group's verdict. Not for use inside a running event loop: await `judge_many` there. Raises as
        `judge_many`.
        """
        return asyncio.run(self.judge_many([group]))[0]

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order, `max_in_flight` requests in progress at a time.

        Groups are taken one by one when there is room, so a generator need not hold all pictures at once. Raises
        BudgetSpent if the budget is used up, and VlmConfigError if the configuration cannot work.
        """
        async with self.open() as judge:
            return await judge_all(judge, groups, self.groups_at_once)

    async def judge_each(self, groups: Iterable[DrawnGroup], done: Callable[[int, Verdict], None]) -> None:
        """Like `judge_many`, but passes each verdict to `done` with the group's index as soon as it is ready, and keeps
        none.
        """
        async with self.open() as judge:
            await for_each(judge, groups, self.groups_at_once, done)

    @property
    def groups_at_once(self) -> int:
        """Groups in progress: enough for `max_in_flight` requests, and some that are drawn and encoded meanwhile."""
        s = self.settings
        each = len(calls(s.mode, 20, s.repeats, s.block_size, s.anchors))
        return -(-s.max_in_flight // each) + 1 + s.max_in_flight // 8

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Judge]:
        """Context with a function that judges one group; it works until the context ends."""
        with AnswerCache(self.cache) as cache:
            async with Endpoint(self.settings, cache, self.name, self._refused) as endpoint:

                async def judge(group: DrawnGroup) -> Verdict:
                    return await self._judge(endpoint, group)

                yield judge

    async def ask_by_batch(self, groups: Iterable[DrawnGroup]) -> int:
        """Have the first questions about groups answered by batch, into the cache; returns how many were.

        `judge_many` asks what it leaves open (rows that expired, repairs, all if the server takes no batches). Raises
        VlmConfigError without a `cache`.
        """
        if self.cache is None:
            raise VlmConfigError("answers by batch are collected in the run's cache; give VlmCritic a `cache`")
        from critique.vlm import batch  # here: it imports openai

        with AnswerCache(self.cache) as cache:
            async with Endpoint(self.settings, cache, self.name, self._refused) as endpoint:
                return await batch.collect(endpoint, cache, self.name, self._first_questions(endpoint, groups))

    def first_requests(self, group: DrawnGroup) -> list[FirstRequest]:
        """The requests that the server would be asked about a group first, adapted to what it is known to refuse.
        Nothing is sent.

        Raises VlmConfigError if the server takes too few pictures.
        """
        refused, limit = set(self._refused), None
        if self.cache is not None and self.cache.exists():
            with AnswerCache(self.cache, read_only=True) as cache:
                known = cache.adaptations(self.name)
            limit = min((int(c.removeprefix(PICTURES)) for c in known if c.startswith(PICTURES)), default=None)
            refused |= {change for change in known if not change.startswith(PICTURES)}
        return [
            FirstRequest(order, as_sent(changed(request, refused)), guess, request)
            for order, request, guess in self._firsts(group, limit)
        ]

    def _first_questions(self, endpoint: Endpoint, groups: Iterable[DrawnGroup]) -> Iterable["batch.Question"]:
        from critique.vlm import batch

        for group in groups:
            for _, request, guess in self._firsts(group, endpoint.pictures):
                yield batch.Question(endpoint.asked(request), request, guess)

    def _firsts(self, group: DrawnGroup, most: int | None) -> Iterable[tuple[Presentation, dict[str, Any], Tokens]]:
        """Order, request and expected tokens of each first question about a group; the server takes `most` pictures."""
        case = self._case(group)
        chosen = fitting(self.settings, len(group.group), most, case.prototypes)
        for order in self.presentations(group.group.person.group_id, len(group.group), chosen):
            messages = [self._message(case, order)]
            yield (
                order,
                request_body(self.settings, messages, self.settings.max_tokens, len(order)),
                self._guess(case, order),
            )

    async def _judge(self, endpoint: Endpoint, group: DrawnGroup) -> Verdict:
        """All presentations of a group at the same time, as far as there are places."""
        started = time.perf_counter()
        case = await asyncio.to_thread(self._case, group)
        while True:
            chosen = fitting(self.settings, len(group.group), endpoint.pictures, case.prototypes)
            shown = self.presentations(group.group.person.group_id, len(group.group), chosen)
            asked = (self._judgement(endpoint, case, order) for order in shown)
            found = await asyncio.gather(*asked, return_exceptions=True)
            faults = [judgement for judgement in found if isinstance(judgement, BaseException)]
            for fault in faults:
                if not isinstance(fault, TooManyPictures):  # raised only now, so that requests in progress are kept
                    raise fault
            if not faults:
                break
        judgements = [judgement for judgement in found if isinstance(judgement, _Judgement)]
        return self._verdict(group, judgements, time.perf_counter() - started, chosen)

    async def _judgement(self, endpoint: Endpoint, case: _Case, order: Presentation) -> _Judgement:
        """One presentation; after a failure again, each time starting at another position of its order."""
        if self.anew:
            try:
                kept = await self._tried(endpoint, case, order, "kept")
            except NotKept:
                pass
            else:
                if kept.judged:
                    return kept
        return await self._tried(endpoint, case, order, "new" if self.anew else "kept or new")

    async def _tried(self, endpoint: Endpoint, case: _Case, order: Presentation, look: Look) -> _Judgement:
        deadline = Deadline(self.settings.deadline_seconds)
        judgement, chances = _Judgement(order), self.settings.second_chances + 1
        for chance in range(chances):
            turn = chance * -(-len(order) // chances)
            replies = judgement.replies
            judgement = await self._asked(endpoint, case, order[turn:] + order[:turn], deadline, look)
            judgement.replies = replies + judgement.replies
            if deadline.over or judgement.judged:
                break
        if judgement.status in UNREADABLE:
            judgement.reason = f"{judgement.reason} (tries: {len(judgement.replies)})"
        return judgement

    async def _asked(
        self, endpoint: Endpoint, case: _Case, order: Presentation, deadline: Deadline, look: Look
    ) -> _Judgement:
        """Ask; raise the token limit once for a cut answer; send an unusable or incomplete answer back."""
        size, judgement = len(order), _Judgement(order)
        message = await asyncio.to_thread(self._message, case, order)
        messages, cap, widened, repairs = [message], self.settings.max_tokens, False, 0
        while True:
            # an answer that was cut at the raised limit too is no judgement: the next run asks for it again
            said = await endpoint.ask(messages, cap, size, deadline, self._guess(case, order), look, whole=widened)
            status, text = said.reply.status, said.reply.text
            judgement.replies.append(replace(said.reply, order=order))
            if status not in ("ok", "truncated"):
                if judgement.parsed is None:
                    judgement.status, judgement.reason = status, said.reason
                return judgement
            parsed, fault = _parsed(text, size)
            if said.reason and not text.strip():
                fault = ReplyError(said.reason)
            if parsed is not None and "ok" in parsed.statuses and (status == "ok" or _complete(parsed)):
                judgement.replies[-1] = replace(judgement.replies[-1], status="ok")  # cut in its trailing white space
                if self.settings.expected_scores:
                    parsed = replace(parsed, scores=expected_scores(text, said.tokens, parsed.scores))
                judgement.parsed = _better(judgement.parsed, parsed)
                if _complete(judgement.parsed) or repairs:
                    return judgement
            elif status == "truncated":
                if widened:
                    judgement.status = "truncated"
                    judgement.reason = f"the answer was cut off at {cap} tokens; raise max_tokens"
                    return judgement
                cap, widened = 2 * cap, True
                continue
            else:
                judgement.replies[-1] = replace(
                    judgement.replies[-1], status="bad_json" if parsed is None else "schema"
                )
                if repairs == REPAIRS:
                    judgement.parsed = judgement.parsed or parsed
                    judgement.status = "bad_json"
                    judgement.reason = f"no usable answer after {REPAIRS} repairs: {fault}"
                    return judgement
            repairs += 1
            messages = [message, *repair_messages(text, fault, size)]

    def _verdict(
        self, group: DrawnGroup, judgements: Sequence[_Judgement], seconds: float, chosen: VlmSettings
    ) -> Verdict:
        """The combined scores; a hypothesis that no call judged gets status and reason of the last failure."""
        size = len(group.group)
        read = [(judgement.order, judgement.parsed) for judgement in judgements if judgement.parsed is not None]
        scores = [parsed.scores for _, parsed in read]
        linked = link(size, [order for order, _ in read], scores, chosen.linked_by)
        statuses, comments = [""] * size, [""] * size
        for judgement in judgements:
            for place, index in enumerate(judgement.order):
                if statuses[index] == "ok":
                    continue
                parsed = judgement.parsed
                statuses[index] = judgement.status if parsed is None else parsed.statuses[place]
                comments[index] = judgement.reason if parsed is None else parsed.comments[place]
        replies = tuple(reply for judgement in judgements for reply in judgement.replies)
        return Verdict(
            group_id=group.group.person.group_id,
            critic=self.name,
            scores=linked.scores,
            statuses=tuple(statuses),
            comments=tuple(comments),
            seconds=seconds,
            cost=sum(cost(self.settings, reply) for reply in replies),
            replies=replies,
            uncertainty=linked.uncertainty,
            rules=tuple(rule.id for rule in self._memory.rules_for(group.group.person)),
        )

    def _case(self, group: DrawnGroup) -> _Case:
        recalled = self._memory.recall(group.group.person)
        show = on_sheets if self.settings.layout == "sheet" else encode
        pictures = show(group, self.settings.views, self._picture_part)
        shown = sum(picture is not None for picture in recalled.pictures)
        side = len(group.photograph) if group.photograph is not None else picture_side(group.packed[0])
        return _Case(pictures, tuple(memory_parts(recalled, self._picture_part)), side, shown)

    def _guess(self, case: _Case, order: Presentation) -> Tokens:
        return request_tokens(self.settings, len(order), case.side, case.prototypes)

    def _message(self, case: _Case, order: Presentation) -> dict[str, Any]:
        return first_message(case.pictures, order, case.memory, self.settings.views, self.settings.prompt_order)


def fitting(settings: VlmSettings, size: int, most: int | None, prototypes: int) -> VlmSettings:
    """The settings, changed to blocks or pairs if a server takes only `most` pictures a request (0: it gives no
    number).

    size: hypotheses of the group; prototypes: pictures from the memory. Photograph, prototypes and overlays all count
    as pictures. Raises VlmConfigError if there is not even room for two overlays.
    """
    shown = max(calls(settings.mode, size, 1, settings.block_size, settings.anchors))
    if settings.layout == "sheet":
        shown = 1
    if most is None or 1 + prototypes + shown <= most:
        return settings
    room = most - 1 - prototypes
    if most and room >= 3:
        block = min(room, settings.block_size)
        own = {"mode": "blocks", "block_size": block, "anchors": min(settings.anchors, block - 2), "link": None}
        return settings.model_copy(update=own)
    if most and room == 2:
        return settings.model_copy(update={"mode": "pairs", "link": None})
    limit = f"at most {most} pictures" if most else "fewer pictures, and does not say how many,"
    raise VlmConfigError(
        f"the server at {settings.address} takes {limit} in one request, and {1 + prototypes + shown} are to be shown: "
        f"the photograph, {f'{prototypes} prototypes, ' if prototypes else ''}and two overlays at least. Raise "
        'the server\'s limit (vLLM: --limit-mm-per-prompt), or set mode to "blocks" with a smaller block_size, or to '
        '"pairs"'
        f"{', or recall fewer prototypes' if prototypes else ''}"
    )


def _parsed(text: str, size: int) -> tuple[ParsedReply | None, ReplyError]:
    """The parsed answer, and the error to quote if it is sent back."""
    try:
        parsed = parse_reply(text, size)
    except ReplyError as error:
        return None, error
    lacking = [f"image_{place + 2}" for place, status in enumerate(parsed.statuses) if status != "ok"]
    if len(lacking) == size:
        return parsed, ReplyError("no score in it is a number from 0 to 100")
    return parsed, ReplyError(f"there is no score from 0 to 100 for {', '.join(lacking)}")


def _complete(parsed: ParsedReply) -> bool:
    return set(parsed.statuses) == {"ok"}


def _better(first: ParsedReply | None, second: ParsedReply) -> ParsedReply:
    """The parsed answer that judges more pictures."""
    if first is None or second.statuses.count("ok") >= first.statuses.count("ok"):
        return second
    return first

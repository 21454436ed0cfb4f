"""A vision-language model behind any OpenAI-compatible chat-completions endpoint, as a critic.

One call per group. Faults that can pass (429, 5xx, timeouts, lost connections) are retried by the openai
client and nowhere else. Whatever an answer holds, it ends as a verdict: scores, or abstentions whose status
says what happened, with the raw answers beside it. Only a set-up that no retry can mend (key, model, address)
raises `VlmConfigError`.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openai
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from critique.critic import abstain, seeded_order
from critique.memory import Memory
from critique.prompt import PROMPT_VERSION, PictureEncoder, first_message, repair_messages, reply_schema
from critique.reply import ParsedReply, ReplyError, parse_reply, plain_text
from critique.vlm_settings import VlmConfigError, VlmSettings, check_model
from storage.records import DrawnGroup, Reply, Verdict

__all__ = ["VlmConfigError", "VlmCritic", "VlmSettings"]

REPAIRS = 2  # times that an unusable answer is sent back
ERROR_LIMIT = 300  # characters of a server's error message that are told
LEAST_SECRET = 12  # characters; a shorter key is a word such as "local", which may stand in any answer

# Settings that can change a score: they, the prompt and the memory make the critic's version.
_ANSWER_SETTINGS = {
    "model", "max_tokens", "temperature", "structured", "long_side", "encoding", "detail", "views",
    "prompt_order", "shuffle", "seed",
}  # fmt: skip

_sent: ContextVar[list[float]] = ContextVar("requests sent for the answer in hand")


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    finish_reason: str | None = None
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0


class _Completion(BaseModel):
    """What is read of a chat completion. Unlike the client's own classes, these check it."""

    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


@dataclass(frozen=True)
class _Answer:
    """A reply, and for a failed one the reason in words."""

    reply: Reply
    reason: str = ""


class VlmCritic:
    """Asks a vision-language model for the scores of a group. The memory is read, and never written."""

    needs_pictures = True

    def __init__(
        self,
        settings: VlmSettings,
        *,
        memory: Memory | None = None,
    ) -> None:
        if settings.memory is not None and memory is None:
            raise VlmConfigError(f"the memory {settings.memory} was not read; give VlmCritic its content as `memory`")
        check_model(settings)
        self.settings = settings
        self._memory = memory or Memory()
        self._picture_part = PictureEncoder(settings.long_side, settings.encoding, settings.detail)
        self._structured = settings.structured

    def __repr__(self) -> str:
        return f"VlmCritic({self.name!r} at {self.settings.address})"

    @property
    def name(self) -> str:
        """The model and a digest of all that shapes its answers: after a change, groups count as unjudged."""
        shaping = (
            self.settings.model_dump_json(include=_ANSWER_SETTINGS),
            PROMPT_VERSION,
            self._memory.digest,
        )
        version = hashlib.sha256(repr(shaping).encode()).hexdigest()[:8]
        return f"vlm-{re.sub(r'[^A-Za-z0-9._-]+', '-', self.settings.model or '')}@{version}"

    def shown_order(self, group_id: str, size: int) -> NDArray[np.int64]:
        """The hypotheses of a group as they are shown: the k-th as image_{k + 2}. It is seeded."""
        return seeded_order(self.settings.seed, group_id, size) if self.settings.shuffle else np.arange(size)

    def judge(self, group: DrawnGroup) -> Verdict:
        """One group's verdict. Not for use inside a running event loop: await `judge_many` there."""
        return asyncio.run(self.judge_many([group]))[0]

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order, `max_in_flight` of them judged at a time.

        Groups are taken one by one as places come free, so a generator need not hold all pictures at once.
        """
        waiting = enumerate(groups)
        taking = asyncio.Lock()
        verdicts: dict[int, Verdict] = {}

        async def work(client: openai.AsyncOpenAI) -> None:
            while True:
                async with taking:
                    taken = await asyncio.to_thread(next, waiting, None)
                if taken is None:
                    return
                index, group = taken
                verdicts[index] = await self._judge(client, group)

        try:
            async with self._client() as client, asyncio.TaskGroup() as workers:
                for _ in range(self.settings.max_in_flight):
                    workers.create_task(work(client))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [verdicts[index] for index in range(len(verdicts))]

    def _client(self) -> openai.AsyncOpenAI:
        """A client that follows no redirect: pictures go to the configured host alone."""

        async def count(request: Any) -> None:
            _sent.get().append(time.perf_counter())

        settings = self.settings
        return openai.AsyncOpenAI(
            api_key=settings.key,
            base_url=settings.address,
            max_retries=settings.retries,
            timeout=openai.Timeout(settings.read_seconds, connect=settings.connect_seconds),
            http_client=openai.DefaultAsyncHttpxClient(
                follow_redirects=False, event_hooks={"request": [count]}
            ),
        )

    async def _judge(self, client: openai.AsyncOpenAI, group: DrawnGroup) -> Verdict:
        """Ask; widen the cap of a cut answer once; send an unusable one back twice."""
        started = time.perf_counter()
        until = asyncio.get_running_loop().time() + self.settings.deadline_seconds
        size = len(group.group)
        order = self.shown_order(group.group.person.group_id, size)
        messages = [await asyncio.to_thread(self._first_message, group, order)]
        cap, widened, repairs = self.settings.max_tokens, False, 0
        replies: list[Reply] = []

        def verdict(parsed: ParsedReply | None, status: str = "ok", reason: str = "") -> Verdict:
            spent = {
                "seconds": time.perf_counter() - started,
                "cost": sum(self._cost(reply) for reply in replies),
                "replies": tuple(replies),
            }
            if parsed is None:
                return abstain(group, self.name, status, reason, **spent)
            places = np.argsort(order)  # places[i]: where hypothesis i was shown
            return Verdict(
                group_id=group.group.person.group_id,
                critic=self.name,
                scores=parsed.scores[places],
                statuses=tuple(parsed.statuses[place] for place in places),
                comments=tuple(parsed.comments[place] for place in places),
                **spent,
            )

        while True:
            answer = await self._ask(client, messages, cap, size, until)
            replies.append(answer.reply)
            status, text = answer.reply.status, answer.reply.text
            if status not in ("ok", "truncated"):
                return verdict(None, status, answer.reason)
            try:
                parsed = parse_reply(text, size)
            except ReplyError as error:
                parsed, fault = None, error
            else:
                fault = ReplyError("no score in it is a number from 0 to 100")
            if parsed is not None and "ok" in parsed.statuses and (status == "ok" or _complete(parsed)):
                replies[-1] = replace(answer.reply, status="ok")  # a cut answer may end in white space alone
                return verdict(parsed)
            if status == "truncated":
                if widened:
                    return verdict(
                        None, "truncated", f"the answer was cut off at {cap} tokens; raise max_tokens"
                    )
                cap, widened = 2 * cap, True
                continue
            replies[-1] = replace(answer.reply, status="bad_json" if parsed is None else "schema")
            if repairs == REPAIRS:
                return verdict(parsed, "bad_json", f"no usable answer after {REPAIRS} repairs: {fault}")
            repairs += 1
            messages = [messages[0], *repair_messages(text, fault, size)]

    def _first_message(self, group: DrawnGroup, order: NDArray[np.int64]) -> dict[str, Any]:
        recalled = self._memory.recall(group.group.person)
        settings = self.settings
        return first_message(
            group, order.tolist(), recalled, self._picture_part, settings.views, settings.prompt_order
        )

    async def _ask(
        self, client: openai.AsyncOpenAI, messages: list[dict[str, Any]], cap: int, size: int, until: float
    ) -> _Answer:
        """One answer of the server, or the way in which it failed."""
        started = time.perf_counter()
        sent: list[float] = []
        _sent.set(sent)
        try:
            async with asyncio.timeout_at(until):
                body = await self._create(client, messages, cap, size)
        except TimeoutError:
            text, status, reason = "", "timeout", f"no answer within {self.settings.deadline_seconds:g} s"
        except openai.APIError as error:
            text, status, reason = self._failure(error)
        else:
            return self._read(body, time.perf_counter() - started, len(sent))
        reply = Reply(
            text, status, "", self.settings.model or "", 0, 0, time.perf_counter() - started, len(sent)
        )
        return _Answer(reply, f"{reason} (tries: {len(sent)})")

    async def _create(
        self, client: openai.AsyncOpenAI, messages: list[dict[str, Any]], cap: int, size: int
    ) -> str:
        """The raw body of a chat completion; if the server refuses the JSON schema, asks again without."""
        settings = self.settings
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": messages,
            settings.token_limit_field: cap,
        }
        if settings.temperature is not None:
            request["temperature"] = settings.temperature
        create: Any = client.chat.completions.with_raw_response.create
        if self._structured:
            try:
                return (await create(**request, response_format=reply_schema(size))).text
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code == "content_filter":
                    raise
        body = (await create(**request)).text
        self._structured = False  # reached only without the schema: the server does not want it
        return body

    def _failure(self, error: openai.APIError) -> tuple[str, str, str]:
        """Text, status and reason of a request that the server did not answer well."""
        if isinstance(error, openai.APITimeoutError):
            return "", "timeout", f"no answer within {self.settings.read_seconds:g} s"
        if not isinstance(error, openai.APIStatusError):
            return "", "server_error", f"connection lost: {type(error.__cause__ or error).__name__}"
        code, text = error.status_code, self._without_key(error.response.text)
        told = plain_text(text, ERROR_LIMIT)
        if code in (401, 402, 404):
            raise VlmConfigError(
                f"the server at {self.settings.address} answers HTTP {code}: {told}. "
                f"Check the key in {self.settings.api_key_variable}, the account, `base_url` and the model "
                f"'{self.settings.model}', then run again"
            ) from None
        status = {403: "refused", 408: "timeout", 429: "rate_limited"}.get(code, "server_error")
        if error.code == "content_filter":
            status = "filtered"
        return text[: 10 * ERROR_LIMIT], status, f"HTTP {code}: {told}"

    def _read(self, body: str, seconds: float, tries: int) -> _Answer:
        """The reply in the body of a chat completion, whatever the body is."""
        body = self._without_key(body)
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError:
            reply = Reply(
                body[: 10 * ERROR_LIMIT], "server_error", "", self.settings.model or "", 0, 0, seconds, tries
            )
            return _Answer(reply, "the server's answer is not a chat completion")
        usage = completion.usage or _Usage()
        choice = completion.choices[0] if completion.choices else None
        finish = (choice.finish_reason if choice else None) or ""
        message = choice.message if choice else _Message()
        if choice is None:
            status, reason = "server_error", "the server's answer holds no choice"
        elif message.refusal:
            status, reason = "refused", f"the model refused: {plain_text(message.refusal, ERROR_LIMIT)}"
        elif finish == "content_filter":
            status, reason = "filtered", "the answer was held back by a content filter"
        else:
            status, reason = ("truncated" if finish == "length" else "ok"), ""
        reply = Reply(
            text=message.content or message.refusal or ("" if choice else body[: 10 * ERROR_LIMIT]),
            status=status,
            finish_reason=finish,
            model=completion.model or "",
            prompt_tokens=usage.prompt_tokens or 0,
            completion_tokens=usage.completion_tokens or 0,
            seconds=seconds,
            tries=tries,
        )
        return _Answer(reply, reason)

    def _cost(self, reply: Reply) -> float:
        spent = reply.prompt_tokens * self.settings.prompt_price
        return (spent + reply.completion_tokens * self.settings.completion_price) / 1e6

    def _without_key(self, text: str) -> str:
        """A server may quote the key that it was sent; nothing that we keep or say does."""
        key = self.settings.key
        return text.replace(key, "[key]") if len(key) >= LEAST_SECRET else text


def _complete(parsed: ParsedReply) -> bool:
    return "missing_item" not in parsed.statuses

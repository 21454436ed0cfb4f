"""One question to a chat-completions endpoint and what came of it: kept, counted, within the budget.

Faults that can pass (429, 5xx, timeouts, lost connections) are retried by the openai client and nowhere else.
Only a set-up that no retry can mend (key, model, address) raises `VlmConfigError`.
"""

import asyncio
import time
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import openai
from pydantic import BaseModel, ValidationError

from critique.cache import Answer, AnswerCache, digest_of
from critique.expectation import Token
from critique.prompt import reply_schema
from critique.reply import REPLY_LIMIT, plain_text
from critique.stream import BudgetSpent
from critique.vlm_settings import VlmConfigError, VlmSettings
from storage.records import Reply

ERROR_LIMIT = 300  # characters of a server's error message that are told
LEAST_SECRET = 12  # characters; a shorter key is a word such as "local", which may stand in any answer
LIKELY = 20  # alternatives of each token that are asked for

_sent: ContextVar[list[float]] = ContextVar("requests sent for the answer in hand")


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Logprobs(BaseModel):
    content: list[Token] | None = None


class _Choice(BaseModel):
    finish_reason: str | None = None
    message: _Message
    logprobs: _Logprobs | None = None


class _Details(BaseModel):
    cached_tokens: int | None = 0


class _Usage(BaseModel):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None


class _Completion(BaseModel):
    """What is read of a chat completion. Unlike the client's own classes, these check it."""

    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


@dataclass(frozen=True)
class Said:
    """A reply, for a failed one the reason in words, and the probabilities of its tokens if they were told."""

    reply: Reply
    reason: str = ""
    tokens: tuple[Token, ...] = ()


class Deadline:
    """So many seconds from the moment that something is first sent."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def starts(self) -> float:
        """When it ends, in the event loop's time; the first call starts it."""
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        return self._until

    @property
    def over(self) -> bool:
        return self._until is not None and asyncio.get_running_loop().time() >= self._until


class Endpoint:
    """The configured server, for one critic and as long as the context lasts."""

    def __init__(self, settings: VlmSettings, cache: AnswerCache, critic: str, structured: bool) -> None:
        self.settings = settings
        self.structured = structured  # becomes False once the server has refused the JSON schema
        self._cache = cache
        self._critic = critic
        self._key = settings.key
        self._address = settings.address
        self._under_way = 0
        self._places = asyncio.Semaphore(settings.max_in_flight)
        self._money, self._tokens, self._answers = cache.money(), cache.tokens(), 0
        self._money_before, self._tokens_before = self._money, self._tokens

    async def __aenter__(self) -> "Endpoint":
        """Opens a client that follows no redirect: pictures go to the configured host alone."""

        async def count(request: Any) -> None:
            _sent.get([]).append(time.perf_counter())

        settings = self.settings
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._address,
            max_retries=settings.retries,
            timeout=openai.Timeout(settings.read_seconds, connect=settings.connect_seconds),
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False, event_hooks={"request": [count]}),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    @property
    def client(self) -> openai.AsyncOpenAI:
        return self._client

    def request(self, messages: list[dict[str, Any]], cap: int) -> dict[str, Any]:
        """The body of a request, but for the JSON schema."""
        settings = self.settings
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": messages,
            settings.token_limit_field: cap,
        }
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        if settings.expected_scores:
            body |= {"logprobs": True, "top_logprobs": LIKELY}
        return body

    def asked(self, request: dict[str, Any]) -> str:
        """Under which digest the answer to a request is kept."""
        return digest_of(self._address, request)

    async def ask(self, messages: list[dict[str, Any]], cap: int, size: int, deadline: Deadline) -> Said:
        """One answer of the server, or the way in which it failed; one that was paid for before is not asked again."""
        request = self.request(messages, cap)
        asked = self.asked(request)
        if kept := self._cache.get(asked):
            return self._read(kept)[0]
        sent: list[float] = []
        _sent.set(sent)
        async with self._places:
            self.check_budget()
            started = time.perf_counter()
            self._under_way += 1
            try:
                async with asyncio.timeout_at(deadline.starts()):
                    body = await self._create(request, size)
                status = "ok"
            except TimeoutError:
                text, status, reason = "", "timeout", f"no answer within {self.settings.deadline_seconds:g} s"
            except openai.APIError as error:
                text, status, reason = self._failure(error)
            finally:
                self._under_way -= 1
            seconds = time.perf_counter() - started
        if status == "ok":
            return self.keep(asked, body, seconds, len(sent))
        reply = Reply(text, status, "", self.settings.model or "", 0, 0, seconds, len(sent))
        return Said(reply, f"{reason} (tries: {len(sent)})")

    def keep(self, asked: str, body: str, seconds: float, tries: int, price: float = 1.0) -> Said:
        """Read an answer that just came; one that was paid for goes into the cache. `price`: share of the full one."""
        body = self._without_key(body)
        said, usage = self._read(Answer(body, "", 0, 0, 0, 0.0, seconds, tries))
        if usage is not None:
            reply = said.reply
            cached = (usage.prompt_tokens_details.cached_tokens or 0) if usage.prompt_tokens_details else 0
            money = price * cost(self.settings, reply)
            spent = (reply.model, reply.prompt_tokens, cached, reply.completion_tokens, money, seconds, tries)
            self._cache.put(asked, self._critic, Answer(body, *spent))
            self._money += money
            self._tokens += reply.prompt_tokens + reply.completion_tokens
            self._answers += 1
        return said

    def known(self, asked: str) -> bool:
        return self._cache.get(asked) is not None

    def check_budget(self) -> None:
        """Refuse to send what would pass the budget, counting what is under way at the mean of what came."""
        settings = self.settings
        for limit, spent, before, unit in (
            (settings.budget, self._money, self._money_before, "money"),
            (settings.budget_tokens, self._tokens, self._tokens_before, "tokens"),
        ):
            ahead = (self._under_way + 1) * (spent - before) / max(self._answers, 1)
            if limit is not None and (spent >= limit or spent + ahead > limit):
                raise BudgetSpent(
                    f"the remote critic's budget of {limit:g} ({unit}) is used up: {spent:g} spent in this run. "
                    "All answers are kept; raise `budget` or `budget_tokens` of [critic] vlm and run again, and it "
                    "goes on where it stopped"
                )

    async def _create(self, request: dict[str, Any], size: int) -> str:
        """The raw body of a chat completion; if the server refuses the JSON schema, asks again without."""
        if self.structured:
            try:
                return await self._post(request | {"response_format": reply_schema(size)})
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code == "content_filter":
                    raise
        body = await self._post(request)
        self.structured = False  # reached only without the schema: the server does not want it
        return body

    async def _post(self, request: dict[str, Any]) -> str:
        """By the client's plain `post`: it retries and raises as `create` does, but leaves the body as it is."""
        return await self._client.post("/chat/completions", body=request, cast_to=str)

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
                f"the server at {self._address} answers HTTP {code}: {told}. "
                f"Check the key in {self.settings.api_key_variable}, the account, `base_url` and the model "
                f"'{self.settings.model}', then run again"
            ) from None
        status = {403: "refused", 408: "timeout", 429: "rate_limited"}.get(code, "server_error")
        if error.code == "content_filter":
            status = "filtered"
        return text[: 10 * ERROR_LIMIT], status, f"HTTP {code}: {told}"

    def _read(self, answer: Answer) -> tuple[Said, _Usage | None]:
        """The reply in the body of a chat completion, whatever the body is; no usage: it was not worth keeping."""
        reply = Reply(
            answer.body[: 10 * ERROR_LIMIT], "server_error", "", self.settings.model or "", 0, 0,
            answer.seconds, answer.tries,
        )  # fmt: skip
        try:
            completion = _Completion.model_validate_json(answer.body)
        except ValidationError:
            return Said(reply, "the server's answer is not a chat completion"), None
        usage = completion.usage or _Usage()
        reply = replace(
            reply,
            model=plain_text(completion.model or "", ERROR_LIMIT),
            prompt_tokens=usage.prompt_tokens or 0,
            completion_tokens=usage.completion_tokens or 0,
        )
        if not completion.choices:
            return Said(reply, "the server's answer holds no choice"), None
        choice = completion.choices[0]
        message, finish = choice.message, choice.finish_reason or ""
        if message.refusal:
            status, reason = "refused", f"the model refused: {plain_text(message.refusal, ERROR_LIMIT)}"
        elif finish == "content_filter":
            status, reason = "filtered", "the answer was held back by a content filter"
        else:
            status, reason = ("truncated" if finish == "length" else "ok"), ""
        text = (message.content or message.refusal or "")[-REPLY_LIMIT:]
        tokens = choice.logprobs.content if choice.logprobs else None
        said = replace(reply, text=text, status=status, finish_reason=plain_text(finish, ERROR_LIMIT))
        return Said(said, reason, tuple(tokens or ())), usage

    def _without_key(self, text: str) -> str:
        """A server may quote the key that it was sent; nothing that we keep or say does."""
        return text.replace(self._key, "[key]") if len(self._key) >= LEAST_SECRET else text


def cost(settings: VlmSettings, reply: Reply) -> float:
    """Price of one answer, in the currency of the configured prices."""
    spent = reply.prompt_tokens * settings.prompt_price + reply.completion_tokens * settings.completion_price
    return spent / 1e6

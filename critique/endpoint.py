"""One question to a chat-completions endpoint and what came of it: kept, counted, within the budget.

Faults that can pass (429, 5xx, timeouts, lost connections) are retried by the openai client and nowhere else.
Only a set-up that no retry can mend (key, model, address) raises `VlmConfigError`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import openai
from pydantic import BaseModel, ValidationError

from critique.cache import Answer, AnswerCache, digest_of
from critique.cost import Tokens, price
from critique.expectation import Token
from critique.prompt import reply_schema
from critique.reply import REPLY_LIMIT, plain_text
from critique.stream import BudgetSpent
from critique.vlm_settings import VlmConfigError, VlmSettings
from storage.records import Reply

log = logging.getLogger(__name__)

ERROR_LIMIT = 300  # characters of a server's error message that are told
LEAST_SECRET = 12  # characters; a shorter key is a word such as "local", which may stand in any answer
LIKELY = 20  # alternatives of each token that are asked for

OPTIONS = {"logprobs": ("logprobs", "top_logprobs"), "response_format": ("response_format",)}
"""What of a request some servers do not know, with its keys; they are asked without it."""

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

    def __init__(self, settings: VlmSettings, cache: AnswerCache, critic: str, refused: set[str] | None = None) -> None:
        """refused: OPTIONS that the server is known not to take; what it refuses from now on is added."""
        self.settings = settings
        self._refused = set() if refused is None else refused
        self._cache = cache
        self._critic = critic
        self._key = settings.key
        self._address = settings.address
        self._under_way = 0
        self._places = asyncio.Semaphore(settings.max_in_flight)
        self._first = asyncio.Lock()
        self._money, self._tokens = cache.money(), cache.tokens()
        own = [line for line in cache.ledger() if line.critic == critic]  # one at most
        self._answers = sum(line.answers for line in own)
        self._came = Tokens(sum(line.prompt_tokens for line in own), sum(line.completion_tokens for line in own))

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

    def request(self, messages: list[dict[str, Any]], cap: int, size: int) -> dict[str, Any]:
        """The body of a request as the settings want it. size: overlays to judge; 0 = something else is asked."""
        settings = self.settings
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": messages,
            settings.token_limit_field: cap,
        }
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        if size and settings.expected_scores:
            body |= {"logprobs": True, "top_logprobs": LIKELY}
        if size and settings.structured:
            body["response_format"] = reply_schema(size)
        return body

    def taken(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request without the OPTIONS that the server refuses."""
        return without(request, self._refused)

    def asked(self, request: dict[str, Any]) -> str:
        """Under which digest the answer to a request is kept."""
        return digest_of(self._address, request)

    async def ask(
        self, messages: list[dict[str, Any]], cap: int, size: int, deadline: Deadline, guess: Tokens
    ) -> Said:
        """One answer of the server, or the way in which it failed; one that was paid for before is not asked again.

        guess: what it takes, for the budget, as long as no answer was measured.
        """
        request = self.request(messages, cap, size)
        asked = self.asked(request)
        if kept := self._cache.get(asked):
            return self._read(kept)[0]
        sent: list[float] = []
        _sent.set(sent)
        async with self._places, self._first_alone():
            self.check_budget(guess)
            started = time.perf_counter()
            self._under_way += 1
            try:
                async with asyncio.timeout_at(deadline.starts()):
                    body = await self._create(request)
                status = "ok"
            except TimeoutError:
                text, status, reason = "", "timeout", f"no answer within {self.settings.deadline_seconds:g} s"
            except openai.APIError as error:
                text, status, reason = self.failure(error)
            finally:
                self._under_way -= 1
            seconds = time.perf_counter() - started
        if status == "ok":
            return self.keep(asked, body, seconds, len(sent))
        reply = Reply(text, status, "", self.settings.model or "", 0, 0, seconds, len(sent))
        return Said(reply, f"{reason} (tries: {len(sent)})")

    def keep(self, asked: str, body: str, seconds: float, tries: int, share: float = 1.0) -> Said:
        """Read an answer that just came; one that was paid for goes into the cache. `share`: of the full price."""
        body = self.without_key(body)
        said, usage = self._read(Answer(body, "", 0, 0, 0, 0.0, seconds, tries))
        if usage is not None:
            reply = said.reply
            cached = (usage.prompt_tokens_details.cached_tokens or 0) if usage.prompt_tokens_details else 0
            money = share * cost(self.settings, reply)
            spent = (reply.model, reply.prompt_tokens, cached, reply.completion_tokens, money, seconds, tries)
            self._cache.put(asked, self._critic, Answer(body, *spent))
            self._money += money
            self._tokens += reply.prompt_tokens + reply.completion_tokens
            self._came = Tokens(
                self._came.prompt + reply.prompt_tokens, self._came.completion + reply.completion_tokens
            )
            self._answers += 1
        return said

    def known(self, asked: str) -> bool:
        return self._cache.get(asked) is not None

    @asynccontextmanager
    async def _first_alone(self) -> AsyncIterator[None]:
        """Under a budget one request goes ahead: what it takes tells how many of the others may follow."""
        if self._answers or self.settings.budget is self.settings.budget_tokens is None:
            yield
            return
        async with self._first:
            if not self._answers:
                yield
                return
        yield

    def check_budget(self, guess: Tokens, requests: int = 1, share: float = 1.0) -> None:
        """Refuse to send what would pass the budget: so many requests beside those under way, at a share of the price.

        Each counts as the mean of this critic's answers; as `guess` where there is none yet.
        """
        settings, count = self.settings, self._answers
        each = Tokens(self._came.prompt / count, self._came.completion / count) if count else guess
        for limit, spent, one, unit in (
            (settings.budget, self._money, share * price(settings, each), "money"),
            (settings.budget_tokens, self._tokens, sum(each), "tokens"),
        ):
            ahead = (self._under_way + requests) * one
            if limit is not None and (spent >= limit or spent + ahead > limit):
                raise BudgetSpent(
                    f"the remote critic's budget of {limit:g} ({unit}) is used up: {spent:g} spent in this run, and "
                    f"about {one:g} for each answer to come. All answers are kept; raise `budget` or `budget_tokens` "
                    "of [critic] vlm and run again, and it goes on where it stopped"
                )

    async def _create(self, request: dict[str, Any]) -> str:
        """The raw body of a chat completion; if the server refuses the request, asks again without its OPTIONS."""
        request = self.taken(request)  # as it is now: what others learn meanwhile is not this one's finding
        present = [option for option in OPTIONS if option in request]
        ways = [less for count in range(len(present) + 1) for less in combinations(present, count)]
        for less in ways[:-1]:
            try:
                body = await self._post(without(request, less))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code == "content_filter":
                    raise
            else:
                self._refuses(less)
                return body
        body = await self._post(without(request, ways[-1]))
        self._refuses(ways[-1])  # reached only without them: the server does not want them
        return body

    def _refuses(self, options: Sequence[str]) -> None:
        for option in set(options) - self._refused:
            log.warning("%s takes no `%s`; it is asked without from now on", self._address, option)
            self._refused.add(option)

    async def _post(self, request: dict[str, Any]) -> str:
        """By the client's plain `post`: it retries and raises as `create` does, but leaves the body as it is."""
        return await self._client.post("/chat/completions", body=request, cast_to=str)

    def failure(self, error: openai.APIError, fatal: Sequence[int] = (401, 402, 404)) -> tuple[str, str, str]:
        """Text, status and reason of a request that the server did not answer well; VlmConfigError for `fatal` ones."""
        if type(error.__cause__).__name__ == "ConnectTimeout":  # of httpx, or of what a newer client has in its place
            return "", "timeout", f"no connection within {self.settings.connect_seconds:g} s"
        if isinstance(error, openai.APITimeoutError):
            return "", "timeout", f"no answer within {self.settings.read_seconds:g} s"
        if not isinstance(error, openai.APIStatusError):
            return "", "server_error", f"connection lost: {type(error.__cause__ or error).__name__}"
        code, text = error.status_code, self.without_key(error.response.text)
        told = plain_text(text, ERROR_LIMIT)
        if code in fatal:
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

    def without_key(self, text: str) -> str:
        """A server may quote the key that it was sent; nothing that we keep or say does."""
        return text.replace(self._key, "[key]") if len(self._key) >= LEAST_SECRET else text


def cost(settings: VlmSettings, reply: Reply) -> float:
    """Price of one answer, in the currency of the configured prices."""
    return price(settings, Tokens(reply.prompt_tokens, reply.completion_tokens))


def without(request: dict[str, Any], options: Iterable[str]) -> dict[str, Any]:
    """A request without some of the OPTIONS."""
    gone = {key for option in options for key in OPTIONS[option]}
    return {key: value for key, value in request.items() if key not in gone}

"""One request to a chat-completions endpoint and its answer: cached, counted, within the budget.

Temporary faults (429, 5xx, timeouts, lost connections) are retried by the openai client and nowhere else. One request
is sent first as a probe. Parts of it that the server refuses are left out from then on and reported (adaptation.py).
Only a configuration that no retry can fix (key, model, address, quota) raises `VlmConfigError`.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from critique.endpoint.adaptation import OPTIONS, changed, describe, named_change, picture_limit, setting_to_change
from critique.endpoint.cache import AnswerCache, KeptAnswer, digest_of
from critique.endpoint.completion import Completion, CompletionError, error_text, read_completion
from critique.endpoint.stream import BudgetSpent
from critique.vlm.cost import Tokens, price
from critique.vlm.expectation import Token
from critique.vlm.prompt import reply_schema
from critique.vlm.reply import REPLY_LIMIT, plain_text
from critique.vlm.vlm_settings import VlmConfigError, VlmSettings
from storage.records import Reply

if TYPE_CHECKING:  # half a second that whoever only names a critic can spare: each method imports it
    import openai

log = logging.getLogger(__name__)

ERROR_LIMIT = 300  # characters of a server's error message that are quoted
LEAST_SECRET = 12  # characters; a shorter key is a word such as "local", which may occur in any answer
LIKELY = 20  # alternative tokens requested for each token

STRANGE = 2  # requests refused for unknown reasons, before any good answer, after which the run stops

PICTURES = "pictures: "  # prefix of the picture limit, stored as an adaptation

Look = Literal["kept or new", "kept", "new"]
"""Where an answer may come from: the cache, the server, or the server if it is not in the cache."""

_sent: ContextVar[list[float]] = ContextVar("requests sent for the answer in hand")


class NotKept(Exception):
    """There is no cached answer to this request."""


class TooManyPictures(Exception):
    """The server takes fewer pictures in one request: see `Endpoint.pictures`."""


@dataclass(frozen=True)
class Said:
    """A reply; for a failed one the reason as text; and the probabilities of its tokens if the server gave them."""

    reply: Reply
    reason: str = ""
    tokens: tuple[Token, ...] = ()


class Deadline:
    """A time limit, seconds, that starts when something is first sent."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def starts(self) -> float:
        """The end of the time limit in the event loop's time, seconds; the first call starts it."""
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        return self._until

    @property
    def over(self) -> bool:
        """Whether the time limit has passed."""
        return self._until is not None and asyncio.get_running_loop().time() >= self._until


class Endpoint:
    """The configured server, for one critic; usable while the context lasts."""

    def __init__(self, settings: VlmSettings, cache: AnswerCache, critic: str, refused: set[str] | None = None) -> None:
        """refused: OPTIONS that the server is known to refuse; newly refused ones are added."""
        self.settings = settings
        self._refused = set() if refused is None else refused
        self._refused |= {change for change in cache.adaptations(critic) if not change.startswith(PICTURES)}
        limits = [c.removeprefix(PICTURES) for c in cache.adaptations(critic) if c.startswith(PICTURES)]
        self.pictures = min(map(int, limits), default=None)  # most pictures in one request, if known
        self._settled = self._proved = False  # the probe came back; there was a good answer
        self._stopped: VlmConfigError | None = None
        self._strange = 0  # requests that were refused before, for unknown reasons
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
        import openai

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
    def client(self) -> "openai.AsyncOpenAI":
        """The open client."""
        return self._client

    def taken(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request without the OPTIONS that the server refuses."""
        return changed(request, self._refused)

    def asked(self, request: dict[str, Any]) -> str:
        """The digest under which the answer to a request is cached."""
        return digest_of(self._address, request)

    async def ask(
        self,
        messages: list[dict[str, Any]],
        cap: int,
        size: int,
        deadline: Deadline,
        guess: Tokens,
        look: Look = "kept or new",
        whole: bool = False,
    ) -> Said:
        """The server's answer to messages, or how it failed; an answer that was paid for before comes from the cache.

        guess: expected tokens, for the budget, as long as no answer was measured. look: where the answer may come from.
        whole: a cached answer that was cut off does not count. Raises NotKept if it may only come from the cache and is
        not there, TooManyPictures if the server takes fewer pictures in one request, BudgetSpent if the budget does not
        cover it, and VlmConfigError if the configuration cannot work.
        """
        import openai

        request = request_body(self.settings, messages, cap, size)
        asked = await asyncio.to_thread(self.asked, request)
        if look != "new" and (kept := self._cache.get(asked)):
            said = self._read(kept)[0]
            if not whole or look == "kept" or said.reply.status != "truncated":
                return said
        if look == "kept":
            raise NotKept
        sent: list[float] = []
        _sent.set(sent)
        async with self._places, self._probe_first():
            if self._stopped is not None:
                raise self._stopped
            if size and self.pictures is not None and pictures_in(request) > self.pictures:
                raise TooManyPictures
            self.check_budget(guess)
            strange = self._strange
            started = time.perf_counter()
            self._under_way += 1
            body: str | None = None
            text = status = reason = ""
            try:
                async with asyncio.timeout_at(deadline.starts()):
                    body = await self._create(request)
            except TimeoutError:
                text, status, reason = "", "timeout", f"no answer within {self.settings.deadline_seconds:g} s"
            except openai.APIError as error:
                text, status, reason = self.failure(error)
                if isinstance(error, openai.APIStatusError) and status in ("server_error", "refused"):
                    status = self._judged_strange(error.status_code, status, reason, error.response.text, size)
            finally:
                self._under_way -= 1
            seconds = time.perf_counter() - started
            said = None
            if body is not None:
                said = self.keep(asked, body, seconds, len(sent))
                self._prove(said, body)
            self._settled |= strange == self._strange  # else the next one is a probe too
        if said is not None:
            return said
        reply = Reply(text, status, "", self.settings.model or "", 0, 0, seconds, len(sent))
        return Said(reply, f"{reason} (tries: {len(sent)})")

    def keep(self, asked: str, body: str, seconds: float, tries: int, share: float = 1.0) -> Said:
        """Read an answer that just came; one that was paid for goes into the cache. `share`: share of the full price,
        0..1.
        """
        body = self.without_key(body)
        said, found = self._read(KeptAnswer(body, "", 0, 0, 0, 0.0, seconds, tries))
        if found is not None:
            reply, cached = said.reply, found.cached_tokens
            money = share * cost(self.settings, reply)
            spent = (reply.model, reply.prompt_tokens, cached, reply.completion_tokens, money, seconds, tries)
            self._cache.put(asked, self._critic, KeptAnswer(body, *spent))
            self._money += money
            self._tokens += reply.prompt_tokens + reply.completion_tokens
            self._came = Tokens(
                self._came.prompt + reply.prompt_tokens, self._came.completion + reply.completion_tokens
            )
            self._answers += 1
        return said

    def known(self, asked: str) -> bool:
        """Whether an answer to the request with this digest is cached."""
        return self._cache.get(asked) is not None

    @asynccontextmanager
    async def _probe_first(self) -> AsyncIterator[None]:
        """One request goes first: it shows whether the set-up works and, under a budget, what an answer takes."""

        def alone() -> bool:
            budget = self.settings.budget is not None or self.settings.budget_tokens is not None
            return not self._settled or (budget and not self._answers)

        if not alone():
            yield
            return
        async with self._first:
            if alone():
                yield
                return
        yield

    def _prove(self, said: Said, body: str) -> None:
        """Learn from a body with HTTP 200; raises VlmConfigError if it reports a set-up that no retry fixes."""
        if said.reply.status not in ("server_error", "rate_limited"):
            self._proved = True
            return
        self._stop_for(200, said.reason, body)
        if not self._proved and said.reply.status == "server_error" and "choice" not in said.reason:
            self._count_strange(said.reason)

    def _judged_strange(self, code: int, status: str, reason: str, words: str, size: int) -> str:
        """The status of a request that was refused (HTTP 4xx), by what came before it."""
        limit = picture_limit(words) if code in (400, 413, 422) and size else None
        if limit is not None:
            self.pictures = limit if self.pictures is None else min(limit, self.pictures)
            if limit:
                said = f"{self._address} takes {limit} pictures a request; groups are shown in parts from now on"
                log.warning("%s (%s)", said, reason)
                self._cache.adapt(self._critic, f"{PICTURES}{limit}", said)
            raise TooManyPictures
        if not 400 <= code < 500:
            return status
        if self._proved:
            return "refused"  # others are answered well: the fault is this request's own
        self._count_strange(reason)
        return status

    def _count_strange(self, reason: str) -> None:
        self._strange += 1
        if self._strange >= STRANGE:
            self._stop(
                f"the server at {self._address} answers no request as it should: {reason}. Nothing more is sent; "
                "change the setting of [critic] vlm that its words speak of (is `base_url` right?), or the server's "
                "own, then run again"
            )

    def _stop(self, message: str) -> NoReturn:
        """Send nothing more: raises VlmConfigError now and for every later request."""
        self._stopped = VlmConfigError(message)
        raise self._stopped from None

    def _stop_for(self, code: int, reason: str, words: str) -> None:
        settings = self.settings
        fix = setting_to_change(code, words, self._address, settings.model or "", settings.api_key_variable)
        if fix is not None:
            self._stop(f"the server at {self._address} answers {reason}. {fix}, then run again; answers are kept")

    def check_budget(self, guess: Tokens, requests: int = 1, share: float = 1.0) -> None:
        """Raises BudgetSpent if `requests` more, besides those in progress, would exceed the budget of money or tokens.

        Each request counts as the mean of this critic's answers, or as `guess` if there is none yet. share: share of
        the full price, 0..1.
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
        """The raw body of a chat completion; parts of the request that the server refuses are left out, once.

        First the parts that its error message names; if it names none, all optional parts.
        """
        import openai

        request = self.taken(request)  # a copy: refusals that other requests find meanwhile do not count as this one's
        changes: list[str] = []
        while True:
            try:
                body = await self._post(changed(request, changes))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                named = named_change(error.response.text, changed(request, changes), changes)
                if error.code == "content_filter" or (named is None and self._is_no_options(error)):
                    raise
                if named is None:
                    break
                changes.append(named)
            else:
                self._refuses(changes)
                return body
        present = [option for option in OPTIONS if option in changed(request, changes)]
        ways = [less for count in range(1, len(present) + 1) for less in combinations(present, count)]
        for less in ways[:-1]:
            try:
                body = await self._post(changed(request, [*changes, *less]))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code == "content_filter":
                    raise
            else:
                self._refuses([*changes, *less])
                return body
        less = [*changes, *(ways[-1] if ways else ())]
        body = await self._post(changed(request, less))
        self._refuses(less)  # reached only without them: the server does not want them
        return body

    def _is_no_options(self, error: "openai.APIStatusError") -> bool:
        """Whether a refusal is of another kind than options: leaving them out would only send all pictures again."""
        words, settings = error.response.text, self.settings
        fix = setting_to_change(error.status_code, words, self._address, "", settings.api_key_variable)
        return picture_limit(words) is not None or fix is not None

    def _refuses(self, changes: Sequence[str]) -> None:
        for change in sorted(set(changes) - self._refused):
            log.warning("%s", describe(change, self._address))
            self._refused.add(change)
            self._cache.adapt(self._critic, change, describe(change, self._address))

    async def _post(self, request: dict[str, Any]) -> str:
        """By the client's plain `post`: it retries and raises as `create` does, but leaves the body as it is.

        The request becomes bytes here, once for all tries, and in a thread: it holds megabytes of pictures.
        """
        content = await asyncio.to_thread(as_sent, request)
        return await self._client.post("/chat/completions", content=content, cast_to=str)

    def failure(self, error: "openai.APIError", fatal: Sequence[int] = (401, 402, 404)) -> tuple[str, str, str]:
        """Text, status and reason of a request that the server did not answer well.

        Raises VlmConfigError for the HTTP statuses in `fatal`.
        """
        import openai

        if type(error.__cause__).__name__ == "ConnectTimeout":  # of httpx, or of what a newer client has in its place
            return "", "timeout", f"no connection within {self.settings.connect_seconds:g} s"
        if isinstance(error, openai.APITimeoutError):
            return "", "timeout", f"no answer within {self.settings.read_seconds:g} s"
        if not isinstance(error, openai.APIStatusError):
            return "", "server_error", f"connection lost: {type(error.__cause__ or error).__name__}"
        code, text = error.status_code, self.without_key(error.response.text)
        said = plain_text(error_text(text), ERROR_LIMIT)
        if code in fatal or 404 in fatal:  # for a batch, 404 only means that the server has no batches
            self._stop_for(code, f"HTTP {code}: {said}", text)
        if code in fatal:
            self._stop(
                f"the server at {self._address} answers HTTP {code}: {said}. "
                f"Check the key in {self.settings.api_key_variable}, the account, `base_url` and the model "
                f"'{self.settings.model}', then run again"
            )
        status = {403: "refused", 408: "timeout", 429: "rate_limited"}.get(code, "server_error")
        if error.code == "content_filter":
            status = "filtered"
        return text[: 10 * ERROR_LIMIT], status, f"HTTP {code}: {said}"

    def _read(self, answer: KeptAnswer) -> tuple[Said, Completion | None]:
        """The reply in a body, whatever it is, and the completion; no completion: the body is not worth keeping."""
        reply = Reply(
            answer.body[: 10 * ERROR_LIMIT], "server_error", "", self.settings.model or "", 0, 0,
            answer.seconds, answer.tries,
        )  # fmt: skip
        try:
            found = read_completion(answer.body)
        except CompletionError as error:
            status = "rate_limited" if re.search(r"(?i)\b429\b|rate.?limit", str(error)) else "server_error"
            return Said(replace(reply, status=status), plain_text(str(error), ERROR_LIMIT)), None
        text, reason, status = (found.text or found.refusal)[-REPLY_LIMIT:], found.note, "ok"
        if found.refusal:
            status, reason = "refused", f"the model refused: {plain_text(found.refusal, ERROR_LIMIT)}"
        elif found.finish == "content_filter":
            status, reason = "filtered", "the answer was held back by a content filter"
        elif found.finish == "length":
            status = "truncated"
        said = replace(
            reply,
            text=text,
            status=status,
            finish_reason=plain_text(found.finish, ERROR_LIMIT),
            model=plain_text(found.model, ERROR_LIMIT),
            prompt_tokens=found.prompt_tokens,
            completion_tokens=found.completion_tokens,
        )
        return Said(said, reason, found.tokens), found

    def without_key(self, text: str) -> str:
        """The text without the API key: a server may quote the key, and we neither store nor print it."""
        return text.replace(self._key, "[key]") if len(self._key) >= LEAST_SECRET else text


def request_body(settings: VlmSettings, messages: list[dict[str, Any]], cap: int, size: int) -> dict[str, Any]:
    """The body of a request according to the settings.

    cap: most tokens of the answer; size: overlays to judge, 0 = the request is about something else.
    """
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": messages,
    }
    if settings.token_limit_field is not None:
        body[settings.token_limit_field] = cap
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if size and settings.expected_scores:
        body |= {"logprobs": True, "top_logprobs": LIKELY}
    if size and settings.structured:
        body["response_format"] = reply_schema(size)
    return body


def as_sent(request: dict[str, Any]) -> bytes:
    """The body of a request as the bytes that are sent."""
    return json.dumps(request, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def pictures_in(request: dict[str, Any]) -> int:
    """The number of pictures in a request."""
    contents = [message["content"] for message in request["messages"] if isinstance(message["content"], list)]
    return sum(part["type"] == "image_url" for content in contents for part in content)


def cost(settings: VlmSettings, reply: Reply) -> float:
    """Price of one answer, in the currency of the configured prices."""
    return price(settings, Tokens(reply.prompt_tokens, reply.completion_tokens))

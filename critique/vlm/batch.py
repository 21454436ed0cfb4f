"""First questions as a batch: one JSONL file, answered within a day, often at half the price.

The answers only go into the cache, where judging then finds them. A batch that was sent is remembered in the cache, so
that a killed run collects it instead of paying twice. All faults of a batch are reported, and what it leaves unanswered
is asked one by one; only an error of key or account stops the run.
"""

import asyncio
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any, NamedTuple

import openai
from pydantic import BaseModel, ConfigDict, ValidationError

from critique.endpoint.cache import AnswerCache
from critique.endpoint.endpoint import ERROR_LIMIT, Endpoint
from critique.endpoint.stream import BudgetSpent
from critique.vlm.cost import Tokens
from critique.vlm.reply import plain_text

log = logging.getLogger(__name__)

MOST_BYTES = 150_000_000  # of one file; hosted services take 200 MB
ENDED = ("completed", "failed", "expired", "cancelled")
FATAL = (401, 402)  # HTTP statuses of a key or an account that asking one by one cannot fix
PASSING = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)


class Question(NamedTuple):
    """One request, and the digest under which its answer is cached."""

    asked: str
    request: dict[str, Any]
    guess: Tokens  # expected tokens


class _Batch(BaseModel):
    """What is read from the state of a batch or of a stored file."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    status: str | None = None
    output_file_id: str | None = None
    errors: Any = None


class _Response(BaseModel):
    status_code: int
    body: Any = None


class _Row(BaseModel):
    """One line of a batch's output."""

    custom_id: str
    response: _Response | None = None


async def collect(endpoint: Endpoint, cache: AnswerCache, critic: str, questions: Iterable[Question]) -> int:
    """Send the questions without a cached answer as batches, wait, and cache the answers; returns how many answers
    came.

    0 if the server takes no batches. Raises BudgetSpent if not even one more question fits the budget, and
    VlmConfigError for an error of key or account.
    """
    address, came = endpoint.settings.address, 0
    try:
        for id in cache.open_batches(critic):
            try:
                came += await _wait(endpoint, cache, id)
            except openai.NotFoundError:
                log.warning("%s no longer knows batch %s; handing its questions in again", address, id)
                cache.close_batch(id)
        waiting: Iterator[Question] | None = iter(questions)
        while waiting is not None:
            with tempfile.TemporaryFile() as file:
                rows, waiting = await asyncio.to_thread(_write, file, waiting, endpoint)
                if rows:
                    file.seek(0)
                    came += await _wait(endpoint, cache, await _send_file(endpoint, cache, critic, file, rows))
    except openai.APIError as error:
        log.warning("%s takes no batch (%s); asking one by one", address, endpoint.failure(error, FATAL)[2])
    except ValidationError:
        log.warning("%s takes no batch (its answer is of another form); asking one by one", address)
    return came


def _write(file: IO[bytes], questions: Iterator[Question], endpoint: Endpoint) -> tuple[int, Iterator[Question] | None]:
    """Rows written, and the questions for the next file; None if there are none.

    A file ends where the budget does: whether there is a next one depends on what its answers cost.
    """
    rows = 0
    for question in questions:
        if endpoint.known(question.asked):
            continue
        try:
            endpoint.check_budget(question.guess, rows + 1, endpoint.settings.batch_price)
        except BudgetSpent:
            if not rows:
                raise
            return rows, chain([question], questions)
        body = endpoint.taken(question.request)
        row = {"custom_id": question.asked, "method": "POST", "url": "/v1/chat/completions", "body": body}
        file.write(json.dumps(row).encode() + b"\n")
        rows += 1
        if file.tell() > MOST_BYTES:
            return rows, questions
    return rows, None


async def _send_file(endpoint: Endpoint, cache: AnswerCache, critic: str, file: IO[bytes], rows: int) -> str:
    files, batches = endpoint.client.files, endpoint.client.batches
    stored = _read(await files.create(file=("questions.jsonl", file), purpose="batch"))
    made = _read(
        await batches.create(input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h")
    )
    cache.add_batch(made.id, critic, rows)
    log.info("batch %s of %d questions handed in to %s", made.id, rows, endpoint.settings.address)
    return made.id


async def _wait(endpoint: Endpoint, cache: AnswerCache, id: str) -> int:
    """Answers of one batch, once it has ended; missing ones are left to be asked one by one.

    It is paid for, so temporary faults do not end the waiting.
    """
    settings = endpoint.settings
    until = asyncio.get_running_loop().time() + 3600 * settings.batch_hours
    while True:
        try:
            state = _read(await endpoint.client.batches.retrieve(id))
            if state.status in ENDED:
                came = await _collected(endpoint, state)
                cache.close_batch(id)
                return came
        except PASSING as error:
            log.warning("no word of batch %s (%s); asking again", id, endpoint.failure(error, FATAL)[2])
        if asyncio.get_running_loop().time() > until:
            log.warning("batch %s is not done after %g h; asking one by one", id, settings.batch_hours)
            return 0
        await asyncio.sleep(settings.batch_poll_seconds)


async def _collected(endpoint: Endpoint, state: _Batch) -> int:
    """Cache the answers of a batch that has ended; returns how many."""
    came = torn = 0
    if state.output_file_id:
        for line in (await endpoint.client.files.content(state.output_file_id)).text.splitlines():
            try:
                row = _Row.model_validate_json(line)
            except ValidationError:
                torn += 1
                continue
            if row.response is not None and row.response.status_code == 200:
                endpoint.keep(row.custom_id, json.dumps(row.response.body), 0.0, 1, endpoint.settings.batch_price)
                came += endpoint.known(row.custom_id)
    if torn:
        log.warning("batch %s: %d rows cannot be read; they are asked one by one", state.id, torn)
    if state.status != "completed":
        why = plain_text(endpoint.without_key(str(state.errors or "no reason given")), ERROR_LIMIT)
        log.warning("batch %s %s (%s): %d answers; asking the rest one by one", state.id, state.status, why, came)
    return came


def _read(answer: Any) -> _Batch:
    """The client returns whatever it was sent; raises ValidationError if that is no batch."""
    return _Batch.model_validate(answer)

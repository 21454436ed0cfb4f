"""First questions as a batch: one JSONL file, answered within a day, often at half the price.

Its answers go into the cache under what was asked, and that is all: judging then finds them there. A batch that
was handed in is remembered in the cache, so that a killed run collects it instead of paying twice.
"""

import asyncio
import json
import logging
import tempfile
from collections.abc import Iterable
from typing import IO, Any, NamedTuple

import openai

from critique.cache import AnswerCache
from critique.endpoint import Endpoint
from critique.prompt import reply_schema

log = logging.getLogger(__name__)

MOST_BYTES = 150_000_000  # of one file; hosted services take 200 MB
ENDED = ("completed", "failed", "expired", "cancelled")


class Question(NamedTuple):
    """One request, and the digest under which its answer is kept."""

    asked: str
    request: dict[str, Any]
    size: int  # overlays shown


async def collect(endpoint: Endpoint, cache: AnswerCache, critic: str, questions: Iterable[Question]) -> int:
    """Hand in the questions whose answers are not known, wait, and keep what comes; returns how many answers came.

    0 where the server takes no batches.
    """
    came = 0
    try:
        for id in cache.open_batches(critic):
            try:
                came += await _wait(endpoint, cache, id)
            except openai.NotFoundError:
                log.warning(
                    "%s no longer knows batch %s; handing its questions in again", endpoint.settings.address, id
                )
                cache.close_batch(id)
        waiting = iter(questions)
        while True:
            with tempfile.TemporaryFile() as file:
                rows, more = await asyncio.to_thread(_write, file, waiting, endpoint)
                if rows:
                    file.seek(0)
                    came += await _wait(endpoint, cache, await _hand_in(endpoint, cache, critic, file, rows))
            if not more:
                return came
    except openai.APIStatusError as error:
        if error.status_code not in (400, 404, 405, 501):
            raise
        log.warning("%s takes no batches (HTTP %d); asking one by one", endpoint.settings.address, error.status_code)
    return came


def _write(file: IO[bytes], questions: Iterable[Question], endpoint: Endpoint) -> tuple[int, bool]:
    """Rows written, and whether the file is full and more may come."""
    rows = 0
    for question in questions:
        if endpoint.known(question.asked):
            continue
        body = question.request
        if endpoint.structured:
            body = body | {"response_format": reply_schema(question.size)}
        row = {"custom_id": question.asked, "method": "POST", "url": "/v1/chat/completions", "body": body}
        file.write(json.dumps(row).encode() + b"\n")
        rows += 1
        if file.tell() > MOST_BYTES:
            return rows, True
    return rows, False


async def _hand_in(endpoint: Endpoint, cache: AnswerCache, critic: str, file: IO[bytes], rows: int) -> str:
    endpoint.check_budget()
    stored = await endpoint.client.files.create(file=("questions.jsonl", file), purpose="batch")
    made = await endpoint.client.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    cache.add_batch(made.id, critic, rows)
    log.info("batch %s of %d questions handed in to %s", made.id, rows, endpoint.settings.address)
    return made.id


async def _wait(endpoint: Endpoint, cache: AnswerCache, id: str) -> int:
    """Answers of one batch, once it has ended; those that lack are left to be asked one by one."""
    settings, client = endpoint.settings, endpoint.client
    until = asyncio.get_running_loop().time() + 3600 * settings.batch_hours
    while (state := await client.batches.retrieve(id)).status not in ENDED:
        if asyncio.get_running_loop().time() > until:
            log.warning("batch %s is not done after %g h; asking one by one", id, settings.batch_hours)
            return 0
        await asyncio.sleep(settings.batch_poll_seconds)
    came = 0
    if state.output_file_id:
        for line in (await client.files.content(state.output_file_id)).text.splitlines():
            row = json.loads(line)
            response = row.get("response") or {}
            if response.get("status_code") == 200:
                endpoint.keep(row["custom_id"], json.dumps(response["body"]), 0.0, 1, settings.batch_price)
                came += 1
    cache.close_batch(id)
    return came

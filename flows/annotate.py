"""Bodies shown to people, on a page of this machine or as a file; no Prefect. Answers become verdicts of `human@1`.

The server is bound to 127.0.0.1 and answers only requests for exactly its own address that no page of another site
sends (`flows.server.guarded_server`).
"""

import asyncio
import json
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from critique.annotation.accuracy import Accuracy
from critique.annotation.answers import AnswersError, newest, parse_answer, parse_answers
from flows.server.guarded_server import Doorkeeper
from storage.finished_file import write_text
from storage.records import DrawnGroup
from tasks.annotation.deck import Deck, draw_question, make_deck
from tasks.annotation.kept_answers import Imported, agreements, keep, kept, to_store
from tasks.annotation.page import SIZE, addresses, embedded, jpeg, page_text, picture_names
from tasks.run.plan import Plan
from tasks.run.settings import Settings

HOST = "127.0.0.1"
MOST_BODY = 20_000
"""Bytes of one answer."""

POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


class Annotated(NamedTuple):
    """What came of a sitting: the answers in the store, and how far critics agree with all answers so far."""

    imported: Imported
    agreements: list[Accuracy]


def deck_of(settings: Settings, gens: list[str] | None, shown: int, count: int, seed: int) -> Deck:
    """The questions of a run. Raises SettingsError without groups, or if none can be shown."""
    plan = Plan(settings)
    return make_deck(plan.store, plan.gens(gens, "annotate"), shown, count, seed)


def settle(settings: Settings) -> Annotated:
    """Write the answers that a run has to its store, and measure the critics by them."""
    plan = Plan(settings)
    answers = kept(plan.folder)
    with plan.held():
        imported = to_store(plan.store, settings.run.name, answers)
    return Annotated(imported, agreements(plan.store, answers))


def bring_in(settings: Settings, file: Path) -> Annotated:
    """Take the answers of an exported file into a run. Raises AnswersError if it holds none, SettingsError without
    groups.
    """
    plan = Plan(settings)
    plan.gens(None, "annotate")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise AnswersError(f"{file}: {error.strerror}; give the file that the page exported") from None
    answers = parse_answers(content, str(file))
    before = set(kept(plan.folder))
    keep(plan.folder, [answer for answer in newest(answers) if answer not in before])
    return settle(settings)


def write_file(settings: Settings, deck: Deck, file: Path) -> Path:
    """Write the questions as one HTML file, with their pictures, that exports its answers as JSON."""
    plan = Plan(settings)

    def pictures(number: int, question: object) -> dict[str, object]:
        return embedded(_draw(plan, deck, number))

    write_text(file, page_text(settings.run.name, deck.questions, deck.seed, pictures, served=False))
    return file


def serve(settings: Settings, deck: Deck, port: int, ready: Callable[[str], None]) -> Annotated:
    """Serve the page until the process is told to stop (Ctrl-C), then put its answers into the store.

    ready: called with the page's address once it can be opened. port: 0 = any that is free.
    """
    plan = Plan(settings)
    server = uvicorn.Server(uvicorn.Config(lambda: None, host=HOST, port=port, log_level="warning", lifespan="off"))
    socket = server.config.bind_socket()
    place = f"{HOST}:{socket.getsockname()[1]}"
    server.config.app = Doorkeeper(application(plan, deck), place)
    server.config.load()

    async def run() -> None:
        work = asyncio.ensure_future(server.serve([socket]))
        while not server.started and not work.done():
            await asyncio.sleep(0.02)
        if server.started:
            ready(f"http://{place}/")
        await work

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass
    except SystemExit:  # told to end in another way: what was answered still goes into the store
        settle(settings)
        raise
    return settle(settings)


def application(plan: Plan, deck: Deck) -> Starlette:
    """The pages: `/`, the pictures of a question, and a place for answers."""
    drawing = threading.Lock()

    @lru_cache(maxsize=64)
    def drawn(number: int) -> dict[str, bytes]:
        return {name: jpeg(pixels) for name, pixels in picture_names(_draw(plan, deck, number)).items()}

    def page(request: Request) -> Response:
        def pictures(number: int, question: object) -> dict[str, object]:
            return addresses(f"picture/{number}", len(deck.questions[number].members))

        asked = {(one.gen, one.group_id, frozenset(one.members)) for one in deck.questions}
        answers = [answer for answer in kept(plan.folder) if answer.question in asked]
        text = page_text(plan.settings.run.name, deck.questions, deck.seed, pictures, answers, served=True)
        return HTMLResponse(text, headers={"content-security-policy": POLICY, "cache-control": "no-store"})

    def picture(request: Request) -> Response:
        number, name = request.path_params["number"], request.path_params["name"]
        if not 0 <= number < len(deck.questions):
            return PlainTextResponse("There is no such question.\n", 404)
        with drawing:  # else the page's pictures of one question would be drawn several times at once
            found = drawn(number).get(name)
        if found is None:
            return PlainTextResponse("There is no such picture.\n", 404)
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    async def answer(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY:
                return PlainTextResponse("The answer is too long.\n", 413)
        try:
            given = parse_answer(json.loads(body), "the answer")
        except AnswersError as error:
            return PlainTextResponse(f"{error}\n", 400)
        except ValueError:
            return PlainTextResponse("The answer is not JSON.\n", 400)
        keep(plan.folder, [given])
        return PlainTextResponse("kept\n")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/picture/{number:int}/{name}", picture),
            Route("/answers", answer, methods=["POST"]),
        ]
    )


def _draw(plan: Plan, deck: Deck, number: int) -> DrawnGroup:
    overlay = plan.settings.overlay
    return draw_question(plan.store, deck, deck.questions[number], plan.body_path, overlay.backend, SIZE)


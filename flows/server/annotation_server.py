"""The page of `hmr-align annotate`, served to this machine alone; no Prefect.

It is bound to 127.0.0.1 and answers only requests for exactly its own address that no page of another site sends
(`guarded_server`). Answers are kept as they come.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from functools import lru_cache

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from critique.annotation.answers import AnswersError, parse_answer
from critique.annotation.questions import Question
from flows.server.guarded_server import Doorkeeper
from tasks.annotation.deck import Deck
from tasks.annotation.kept_answers import keep, kept
from tasks.annotation.page import addresses, jpeg, page_text, picture_names
from tasks.annotation.sitting import Annotated, draw, settle
from tasks.run.plan import Plan
from tasks.run.settings import Settings

HOST = "127.0.0.1"
MOST_BODY = 20_000
"""Bytes of one answer."""

POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'"
)


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
        pictures = picture_names(draw(plan, deck, deck.questions[number]))
        return {name: jpeg(pixels) for name, pixels in pictures.items()}

    def page(request: Request) -> Response:
        def pictures(number: int, question: Question) -> dict[str, object]:
            return addresses(f"picture/{number}", len(question.members))

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

"""A scriptable OpenAI-compatible server on 127.0.0.1: for tests and the offline demo.

    with LoopbackVlm([error(429, retry_after=0.01), good()]) as server:
        settings = VlmSettings(base_url=server.base_url, model="loopback")

A script is a list of steps, one per chat completion (the last one repeats), or a function of the request's
number and body. A step takes the request's body and returns an `Answer`. Every request is kept in
`server.calls`.
"""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the server does with one request."""

    body: Any = None  # sent as JSON; bytes are sent as they are
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # to wait first
    drop: bool = False  # close the connection without a word


Step = Callable[[Body], Answer]
Script = Sequence[Step] | Callable[[int, Body], Answer]


@dataclass
class Call:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: Body
    started: float
    ended: float = 0.0

    @property
    def parts(self) -> list[Body]:
        """The parts of the first message."""
        return self.body["messages"][0]["content"]

    @property
    def text(self) -> str:
        return "\n".join(part["text"] for part in self.parts if part["type"] == "text")

    @property
    def pictures(self) -> list[np.ndarray]:
        return pictures(self.body)


def pictures(body: Body) -> list[np.ndarray]:
    """The pixels of every picture of the first message, in order."""
    urls = [
        part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"
    ]
    opened = (Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) for url in urls)
    return [np.asarray(picture.convert("RGB")) for picture in opened]


def judged_places(body: Body) -> range:
    """Places of the pictures to judge: those labelled image_2 and above."""
    parts = body["messages"][0]["content"]
    return range(2, 1 + sum(part.get("text", "").startswith("image_") for part in parts))


# Steps.


def says(text: str | None, finish: str = "stop", refusal: str | None = None, model: str = "loopback") -> Step:
    """A well-formed completion with this text."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    usage["prompt_tokens_details"] = {"cached_tokens": 400}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
    }
    return lambda _: Answer(body | {"usage": usage})


def _judgement(body: Body, scores: Iterable[Any]) -> str:
    places = judged_places(body)
    return json.dumps(
        {
            f"image_{place}": {"score": score, "comment": f"picture {place}"}
            for place, score in zip(places, scores)
        }
    )


def good(scores: Sequence[Any] | None = None) -> Step:
    """Judges every picture: by `scores`, else 90, 80, 70, ... in the order shown."""
    return lambda body: says(_judgement(body, scores or [90 - 10 * k % 90 for k in range(100)]))(body)


def from_pixels(rule: Callable[[np.ndarray, np.ndarray], float] | None = None) -> Step:
    """Judges by `rule(photograph, overlay)`, else the less an overlay changes the photograph, the better."""

    def likeness(photograph: np.ndarray, overlay: np.ndarray) -> float:
        return 100 * (1 - np.abs(photograph.astype(float) - overlay[:, : photograph.shape[1]]).mean() / 255)

    def step(body: Body) -> Answer:
        photograph, *overlays = pictures(body)[: judged_places(body).stop - 1]
        return good([round((rule or likeness)(photograph, overlay), 2) for overlay in overlays])(body)

    return step


def fenced() -> Step:
    """Good JSON in a code fence with prose around it, in which an example is quoted."""
    prose = 'Following {"image_2": {"score": 1}} as the form:\n```json\n%s\n```\nHope {that} helps!'
    return lambda body: says(prose % _judgement(body, [90 - 10 * k for k in range(9)]))(body)


def missing(*places: int) -> Step:
    """Good JSON without these pictures."""

    def step(body: Body) -> Answer:
        items = json.loads(_judgement(body, [90 - 10 * k for k in range(9)]))
        return says(json.dumps({key: item for key, item in items.items() if int(key[6:]) not in places}))(
            body
        )

    return step


def bad_json() -> Step:
    return says('{"image_2": {"score": 90, "comment": "never closed"')


def no_choices() -> Step:
    return lambda _: Answer({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": None})


def refusal() -> Step:
    return says(None, refusal="I cannot judge people.")


def filtered() -> Step:
    return says("", finish="content_filter")


def truncated() -> Step:
    return says('{"image_2": {"score": 90, "comment": "li', finish="length")


def error(
    status: int, message: str = "scripted", code: str | None = None, retry_after: float | None = 0.01
) -> Step:
    """An HTTP error with an OpenAI-like body; `retry_after` seconds keep the client's waits short."""
    headers = {} if retry_after is None else {"retry-after-ms": str(1000 * retry_after)}
    return lambda _: Answer({"error": {"message": message, "code": code}}, status, headers)


def slow(seconds: float, then: Step) -> Step:
    def step(body: Body) -> Answer:
        answer = then(body)
        return Answer(answer.body, answer.status, answer.headers, seconds)

    return step


def dropped() -> Step:
    return lambda _: Answer(drop=True)


class LoopbackVlm:
    """The server; use it as a context manager."""

    def __init__(self, script: Script, models: Sequence[str] | None = ("loopback",)) -> None:
        self.calls: list[Call] = []  # chat completions
        self.others: list[Call] = []  # any other request
        self.peak = 0  # most chat completions under way at once
        self._under_way = 0
        self._script = script
        self._models = models  # None = the server has no list of models
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "LoopbackVlm":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, call: Call) -> Answer:
        if call.path != "/v1/chat/completions":
            self.others.append(call)
            if call.path == "/v1/models" and self._models is not None:
                return Answer(
                    {"object": "list", "data": [{"id": name, "object": "model"} for name in self._models]}
                )
            return Answer({"error": {"message": "not found"}}, 404)
        with self._lock:
            number = len(self.calls)
            self.calls.append(call)
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
        try:
            if callable(self._script):
                answer = self._script(number, call.body)
            else:
                answer = self._script[min(number, len(self._script) - 1)](call.body)
            self._closing.wait(answer.seconds)
            return answer
        finally:
            with self._lock:
                self._under_way -= 1
                call.ended = time.monotonic()

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve({})

            def do_POST(self) -> None:
                self._serve(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _serve(self, body: Body) -> None:
                named = {name.lower(): value for name, value in self.headers.items()}
                answer = outer._answer(Call(self.command, self.path, named, body, time.monotonic()))
                if answer.drop:
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
                data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                headers = {"content-type": "application/json", "x-request-id": "req-1"} | answer.headers
                try:
                    self.send_response(answer.status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client gave up
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler

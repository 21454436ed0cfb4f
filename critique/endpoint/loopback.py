"""A scriptable OpenAI-compatible server on 127.0.0.1: a test double for tests and dry runs, no model at all.

    with LoopbackVlm([error(429, retry_after=0.01), good()]) as server:
        settings = VlmSettings(base_url=server.base_url, model="loopback")

A script is a list of steps, one per chat completion (the last one repeats), or a function of the request's
number and body. A step takes the request's body and returns a `ScriptedAnswer`. `JudgingStyle` is such a function: it
judges by the pixels it was sent, and can be set to be biased, noisy, slow and faulty. Every request is kept in
`server.calls`.

Rules of this form in the prompt are followed, if their condition names one of `CONDITIONS`:

    When <condition>, take <N> points off.        for example: When a foot floats above the ground, take 20 points off.
"""

import base64
import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from critique.vlm.contact_sheet import grid_of
from storage.records import Bytes

Body = dict[str, Any]


@dataclass(frozen=True)
class ScriptedAnswer:
    """The server's answer to one request."""

    body: Any = None  # sent as JSON; bytes are sent as they are
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: int | float = 0.0  # to wait first
    drop: bool = False  # close the connection without an answer


Step = Callable[[Body], ScriptedAnswer]
Script = Sequence[Step] | Callable[[int, Body], ScriptedAnswer]


@dataclass
class Call:
    """One request as it was received."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: Body
    started: float
    ended: float = 0.0
    content: bytes = b""  # the body as it came

    @property
    def parts(self) -> list[Body]:
        """The parts of the first message."""
        return self.body["messages"][0]["content"]

    @property
    def text(self) -> str:
        """All text parts of the first message, joined by line breaks."""
        return "\n".join(part["text"] for part in self.parts if part["type"] == "text")

    @property
    def pictures(self) -> list[Bytes]:
        """The pixels of every picture of the first message, (h, w, 3) RGB, in order."""
        return pictures(self.body)


def _pixels(part: Body) -> Bytes:
    data = base64.b64decode(part["image_url"]["url"].split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def pictures(body: Body) -> list[Bytes]:
    """The pixels of every picture of the first message, (h, w, 3) RGB, in order."""
    return [_pixels(part) for part in body["messages"][0]["content"] if part["type"] == "image_url"]


_LABEL = re.compile("image_([0-9]+)(?: to image_([0-9]+))?")


def labelled(body: Body) -> dict[int, Bytes]:
    """The pixels (h, w, 3) of the pictures that follow a label `image_<number>`, by number; 1 is the photograph.

    The tiles of a contact sheet ("image_2 to image_<number>") are cut out and resized to the photograph.
    """
    found: dict[int, Bytes] = {}
    for label, picture in pairwise(body["messages"][0]["content"]):
        named = _LABEL.fullmatch(label.get("text", ""))
        if named is None or picture["type"] != "image_url":
            continue
        pixels, first = _pixels(picture), int(named[1])
        if named[2] is None:
            found[first] = pixels
        else:
            found |= {first + k: tile for k, tile in enumerate(_tiles(pixels, int(named[2]) - first + 1, found[1]))}
    return found


def _tiles(sheet: Bytes, count: int, photograph: Bytes) -> list[Bytes]:
    """The tiles of a contact sheet of overlays of this photograph, as large as it; their labels stay in them."""
    grid = grid_of(count, photograph.shape[0], photograph.shape[1], max(sheet.shape))
    cut = [sheet[y : y + grid.height, x : x + grid.width] for y, x in map(grid.corner, range(count))]
    return [np.asarray(Image.fromarray(tile).resize(photograph.shape[1::-1])) for tile in cut]


def judged_places(body: Body) -> range:
    """Numbers of the pictures to judge: those labelled image_2 and above."""
    parts = body["messages"][0]["content"]
    named = [named for part in parts if (named := _LABEL.fullmatch(part.get("text", "")))]
    return range(2, 1 + max((int(one[2] or one[1]) for one in named), default=1))


# Steps.


def says(
    text: str | None,
    finish: str = "stop",
    refusal: str | None = None,
    model: str = "loopback",
    tokens: Sequence[tuple[str, Mapping[str, float]]] | None = None,
) -> Step:
    """A well-formed completion with this text; `tokens` are its pieces, each with probabilities of alternatives."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice: Body = {"index": 0, "message": message, "finish_reason": finish}
    if tokens is not None:
        choice["logprobs"] = {"content": [_token(piece, likely) for piece, likely in tokens]}
    usage: Body = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    usage["prompt_tokens_details"] = {"cached_tokens": 400}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
    }
    return lambda _: ScriptedAnswer(body | {"usage": usage})


def _token(piece: str, likely: Mapping[str, float]) -> Body:
    top = [{"token": token, "logprob": float(np.log(p))} for token, p in likely.items()]
    return {"token": piece, "logprob": float(np.log(likely.get(piece, 1.0))), "top_logprobs": top}


def _judgement(body: Body, scores: Iterable[Any]) -> str:
    places = judged_places(body)
    return json.dumps(
        {f"image_{place}": {"score": score, "comment": f"picture {place}"} for place, score in zip(places, scores)}
    )


def good(scores: Sequence[Any] | None = None) -> Step:
    """Judges every picture: by `scores`, else 90, 80, 70, ... in the order shown."""
    return lambda body: says(_judgement(body, scores or [90 - 10 * k % 90 for k in range(100)]))(body)


Look = Callable[[Bytes, Bytes], float]
"""Maps a photograph and an overlay of equal height to a score, or to a condition that holds if it is above 0."""


def likeness(photograph: Bytes, overlay: Bytes) -> float:
    """0-100: the less an overlay (h, w, 3) changes the photograph (h, w, 3), the higher."""
    return float(100 * (1 - np.abs(photograph.astype(float) - overlay[:, : photograph.shape[1]]).mean() / 255))


def from_pixels(rule: Look | None = None) -> Step:
    """Judges by `rule(photograph, overlay)`, else by `likeness`."""

    def step(body: Body) -> ScriptedAnswer:
        shown = labelled(body)
        scores = [round((rule or likeness)(shown[1], shown[place]), 2) for place in judged_places(body)]
        return good(scores)(body)

    return step


def fenced() -> Step:
    """Good JSON in a code fence with prose around it, in which an example is quoted."""
    prose = 'Following {"image_2": {"score": 1}} as the form:\n```json\n%s\n```\nHope {that} helps!'
    return lambda body: says(prose % _judgement(body, [90 - 10 * k for k in range(9)]))(body)


def missing(*places: int) -> Step:
    """Good JSON without these pictures."""

    def step(body: Body) -> ScriptedAnswer:
        items = json.loads(_judgement(body, [90 - 10 * k for k in range(9)]))
        return says(json.dumps({key: item for key, item in items.items() if int(key[6:]) not in places}))(body)

    return step


def prose() -> Step:
    """Numbers without an object."""
    return says("Well, image_2 is about 40 of 100, while image_3 deserves 90 or so.")


def bad_json() -> Step:
    """JSON whose object is never closed."""
    return says('{"image_2": {"score": 90, "comment": "never closed"')


def no_choices() -> Step:
    """A completion without choices."""
    return lambda _: ScriptedAnswer({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": None})


def refusal() -> Step:
    """The model's own refusal."""
    return says(None, refusal="I cannot judge people.")


def filtered() -> Step:
    """Nothing, ended by a content filter."""
    return says("", finish="content_filter")


def truncated() -> Step:
    """An answer cut off by the token limit."""
    return says('{"image_2": {"score": 90, "comment": "li', finish="length")


def error(status: int, message: str = "scripted", code: str | None = None, retry_after: float | None = 0.01) -> Step:
    """An HTTP error with an OpenAI-like body; `retry_after` seconds keep the client's waits short."""
    headers = {} if retry_after is None else {"retry-after-ms": str(1000 * retry_after)}
    return lambda _: ScriptedAnswer({"error": {"message": message, "code": code}}, status, headers)


def slow(seconds: int | float, then: Step) -> Step:
    """Another step's answer after so many seconds."""

    def step(body: Body) -> ScriptedAnswer:
        answer = then(body)
        return ScriptedAnswer(answer.body, answer.status, answer.headers, seconds)

    return step


def dropped() -> Step:
    """A connection that is closed without an answer."""
    return lambda _: ScriptedAnswer(drop=True)


# The judge by pixels.


def foreground(photograph: Bytes) -> NDArray[np.bool_]:
    """(h, w) where a photograph (h, w, 3 pixels) differs from both ends of its row: the person, if the background is
    plain.
    """
    ends = photograph[:, [0, 1, -2, -1]].astype(float)
    return np.abs(photograph - np.median(ends, axis=1, keepdims=True)).max(-1) > 40


def mesh(photograph: Bytes, overlay: Bytes) -> NDArray[np.bool_]:
    """(h, w) where an overlay differs from its photograph (h, w, 3 pixels): the mesh; a side view on the right is cut
    off.
    """
    return np.abs(photograph.astype(float) - overlay[:, : photograph.shape[1]]).max(-1) > 12


def agreement(photograph: Bytes, overlay: Bytes) -> float:
    """Score 0-100: 70 % overlap of mesh and foreground, 30 % photograph edges under the mesh's edges.

    Both pictures are pixels (h, w, 3).
    """
    person, drawn = foreground(photograph), mesh(photograph, overlay)
    overlap = (person & drawn).sum() / max((person | drawn).sum(), 1)
    inner = drawn.copy()
    inner[1:-1, 1:-1] &= drawn[:-2, 1:-1] & drawn[2:, 1:-1] & drawn[1:-1, :-2] & drawn[1:-1, 2:]
    steep = np.hypot(*np.gradient(photograph.astype(float).mean(-1)))
    edges = steep[drawn & ~inner]
    strong = float(np.quantile(steep, 0.95))
    return float(100 * (0.7 * overlap + 0.3 * (np.minimum(edges / strong, 1).mean() if edges.size and strong else 0)))


def _rows(mask: NDArray[np.bool_]) -> tuple[int, int]:
    rows = np.flatnonzero(mask.any(1))
    return (int(rows[0]), int(rows[-1])) if rows.size else (0, 0)


def floating(photograph: Bytes, overlay: Bytes) -> float:
    """1 if the mesh ends higher than the person by more than 1/25 of the person's height, else 0; pixels (h, w, 3)."""
    (top, ground), (_, foot) = _rows(foreground(photograph)), _rows(mesh(photograph, overlay))
    return float(ground - foot > 0.04 * (ground - top))


def sunken(photograph: Bytes, overlay: Bytes) -> float:
    """1 if the mesh ends lower than the person by more than 1/25 of the person's height, else 0; pixels (h, w, 3)."""
    (top, ground), (_, foot) = _rows(foreground(photograph)), _rows(mesh(photograph, overlay))
    return float(foot - ground > 0.04 * (ground - top))


CONDITIONS: dict[str, Look] = {"float": floating, "sink": sunken}
"""Conditions that rules can make the judge check, by a word in the rule's condition."""

RULE = re.compile(r"(?i)\bwhen ([^.\n]{3,200}?), (?:take|subtract|deduct) ([0-9]{1,2}) points?\b")


def ruled(text: str, look: Look, conditions: Mapping[str, Look] = CONDITIONS) -> Look:
    """`look`, minus the points that the rules in a prompt take off where their conditions hold."""
    found = [
        (holds, int(points))
        for condition, points in RULE.findall(text)
        for word, holds in conditions.items()
        if word in condition.lower()
    ]
    return lambda photograph, overlay: (
        look(photograph, overlay) - sum(points * holds(photograph, overlay) for holds, points in found)
    )


def _random(*seeds: Any) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(seeds).encode()).digest()[:8]))


@dataclass(frozen=True)
class JudgingStyle:
    """A script: judges by the pixels and by the prompt's rules, with configurable faults."""

    look: Look = agreement
    conditions: Mapping[str, Look] = field(default_factory=lambda: CONDITIONS)
    bias: int | float = 0.0  # extra points for the picture shown first
    noise: int | float = 0.0  # standard deviation, points; the same noise for the same request
    seconds: int | float = 0.0  # time that an answer takes
    rude: float = 0.0  # share of requests (0..1) with a bad answer, in one of the ways of RUDE
    hang: int | float = 30.0  # seconds without an answer, where that is the fault
    seed: int = 0

    def __call__(self, number: int, body: Body) -> ScriptedAnswer:
        shown, asked = labelled(body), judged_places(body)
        text = "\n".join(part["text"] for part in body["messages"][0]["content"] if part["type"] == "text")
        look = ruled(text, self.look, self.conditions)
        scores = np.array([look(shown[1], shown[place]) for place in asked], float)
        digests = [hashlib.sha256(shown[place].tobytes()).hexdigest() for place in asked]
        scores += self.noise * _random(self.seed, digests).standard_normal(len(scores))
        scores[:1] += self.bias
        answer = good([round(float(score)) for score in np.clip(scores, 0, 100)])
        rng = _random(self.seed, number)
        if rng.random() < self.rude:
            answer = RUDE[int(rng.integers(len(RUDE)))](answer, self.hang)
        return slow(self.seconds, answer)(body)


def _rephrased(change: Callable[[Body], Any]) -> Callable[[Step, int | float], Step]:
    """A way to spoil a good answer: `change` turns its object into something else."""

    def spoil(step: Step, _: int | float) -> Step:
        def details(body: Body) -> ScriptedAnswer:
            items = json.loads(step(body).body["choices"][0]["message"]["content"])
            changed = change(items)
            return says(changed if isinstance(changed, str) else json.dumps(changed))(body)

        return details

    return spoil


def _shift(items: Body, by: int) -> Body:
    return {f"image_{int(key[6:]) + by}": item for key, item in items.items()}


RUDE: tuple[Callable[[Step, int | float], Step], ...] = (
    _rephrased(lambda items: json.dumps(items)[:-3]),
    _rephrased(lambda items: " and ".join(f"{key} gets {item['score']}" for key, item in items.items())),
    _rephrased(lambda items: 'Like {"image_2": {"score": 1}}:\n```json\n' + json.dumps(items) + "\n```\nDone {so}."),
    _rephrased(lambda items: dict(list(items.items())[1:])),
    _rephrased(lambda items: items | {"image_1": {"score": 3}, "image_99": {"score": 4}, "overall": 5}),
    _rephrased(lambda items: _shift(items, -1)),
    _rephrased(lambda items: items | {"image_2": {"score": 250, "comment": "great"}}),
    lambda step, _: refusal(),
    lambda step, _: filtered(),
    lambda step, _: truncated(),
    lambda step, _: error(429, retry_after=0.05),
    lambda step, _: error(500, retry_after=0.01),
    lambda step, _: dropped(),
    lambda step, hang: slow(hang, step),
)
"""Torn JSON, prose, JSON in prose with a decoy, a missing key, extra keys, labels off by one, an impossible score,
a refusal, a filter, a cut, 429 with retry-after, 500, a lost connection, silence."""


def of_this_machine(headers: Mapping[str, str], port: int) -> bool:
    """Whether a request (header names in lower case) asks for this machine by its own name and was not sent by a web
    page.

    Otherwise a page in the user's browser could read the pictures of people that were sent, through a host name of its
    own.
    """
    own = headers.get("host") in (f"127.0.0.1:{port}", f"localhost:{port}")
    return own and "origin" not in headers and headers.get("sec-fetch-site", "none") == "none"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class LoopbackVlm:
    """The server; use it as a context manager."""

    def __init__(
        self,
        script: Script,
        models: Sequence[str] | None = ("loopback",),
        *,
        port: int = 0,
        keep: bool = True,
        read: bool = True,
        batches: bool = False,
        expires: Callable[[int], bool] = lambda row: False,
        change: Callable[[Call, ScriptedAnswer], ScriptedAnswer] = lambda call, answer: answer,
    ) -> None:
        self.calls: list[Call] = []  # chat completions
        self.others: list[Call] = []  # any other request
        self.answered = 0  # chat completions answered with HTTP 200
        self.peak = 0  # most chat completions in progress at once
        self.batches: dict[str, list[Body]] = {}  # the rows of each batch, by its id
        self._under_way = 0
        self._number = 0
        self._script = script
        self._models = models  # None = the server has no list of models
        self._keep = keep  # False: stores no request, for long runs
        self._read = read  # False: parses no request, so that megabytes cost nothing; scripts get an empty body
        self._takes_batches = batches
        self._expires = expires  # which rows of a batch are never answered
        self._change = change  # changes an answer about models, files and batches
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), self._handler())

    @property
    def base_url(self) -> str:
        """The server's address, to be used as `base_url`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "LoopbackVlm":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, call: Call, content: bytes) -> ScriptedAnswer:
        if call.path == "/v1/chat/completions":
            return self._complete(call)
        self.others.append(call)
        return self._change(call, self._other(call, content))

    def _other(self, call: Call, content: bytes) -> ScriptedAnswer:
        if call.path == "/v1/models" and self._models is not None:
            return ScriptedAnswer(
                {"object": "list", "data": [{"id": name, "object": "model"} for name in self._models]}
            )
        if self._takes_batches and call.path.startswith(("/v1/files", "/v1/batches")):
            return self._batch(call, content)
        return ScriptedAnswer({"error": {"message": "not found"}}, 404)

    def _complete(self, call: Call) -> ScriptedAnswer:
        with self._lock:
            number = self._number
            self._number += 1
            if self._keep:
                self.calls.append(call)
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
        try:
            answer = self._by_script(number, call.body)
            self._closing.wait(answer.seconds)
            return answer
        finally:
            with self._lock:
                self._under_way -= 1
                call.ended = time.monotonic()

    def _by_script(self, number: int, body: Body) -> ScriptedAnswer:
        if callable(self._script):
            return self._script(number, body)
        return self._script[min(number, len(self._script) - 1)](body)

    def _batch(self, call: Call, content: bytes) -> ScriptedAnswer:
        """Files and batches as far as our client uses them; a batch is done at the first query of its state."""
        _, _, kind, *rest = call.path.split("/")
        if call.method == "POST" and kind == "files":
            head = f"content-type: {call.headers['content-type']}\r\n\r\n".encode()
            parts = message_from_bytes(head + content).get_payload()
            (upload,) = [part for part in parts if part.get_filename()]  # type: ignore[union-attr]
            name = f"file-{len(self._files)}"
            self._files[name] = upload.get_payload(decode=True)  # type: ignore[union-attr, assignment]
            return ScriptedAnswer(
                {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch"}
            )
        if call.method == "POST":
            name = f"batch-{len(self.batches)}"
            lines = self._files[call.body["input_file_id"]].decode().splitlines()
            self.batches[name] = [json.loads(line) for line in lines]
            return ScriptedAnswer(self._batch_state(name, "in_progress"))
        if kind == "files":
            return ScriptedAnswer(self._files[rest[0]])
        if rest[0] not in self.batches:
            return ScriptedAnswer({"error": {"message": "no such batch"}}, 404)
        rows = [
            {"id": str(row), "custom_id": asked["custom_id"], "error": None, "response": self._row(row, asked["body"])}
            for row, asked in enumerate(self.batches[rest[0]])
            if not self._expires(row)
        ]
        self._files[f"{rest[0]}-out"] = "\n".join(json.dumps(row) for row in reversed(rows)).encode()
        return ScriptedAnswer(self._batch_state(rest[0], "completed") | {"output_file_id": f"{rest[0]}-out"})

    def _row(self, number: int, body: Body) -> Body:
        answer = self._by_script(number, body)
        return {"status_code": answer.status, "request_id": "r", "body": answer.body}

    def _batch_state(self, name: str, status: str) -> Body:
        return {
            "id": name,
            "object": "batch",
            "completion_window": "24h",
            "created_at": 1,
            "endpoint": "/v1/chat/completions",
            "input_file_id": "file-0",
            "status": status,
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # headers and body in one packet

            def do_GET(self) -> None:
                """Answer a GET request."""
                self._serve(b"")

            def do_POST(self) -> None:
                """Answer a POST request with its body."""
                self._serve(self.rfile.read(int(self.headers["content-length"])))

            def _serve(self, content: bytes) -> None:
                named = {name.lower(): value for name, value in self.headers.items()}
                if not of_this_machine(named, outer._server.server_port):
                    self.send_error(403, "asked by a foreign page")
                    return
                readable = outer._read and "json" in named.get("content-type", "") and content
                body = json.loads(content) if readable else {}
                answer = outer._answer(
                    Call(self.command, self.path, named, body, time.monotonic(), content=content), content
                )
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
                    self.wfile.flush()
                except OSError:  # the client gave up
                    self.close_connection = True
                else:
                    outer.answered += answer.status == 200 and self.path == "/v1/chat/completions"

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        return Handler

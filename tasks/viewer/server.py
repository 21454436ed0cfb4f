"""The viewer's pages and answers: a Starlette application over one run, or two.

    /                                       the page; /site/... its scripts, styles and three.js
    /api/run                                what the runs hold
    /api/groups?run=0&sort=mean&words=...   some rows of the gallery, see `selection.Selection`
    /api/group/RUN/GEN/GROUP                one group, as `group_page`
    /api/asked/RUN/GEN/GROUP?critic=...     what a vision-language critic was sent, as `asked`; with file=1 its body
    /api/picture/RUN/GEN/GROUP/VIEW/K       a JPEG of hypothesis K: front, side, top, card; or photograph
    /api/crop/RUN/GEN/GROUP                 the stored crop of the person: all that can be shown before ...
    /api/ready                              ... the body and the renderer are loaded, which this begins
    /api/mesh/RUN/GEN/GROUP/K, /api/faces/RUN, /api/faces/RUN/GEN/GROUP/K (a mesh of its own), /api/joints/RUN/GEN/GROUP
    /api/details                            stages, learning curves and results of each run
    /api/compare?a=RUN,GEN,CRITIC&b=...     two opinions, as `comparison`
    /api/strip?a=RUN,GEN,K,GROUP&b=...      a JPEG: the photograph, then two hypotheses, each from front and side
    /api/strips/RUN/FILE                    one of the report's, of people before and after alignment

RUN is 0 or 1, the place of the run on the command line. Nothing is written, and no label of the studio is read. Who may
ask is decided by whoever serves the application.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from threading import Lock, Thread
from typing import Any, cast

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from storage.group_store import GroupStore, StoreError
from storage.records import Group
from tasks.report.thumbnails import FOLDER
from tasks.viewer.comparison import ComparisonError, Side, compared
from tasks.viewer.gallery import Gallery, gallery
from tasks.viewer.run_page import contents, run_page, strips
from tasks.viewer.selection import SORTS, Selection, SelectionError, selected
from tasks.viewer.stored_crop import crops, jpeg, resized

MOST_ROWS = 240
"""Rows of the gallery in one answer."""

VIEWS = ("photograph", "front", "side", "top", "card")  # as `picture.View`, which imports torch
CROP = 256  # px
SIZES = (64, 1024)  # px, the smallest and largest side of a picture
_KEEP = {"cache-control": "private, max-age=600"}
_SAFE = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
SITE = Path(str(resources.files("tasks.viewer").joinpath("site")))


class ViewError(Exception):
    """A run that cannot be shown; the message says why and what to do."""


class ViewedRun:
    """A run's folder, with its gallery in memory. Raises ViewError if there is no store with groups in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = GroupStore(folder / "store")
        if not self.store.gens():
            raise ViewError(
                f"{folder}: no groups are stored here, so there is nothing to look at. Give the folder of a run "
                "(runs/NAME), or make one: hmr-align align"
            )
        self.gallery = gallery(self.store)
        self.group = lru_cache(maxsize=64)(self._group)
        self.crops = lru_cache(maxsize=16)(lambda gen, shard: crops(self.store, gen, shard))
        self._loading: Thread | None = None
        self._asking = Lock()
        self.asked = lru_cache(maxsize=4)(self._asked)

    def read_again(self) -> None:
        """Take in what has been added to the run since."""
        self.gallery = gallery(GroupStore(self.folder / "store"))
        self.group.cache_clear()
        self.crops.cache_clear()
        self.asked.cache_clear()

    def _group(self, gen: str, group_id: str) -> Group:
        """One group; raises HTTPException if there is none."""
        return self.store.read_group(gen, self.shard(gen, group_id), group_id)

    def _asked(self, gen: str, group_id: str, critic: str) -> Any:
        """What a vision-language critic was sent about a group; raises HTTPException if that cannot be told."""
        from critique.memory.memory import MemoryStoreError
        from critique.vlm.vlm_settings import VlmConfigError
        from hmr.detection.photograph import PhotographError
        from tasks.critics.rebuilt_request import rebuilt_requests, server_records
        from tasks.run.settings import OverlaySection, SettingsError

        judges = [
            record for name in self.store.critics(gen) for record in server_records(self.store.critic_description(name))
        ]
        record = next((one for one in judges if one["critic"] == critic), None)
        if record is None:
            raise HTTPException(404, f"'{critic}' asked no server here, or its record is not kept")
        overlay = OverlaySection.model_validate(self.settings.get("overlay", {}))
        body_path = self.settings.get("base", {}).get("body")
        try:
            with self._asking:  # it draws with the one renderer of this process
                return rebuilt_requests(
                    record, self.group(gen, group_id), self.folder, Path(body_path) if body_path else None, overlay
                )
        except (SettingsError, VlmConfigError, MemoryStoreError, PhotographError, StoreError) as error:
            raise HTTPException(409, str(error)) from error

    def shard(self, gen: str, group_id: str) -> str:
        """The shard of a group; raises HTTPException (404) if there is no such group."""
        row = self.gallery.place(gen, group_id)
        if row is None:
            raise HTTPException(404, f"there is no group {group_id} in {gen}")
        return self.gallery.table["shard"][row].as_py()

    def ready(self) -> bool:
        """Whether pictures can be drawn at once; if not, what they need is loaded meanwhile: a second or two."""
        if self._loading is None:
            self._loading = Thread(target=self._load, daemon=True)
            self._loading.start()
        return not self._loading.is_alive()

    def _load(self) -> None:
        first = self.gallery.table.slice(0, 1).to_pylist()[0]
        self.painter.draw(self.group(first["gen"], first["group_id"]), "card", 0, SIZES[0])

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The run's settings as they were stored; {} if they were not."""
        path = self.folder / "settings.json"
        return json.loads(path.read_text()).get("settings", {}) if path.exists() else {}

    @cached_property
    def rules(self) -> dict[str, str]:
        """Texts of the rules of the critic's memory."""
        from tasks.viewer.group_page import rule_texts

        pinned = self.folder / "memory.json"
        return rule_texts([Path(root) for root in json.loads(pinned.read_text())]) if pinned.exists() else {}

    def body(self) -> Any:
        """The run's body model."""
        from tasks.groups.sampled_groups import body

        chosen = self.settings.get("base", {}).get("body")
        return body(Path(chosen) if chosen else None)

    @cached_property
    def painter(self) -> Any:
        """What draws the run's pictures."""
        from tasks.viewer.picture import Painter

        return Painter(self.body, self.settings.get("overlay", {}).get("backend", "auto"))


def application(runs: Sequence[ViewedRun]) -> Starlette:
    """The application that shows these runs."""

    def one(request: Request) -> ViewedRun:
        number = request.path_params.get("run", _whole(request.query_params, "run", 0))
        if number >= len(runs):
            raise HTTPException(404, f"there are {len(runs)} runs; count them from 0")
        return runs[number]

    def about(request: Request) -> Response:
        return _json([contents(run.folder.name, run.gallery) for run in runs])

    def reread(request: Request) -> Response:
        for run in runs:
            run.read_again()
        return about(request)

    def groups(request: Request) -> Response:
        run, asked = one(request), selection(request.query_params)
        start, count = (_whole(request.query_params, key, default) for key, default in (("start", 0), ("count", 60)))
        rows = selected(run.gallery, asked)
        shown = rows[start : start + min(count, MOST_ROWS)]
        return _json({"matched": len(rows), "start": start, "rows": gallery_rows(run.gallery, shown, asked.critic)})

    def group(request: Request) -> Response:
        from tasks.viewer.group_page import group_page, verdicts_on

        run, gen, group_id = one(request), *_named(request)
        verdicts = verdicts_on(run.store, gen, run.shard(gen, group_id), group_id)
        described = {critic: run.store.critic_description(critic) for critic in verdicts}
        return _json({"gen": gen} | group_page(run.group(gen, group_id), verdicts, run.rules, described))

    def asked(request: Request) -> Response:
        from tasks.viewer.asked import asked_page

        run, number = one(request), _whole(request.query_params, "number", 0)
        found = run.asked(*_named(request), request.query_params.get("critic", ""))
        if number >= len(found.requests):
            raise HTTPException(404, f"there are {len(found.requests)} requests; count them from 0")
        if request.query_params.get("file"):
            name = f"request_{number + 1}.json"
            headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
            return Response(found.requests[number].body, media_type="application/json", headers=headers)
        return _json(asked_page(found, number))

    def picture(request: Request) -> Response:
        run, view = one(request), request.path_params["view"]
        if view not in VIEWS:
            raise HTTPException(404, f"there is no view '{view}'; there are {', '.join(VIEWS)}")
        size = int(np.clip(_whole(request.query_params, "size", 512), *SIZES))
        drawn = run.painter.jpeg(*_hypothesis(run, request, view), size)
        return Response(drawn, media_type="image/jpeg", headers=_KEEP)

    def crop(request: Request) -> Response:
        run, (gen, group_id) = one(request), _named(request)
        pixels = run.crops(gen, run.shard(gen, group_id))[group_id]
        return Response(jpeg(resized(pixels, CROP)), media_type="image/jpeg", headers=_KEEP)

    def ready(request: Request) -> Response:
        return _json({"ready": all([run.ready() for run in runs])})

    def mesh(request: Request) -> Response:
        from tasks.viewer.mesh import mesh_bytes

        run = one(request)
        found, _, hypothesis = _hypothesis(run, request, "")
        return Response(mesh_bytes(run.body(), found, hypothesis), media_type="application/octet-stream", headers=_KEEP)

    def faces(request: Request) -> Response:
        from tasks.viewer.mesh import faces_bytes

        content = faces_bytes(one(request).body().faces)
        return Response(content, media_type="application/octet-stream", headers=_KEEP)

    def own_faces(request: Request) -> Response:
        from tasks.viewer.mesh import faces_bytes, own_mesh

        group, _, hypothesis = _hypothesis(one(request), request, "")
        if (own := own_mesh(group, hypothesis)) is None:
            raise HTTPException(404, "this hypothesis has the faces of the body in use: /api/faces/RUN")
        return Response(faces_bytes(own.faces), media_type="application/octet-stream", headers=_KEEP)

    def joints(request: Request) -> Response:
        from tasks.viewer.mesh import joint_spread

        return _json(joint_spread(one(request).group(*_named(request)).joints))

    def details(request: Request) -> Response:
        return _json([{"name": run.folder.name} | run_page(run.folder) for run in runs])

    def compare(request: Request) -> Response:
        return _json(compared(*(_side(runs, request.query_params.get(name, "")) for name in "ab")))

    def strip(request: Request) -> Response:
        from tasks.viewer.picture import Shown

        sides, two = [], len({request.query_params.get(name, "").partition(",")[0] for name in "ab"}) > 1
        for name in "ab":
            number, gen, hypothesis, group_id = (request.query_params.get(name, "").split(",", 3) + [""] * 4)[:4]
            if not number.isdecimal() or int(number) >= len(runs) or not hypothesis.isdecimal():
                raise HTTPException(400, f"'{name}' is no hypothesis; give RUN,GENERATION,HYPOTHESIS,GROUP")
            run = runs[int(number)]
            group = run.group(gen, group_id)
            if int(hypothesis) >= len(group):
                raise HTTPException(404, f"the group has {len(group)} hypotheses; count them from 0")
            label = f"{f'{run.folder.name}, ' if two else ''}{gen} #{int(hypothesis) + 1}"
            sides.append((run, Shown(group, int(hypothesis), label)))
        size = int(np.clip(_whole(request.query_params, "size", 384), *SIZES))
        content = sides[0][0].painter.strip([shown for _, shown in sides], size)
        return Response(content, media_type="image/jpeg", headers=_KEEP)

    def kept_strip(request: Request) -> Response:
        run, file = one(request), request.path_params["file"]
        if file not in {row["file"] for row in strips(run.folder)}:
            raise HTTPException(404, "the report has no such strip")
        return FileResponse(run.folder / FOLDER / "pictures" / file, headers=_KEEP)

    place = "{run:int}/{gen}/{group_id}"
    return Starlette(
        routes=[
            Route("/", lambda request: FileResponse(SITE / "index.html", headers=_SAFE)),
            Route("/api/run", about),
            Route("/api/reread", reread, methods=["POST"]),
            Route("/api/groups", groups),
            Route(f"/api/group/{place}", group),
            Route(f"/api/asked/{place}", asked),
            Route(f"/api/picture/{place}/{{view}}/{{hypothesis:int}}", picture),
            Route(f"/api/crop/{place}", crop),
            Route("/api/ready", ready),
            Route(f"/api/mesh/{place}/{{hypothesis:int}}", mesh),
            Route(f"/api/faces/{place}/{{hypothesis:int}}", own_faces),
            Route(f"/api/joints/{place}", joints),
            Route("/api/faces/{run:int}", faces),
            Route("/api/details", details),
            Route("/api/compare", compare),
            Route("/api/strip", strip),
            Route("/api/strips/{run:int}/{file}", kept_strip),
            Mount("/site", StaticFiles(directory=SITE)),
        ],
        exception_handlers={
            HTTPException: _told, SelectionError: _told, ComparisonError: _told, StoreError: _told
        },
    )  # fmt: skip


def selection(asked: Mapping[str, str]) -> Selection:
    """The question of an address: `critic`, `gen`, `dataset`, `status`, `tag`, `words`, `sort` (-name = downwards), and
    for each column `min.name` and `max.name`. Raises SelectionError for a limit that is no number.
    """
    limits = {}
    for name in SORTS:
        ends = tuple(_number(asked.get(f"{end}.{name}"), name) for end in ("min", "max"))
        if ends != (None, None):
            limits[name] = ends
    words = {key: asked.get(key, "") for key in ("critic", "gen", "dataset", "status", "tag", "words")}
    sort = asked.get("sort", "order")
    return Selection(**words, limits=limits, sort=sort.removeprefix("-"), descending=sort.startswith("-"))


def gallery_rows(found: Gallery, rows: np.ndarray, critic: str) -> list[dict[str, Any]]:
    """Rows of the gallery as JSON holds them: what a card of one group shows."""
    table, judged = found.table.take(rows).to_pylist(), found.critics.get(critic)
    shown = [{key: _rounded(value) for key, value in row.items()} for row in table]
    for row, place in zip(shown, rows):
        if judged is not None:
            scores = judged.scores[place, : row["hypotheses"]]
            row |= {
                "status": str(judged.status[place]),
                "scores": [None if np.isnan(score) else round(float(score), 1) for score in scores],
                "favourite": int(judged.favourite[place]),
                **{name: _rounded(float(getattr(judged, name)[place])) for name in ("mean", "best", "spread")},
            }
    return shown


def _side(runs: Sequence[ViewedRun], text: str) -> Side:
    number, _, rest = text.partition(",")
    gen, _, critic = rest.partition(",")
    if not number.isdecimal() or int(number) >= len(runs):
        raise ComparisonError(f"'{text}' is no side of a comparison; give RUN,GENERATION,CRITIC with RUN 0 or 1")
    return Side(runs[int(number)].gallery, gen, critic)


def _hypothesis(run: ViewedRun, request: Request, view: str) -> tuple[Group, str, int]:
    found, hypothesis = run.group(*_named(request)), request.path_params["hypothesis"]
    if hypothesis >= len(found):
        raise HTTPException(404, f"the group has {len(found)} hypotheses; count them from 0")
    return found, view, hypothesis


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["gen"], request.path_params["group_id"]


def _whole(asked: Mapping[str, str], key: str, default: int) -> int:
    text = asked.get(key, "")
    return int(text) if text.isdecimal() else default


def _number(text: str | None, name: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise SelectionError(f"'{text}' is no limit for {SORTS[name]}; give a number") from None


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 3) if np.isfinite(value) else None


def _json(content: Any) -> Response:
    return JSONResponse(content, headers={"cache-control": "no-store"})


async def _told(request: Request, error: Exception) -> Response:
    """An error as the page shows it."""
    status = cast(HTTPException, error).status_code if isinstance(error, HTTPException) else 400
    said = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"error": said}, status_code=status)

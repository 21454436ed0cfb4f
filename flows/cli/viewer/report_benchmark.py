"""Size and speed of the static report: a run with many people, whose overlays and thumbnails are kept."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PEOPLE, HYPOTHESES = 60, 20
_LOADED = """() => [...document.images].filter((one) => one.getBoundingClientRect().top < 2 * innerHeight)
  .every((one) => one.complete && one.naturalWidth > 0)"""
_COMMENT = "left wrist bent 61 degrees past its limit"


def measure_report(people: int = PEOPLE, folder: Path | None = None) -> list[dict[str, Any]]:
    """Groups written a second, bytes of a hypothesis' thumbnails, and what a browser loads before the first click.

    Pictures: made-up bodies over the free photographs. Drawing them, and making the thumbnails, which is done with it,
    is not counted.
    """
    from tasks.report.report import write_report

    with TemporaryDirectory(dir=folder) as made:
        run = Path(made)
        shown, bytes_each = _drawn(run, people)
        write_report(run, _SUMMARY, shown, [], [])
        start = time.process_time()  # a busy machine does not count
        page = write_report(run, _SUMMARY, shown, [], [])
        took = time.process_time() - start
        loaded = _loaded(page)
    rows = {
        "report_groups_per_second": (
            2 * people / took,
            f"groups of {HYPOTHESES} a second of one core, of {people} people before and after",
        ),
        "report_hypothesis_kb": (bytes_each / 1e3, "kB of the thumbnails of a hypothesis, overlay and side view"),
        "report_first_mb": (loaded / 1e6, f"MB of page and pictures before the first click, {people} people"),
    }
    return [
        {"metric": f"view.{name}", "value": value, "unit": unit, "baseline": None, "ratio": None}
        for name, (value, unit) in rows.items()
    ]


_SUMMARY: dict[str, Any] = {
    "run": "made-up", "settings_sha256": "0" * 64, "differences": [], "images": PEOPLE, "people": PEOPLE,
    "groups": 2 * PEOPLE, "hypotheses": 2 * PEOPLE * HYPOTHESES, "critic": "evidence@4", "split": "test",
    "verdicts": {"scored": 2 * PEOPLE * HYPOTHESES, "abstained": 0}, "stages": {}, "benchmark": {},
    "improvement_percent": {}, "body": "light", "base": "lab", "checkpoint": "policy.safetensors",
}  # fmt: skip


def _drawn(run: Path, people: int) -> tuple[list[Any], float]:
    """People with overlays and side views on disk, and the mean bytes of a hypothesis' thumbnails."""
    from importlib import resources

    import numpy as np
    from PIL import Image, ImageOps

    from hmr.body.body import load_body
    from hmr.rendering.overlay import NumbaRenderer
    from hmr.rendering.views import side_view
    from tasks.groups.overlays import mesh_of, save_jpeg
    from tasks.report.report import ShownGroup, ShownHypothesis, ShownPerson
    from tasks.report.thumbnails import Thumbnails, prepare

    random, body = np.random.default_rng(0), load_body()
    upright = body.template * np.array([1, -1, -1], dtype=np.float32) + np.array([0, 0, 3], np.float32)
    names = sorted(path.name for path in (resources.files("tasks") / "assets" / "photographs").iterdir())
    free = [resources.files("tasks") / "assets" / "photographs" / name for name in names if name.endswith(".jpg")]
    photographs = []
    for path in free:
        with path.open("rb") as file:
            photographs.append(np.asarray(ImageOps.fit(Image.open(file).convert("RGB"), (512, 512))))
    pictures = []
    renderer = NumbaRenderer()
    for number, pixels in enumerate(photographs):
        place = run / "drawn" / str(number)
        save_jpeg(pixels, place / "photograph.jpg")
        for k in range(HYPOTHESES):
            vertices = upright + random.normal(0, 0.1, 3).astype(np.float32)
            mesh = mesh_of(body, vertices, f"hypothesis {k}")
            drawn = renderer.draw([mesh], np.array([600, 600, 256, 256], np.float32), pixels).image
            save_jpeg(drawn, place / f"overlay_{k:02d}.jpg")
            save_jpeg(side_view([mesh], 512, renderer=renderer), place / f"side_{k:02d}.jpg")
        pictures.append(place)

    def group(when: str, number: int) -> ShownGroup:
        place = run / "overlays" / when / f"made-up-{number:03d}-p0"
        place.mkdir(parents=True)
        for path in pictures[number % len(pictures)].iterdir():
            os.link(path, place / path.name)
        overlays, sides = ([place / f"{what}_{k:02d}.jpg" for k in range(HYPOTHESES)] for what in ("overlay", "side"))
        prepare(run, place / "photograph.jpg", overlays, sides)
        return ShownGroup(
            place / "photograph.jpg",
            tuple(
                ShownHypothesis(overlay, side, 90.0 - k, "ok", _COMMENT, k + 1, 0.5, zero_start=k == 0)
                for k, (overlay, side) in enumerate(zip(overlays, sides))
            ),
        )

    shown = [
        ShownPerson(f"made-up-{n:03d}-p0", f"made_up_{n:03d}.jpg", group("before", n), group("after", n))
        for n in range(people)
    ]
    kept = [path.stat().st_size for path in Thumbnails(run).folder.iterdir()]
    return shown, sum(kept) / (2 * people * HYPOTHESES)


def _loaded(page: Path) -> int:
    """Bytes of all files that a browser asks for when it opens a page of this disk."""
    from urllib.parse import unquote, urlparse

    from flows.cli.viewer.view_benchmark import opened_browser

    asked: set[str] = set()
    with opened_browser() as browser:
        shown = browser.new_page(viewport={"width": 1440, "height": 900})
        shown.on("request", lambda request: asked.add(unquote(urlparse(request.url).path)))
        shown.goto(page.as_uri())
        shown.wait_for_function(_LOADED)  # lazy pictures come after the page is complete
    return sum(Path(path).stat().st_size for path in asked if Path(path).is_file())

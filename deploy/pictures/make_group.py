"""README's picture: one person of a free photograph, the zero-noise body of the default base, and alternatives by rank.

    python deploy/pictures/make_group.py deploy/pictures/group.jpg

`--photograph` takes another of `tasks/assets/photographs` and `--person` another of its people, surest first;
`--checkpoint` another base. Make it anew whenever the default base changes.
"""

import argparse
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hmr.detection.photograph import read_photograph
from hmr.rendering.overlay import NumbaRenderer
from hmr.rendering.views import side_view
from storage.records import DrawnGroup
from tasks.groups.overlays import draw_group, framed, group_vertices, mesh_of
from tasks.groups.people import people_in
from tasks.groups.sampled_groups import body, model, sample_hypotheses
from tasks.run.settings import CriticSection, Sample
from tasks.scoring import make_critic

WIDTH, GAP, LINE = 1200, 10, 26  # px: of the sheet, between its pictures, of a line of words
ALTERNATIVES = 4
INK, SOFT, PAPER = (28, 36, 48), (91, 102, 117), (255, 255, 255)

Picture = NDArray[np.uint8]


def spread(ranked: list[int], count: int) -> list[int]:
    """Places in a ranking, evenly from the first to the last."""
    return [ranked[round(k * (len(ranked) - 1) / (count - 1))] for k in range(count)]


def sheet(pixels: Picture, drawn: DrawnGroup, scores: NDArray[np.float64]) -> Picture:
    """Above the photograph, the zero-noise body over it and from the side; below alternatives, best first."""
    frame, group, renderer = body(None), drawn.group, NumbaRenderer()
    meshes = [mesh_of(frame, v, f"hypothesis {k}") for k, v in enumerate(group_vertices(frame, group))]
    large = (WIDTH - 4 * GAP) // 3
    cell = (WIDTH - (ALTERNATIVES + 1) * GAP) // ALTERNATIVES
    over = round(cell * 0.62)
    top = GAP + LINE + large + 2 * GAP
    paper = Image.new("RGB", (WIDTH, top + LINE + over + GAP), PAPER)
    draw, font, small = ImageDraw.Draw(paper), ImageFont.load_default(18), ImageFont.load_default(16)

    ranked = [int(k) for k in np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")]

    def judged(k: int) -> str:
        score = "not judged" if np.isnan(scores[k]) else f"score {scores[k]:.0f}"
        return f"rank {ranked.index(k) + 1} of {len(ranked)}, {score}"

    photograph, camera = framed(pixels, group.person, large)
    first = (
        ("photograph", photograph),
        (f"zero noise, {judged(0)}", renderer.draw([meshes[0]], camera, photograph).image),
        ("the same from the photograph's right", side_view([meshes[0]], large)),
    )
    for k, (words, picture) in enumerate(first):
        x = GAP + k * (large + GAP)
        draw.text((x, GAP), words, fill=INK, font=font)
        paper.paste(Image.fromarray(picture), (x, GAP + LINE))

    others = [k for k in ranked if not group.zero_start[k]]
    photograph, camera = framed(pixels, group.person, over)
    for place, k in enumerate(spread(others, ALTERNATIVES)):
        x = GAP + place * (cell + GAP)
        draw.text((x, top), judged(k), fill=SOFT, font=small)
        overlay = renderer.draw([meshes[k]], camera, photograph).image
        left = (2 * over - cell) // 2  # a side view is a square, and its middle has room here
        side = side_view([meshes[k]], over)[:, left : left + cell - over]
        paper.paste(Image.fromarray(overlay), (x, top + LINE))
        paper.paste(Image.fromarray(side), (x + over, top + LINE))
    return np.asarray(paper)


def main() -> None:
    """Read the arguments and write the picture."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--photograph", default="orchestra_conductor_from_behind.jpg")
    arguments.add_argument("--person", type=int, default=1)
    arguments.add_argument("--checkpoint", default="default")
    given = arguments.parse_args()

    with resources.as_file(resources.files("tasks").joinpath("assets", "photographs", given.photograph)) as path:
        photograph = read_photograph(path)
        people = people_in(path, photograph, thorough=True, crop_margin=1.25, focal_px=None).people
        sample = Sample(hypotheses=20, temperature=1.0)
        if not 0 <= given.person < len(people):
            arguments.error(f"{given.photograph} has {len(people)} people that were found, from 0")
        base = model(given.checkpoint)
        (group,) = sample_hypotheses([people[given.person]], base, body(None), sample, seed=0, draw="picture")
    drawn = draw_group(body(None), group)
    verdict = make_critic(CriticSection(), 0).judge(drawn)
    Image.fromarray(sheet(photograph.pixels, drawn, verdict.scores)).save(given.out, quality=86, optimize=True)


if __name__ == "__main__":
    main()

"""The page that shows bodies and takes answers: from the server, or as one file that exports its answers as JSON.

The page knows groups by their ids and members by their places; it does not hold a critic's name or score. It loads
nothing from another host, and its policy forbids it to.
"""

import base64
import io
import json
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from critique.annotation.answers import FAULTS, FORMAT, Answer
from critique.annotation.questions import Question
from storage.records import DrawnGroup

SIZE = 448  # px, side of an overlay
QUALITY = 82  # of JPEG pictures
KEYS = {
    "orientation": "o", "depth_order": "d", "limb_alignment": "l", "hand": "a", "head": "e", "foot_contact": "f",
    "penetration": "p", "physical_plausibility": "n", "scale": "z",
}  # fmt: skip
"""The key of each fault; none is a key that moves through the page."""


def page_text(
    run: str,
    questions: Sequence[Question],
    seed: int,
    pictures: Callable[[int, Question], dict[str, Any]],
    answers: Sequence[Answer] = (),
    *,
    served: bool,
) -> str:
    """The page as HTML.

    pictures: from number and question to the addresses of its pictures: {"photograph": ..., "overlays": [...], "sides":
    [...]}. answers: those given before. served: whether answers are sent to a server; else the page exports them.
    """
    content = {
        "format": FORMAT,
        "run": run,
        "seed": seed,
        "served": served,
        "faults": [{"tag": tag, "words": words, "key": KEYS[tag]} for tag, words in FAULTS.items()],
        "questions": [
            {"gen": one.gen, "group": one.group_id, "members": list(one.members), **pictures(number, one)}
            for number, one in enumerate(questions)
        ],
        "answers": [answer.model_dump(mode="json") for answer in answers],
    }
    source = resources.files("tasks.annotation").joinpath("page_template.html").read_text(encoding="utf-8")
    # In a script element only "</" and "<!--" could end the data early.
    return source.replace("@@CONTENT@@", json.dumps(content, ensure_ascii=True).replace("<", "\\u003c"))


def picture_names(drawn: DrawnGroup) -> dict[str, NDArray[np.uint8]]:
    """The pictures of a drawn question by the names that the server gives them."""
    assert drawn.photograph is not None
    named = {"photograph": drawn.photograph}
    named |= {f"overlay{place}": picture for place, picture in enumerate(drawn.overlays)}
    return named | {f"side{place}": picture for place, picture in enumerate(drawn.sides)}


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels (h, w, 3) as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=QUALITY)
    return buffer.getvalue()


def addresses(prefix: str, members: int) -> dict[str, Any]:
    """Where the server has the pictures of a question with so many members."""
    return {
        "photograph": f"{prefix}/photograph",
        "overlays": [f"{prefix}/overlay{place}" for place in range(members)],
        "sides": [f"{prefix}/side{place}" for place in range(members)],
    }


def embedded(drawn: DrawnGroup) -> dict[str, Any]:
    """The pictures of a question as parts of the page itself."""

    def address(pixels: NDArray[np.uint8]) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(jpeg(pixels)).decode()

    assert drawn.photograph is not None
    return {
        "photograph": address(drawn.photograph),
        "overlays": [address(picture) for picture in drawn.overlays],
        "sides": [address(picture) for picture in drawn.sides],
    }

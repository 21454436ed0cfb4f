"""What `hmr-align bench render` draws: the body over a free photograph, and random people before random cameras."""

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np


def measure_render(size: int, body: Path | None = None, *, rounds: int, views: int) -> list[dict[str, Any]]:
    """The rows of the renderer's speed and of its agreement with OpenGL; pictures of `size` px."""
    from hmr.body.body import load_body
    from hmr.detection.photograph import crop_square, read_photograph
    from hmr.rendering.render_benchmark import measure_agreement, measure_renderers

    model = load_body(body)
    upright = model.template * np.array([1, -1, -1], dtype=np.float32)  # y down, as the camera has it
    with resources.as_file(resources.files("tasks") / "assets" / "photographs") as folder:
        pixels = read_photograph(sorted(folder.glob("*.jpg"))[0]).pixels
    height, width = pixels.shape[:2]
    photograph = crop_square(pixels, np.array([width / 2, height / 2, min(height, width)], np.float32), size)
    rows = measure_renderers(upright, model.faces, photograph, model.sides, rounds=rounds)
    return rows + measure_agreement(_random_views(model, views, size), model.faces, size)


def _random_views(model: Any, count: int, size: int) -> list[Any]:
    """People of the studio: as they are; half out of the picture; and as near as the camera's own place."""
    import torch

    from hmr.rendering.render_benchmark import View
    from hmr.studio.studio import SIZE, truths

    truth = truths(model, "broad", range(count), purpose="benchmark")
    found = []
    rng = np.random.default_rng(0)
    for k in range(count):
        arrays = (truth.rotations, truth.betas, truth.translation)
        with torch.no_grad():
            vertices = model(*(torch.from_numpy(x[k : k + 1]) for x in arrays)).vertices[0].numpy()
        camera = truth.camera[k] * (size / SIZE)
        if k % 4 == 1:  # truncated: the picture's middle is moved by up to half of it
            camera[2:] += rng.uniform(-0.5, 0.5, 2).astype(np.float32) * size
        elif k % 4 == 2:  # across the near plane
            vertices = vertices + np.array([0, 0, rng.uniform(-0.3, 0.4) - float(vertices[:, 2].min())], np.float32)
        found.append(View(vertices, camera))
    return found

import numpy as np
import pytest

from hmr.body.body import load_body
from hmr.rendering.gl_platform import check_gl
from hmr.rendering.render_benchmark import View, measure_agreement, measure_renderers


@pytest.mark.slow
def test_ours_is_measured_against_pyrender_in_its_own_process_or_says_that_it_was_not():
    body, has_gl = load_body(), check_gl()[0]
    photograph = np.full((64, 64, 3), 128, np.uint8)
    results = measure_renderers(body.template * np.float32([1, -1, -1]), body.faces, photograph, rounds=1)
    names = ["raw", "antialiased", "reused", "path", "threads"] + ["pyrender_naive", "pyrender_kept"] * has_gl
    assert [result["metric"] for result in results] == [f"render.{name}" for name in names]
    for result in results:
        assert set(result) == {"metric", "value", "unit", "baseline", "ratio"}
        assert result["value"] > 0
        compared = (has_gl and "pyrender" not in result["metric"]) or result["metric"] == "render.threads"
        assert (result["baseline"] is not None) == (result["ratio"] is not None) == compared


@pytest.mark.gl
def test_pixels_and_depth_are_opengls_also_across_the_near_plane():
    if not check_gl()[0]:
        pytest.skip(check_gl()[1])
    body = load_body()
    facing = body.template * np.float32([1, -1, -1])
    views = [
        View(facing + np.float32([0.1 * k, 0, z]), np.float32([300, 300, middle, 64]))
        for k, (z, middle) in enumerate([(3.0, 64), (2.0, -20), (0.4, 64), (0.1, 64), (-3.0, 64)])
    ]
    rows = {row["metric"]: row["value"] for row in measure_agreement(views, body.faces, 128)}
    assert rows["render.iou"] > 0.985 and rows["render.depth"] > 0.99

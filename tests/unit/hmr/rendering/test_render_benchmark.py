import numpy as np
import pytest

from hmr.body.body import load_body
from hmr.rendering.overlay import check_gl
from hmr.rendering.render_benchmark import measure_renderers


@pytest.mark.slow
def test_every_renderer_is_measured_against_naive_pyrender_or_says_that_it_was_not():
    body = load_body()
    results = measure_renderers(body.template * np.float32([1, -1, -1]), body.faces, size=64, rounds=1)
    has_gl, _ = check_gl()
    names = ["render.raw", "render.supersampled"] + ["render.pyrender", "render.naive"] * has_gl
    assert [result["metric"] for result in results] == names
    for result in results:
        assert set(result) == {"metric", "value", "unit", "baseline", "ratio"}
        assert result["value"] > 0
        compared = has_gl and result["metric"] != "render.naive"
        assert (result["baseline"] is not None) == (result["ratio"] is not None) == compared

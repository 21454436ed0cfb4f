"""Whether OpenGL can draw here, and by which driver: tried in a separate process, since a bad driver ends its own."""

import os
import subprocess
import sys
from functools import lru_cache

GL_MEND = (
    "On Debian or Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libgles2. "
    "The numba renderer draws the same pictures and needs no GL."
)


def check_gl() -> tuple[bool, str]:
    """Whether pyrender can draw here, and by which driver or why not. Tested in a separate process."""
    platform, reason = gl_platform()
    return platform is not None, reason


@lru_cache(maxsize=1)
def gl_platform() -> tuple[str | None, str]:
    """The PYOPENGL_PLATFORM that works (the user's, else egl, else osmesa) or None; and the driver, or the reason."""
    wanted = os.environ.get("PYOPENGL_PLATFORM")
    failures = []
    for platform in [wanted] if wanted else ["egl", "osmesa"]:
        try:
            tried = subprocess.run(
                [sys.executable, "-c", _TRY_GL],
                env={**os.environ, "PYOPENGL_PLATFORM": platform},
                capture_output=True,
                text=True,
                timeout=120,
            )
        except subprocess.TimeoutExpired:
            failures.append(f"{platform}: no answer after 120 s")
            continue
        if tried.returncode == 0:
            return platform, f"{platform}: {tried.stdout.strip().splitlines()[-1]}"
        said = tried.stderr.strip().splitlines() or [f"process ended with {tried.returncode}"]
        failures.append(f"{platform}: {said[-1]}")
    return None, f"No OpenGL driver for pyrender ({'; '.join(failures)}). {GL_MEND}"


_TRY_GL = """
import numpy, pyrender
from OpenGL.GL import GL_RENDERER, glGetString
renderer = pyrender.OffscreenRenderer(8, 8)
driver = glGetString(GL_RENDERER)
scene = pyrender.Scene(bg_color=(1.0, 0.0, 0.0))
scene.add(pyrender.PerspectiveCamera(1.0))
picture, _ = renderer.render(scene)
assert picture.shape[:2] == (8, 8) and picture[4, 4, 0] == 255, "the driver draws a wrong picture"
renderer.delete()
print(driver.decode() if driver else "unnamed driver")
"""

"""The back ends that draw overlays, by name."""

from hmr.rendering.gl_overlay import PyrenderRenderer
from hmr.rendering.overlay import NumbaRenderer, OverlayError, OverlayRenderer


def open_renderer(name: str = "auto") -> OverlayRenderer:
    """The renderer called "numba" or "pyrender"; "auto" is numba, the faster one wherever there is a CPU.

    Raises OverlayError if pyrender is asked for and there is no GL.
    """
    if renderer_name(name) == "numba":
        return NumbaRenderer()
    if name == "pyrender":
        return PyrenderRenderer()  # loads GL now: importing its module does not
    raise OverlayError(f"There is no renderer '{name}'. Known: auto, numba, pyrender.")


def renderer_name(name: str) -> str:
    """The back end that "auto" stands for; others stand for themselves."""
    return "numba" if name == "auto" else name

"""The back ends that draw overlays, by name."""

from hmr.rendering.gl_overlay import PyrenderRenderer
from hmr.rendering.overlay import NumbaRenderer, OverlayError, OverlayRenderer


def open_renderer(name: str = "auto") -> OverlayRenderer:
    """The renderer called "numba" or "pyrender"; "auto" is numba, the faster one wherever there is a CPU.

    Raises OverlayError if the name is unknown, or if it is pyrender and there is no GL.
    """
    if renderer_name(name) == "numba":
        return NumbaRenderer()
    if name == "pyrender":
        return PyrenderRenderer()  # loads GL now: importing its module does not
    raise OverlayError(f"There is no renderer '{name}'. Known: auto, numba, pyrender.")


def renderer_name(name: str) -> str:
    """The name of the back end that is used: that of "auto", or the name itself."""
    return "numba" if name == "auto" else name

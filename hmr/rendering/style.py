"""How meshes look in a picture."""

from dataclasses import dataclass

from hmr.rendering.rasterizer import Lights

Colour = tuple[float, float, float]
"""RGB in full light, 0..1."""

LEFT: Colour = (0.24, 0.66, 1.0)
RIGHT: Colour = (1.0, 0.60, 0.10)
"""Blue and orange: the pair that people with any kind of colour blindness tell apart (after Okabe and Ito 2008)."""
TRUNK: Colour = (0.86, 0.88, 0.91)
PAPER = (244, 243, 240)
"""RGB, 0..255, behind a mesh that is drawn without a photograph."""
_LIGHTS = Lights()


@dataclass(frozen=True)
class Style:
    """How meshes look. Widths are in pixels of a picture of 512 px, and grow with the picture."""

    opacity: float = 0.6  # 1 hides the photograph behind the mesh; 0 leaves the contour alone
    contour: float = 1.5  # width of the dark line within the border of a mesh; 0 = none
    outline: float = 0.55  # how much a limb darkens what is just behind its edge, 0..1
    limbs: bool = True  # left arm and leg blue, right ones orange, where a mesh says which they are
    antialias: int = 2  # samples a pixel, each way
    colour: Colour = TRUNK  # of meshes that bring none, and of their trunk and head
    left: Colour = LEFT
    right: Colour = RIGHT
    depth_shade: float = 0.0  # how much darker the farthest point of a mesh is than the nearest, 0..1
    ground: bool = True  # views without a photograph: the floor, and the shadow where the body touches it
    lights: Lights = _LIGHTS

    def palette(self, own: Colour | None) -> tuple[Colour, Colour, Colour]:
        """The colours of trunk, left and right limbs of a mesh whose own colour is given, if it has one."""
        trunk = own or self.colour
        return (trunk, self.left, self.right) if self.limbs else (trunk, trunk, trunk)


DEFAULT_STYLE = Style()

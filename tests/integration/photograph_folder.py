"""A folder of photographs as users have them: good ones and bad ones. For tests."""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

GOOD = ("astronaut.png", "cameraman.png", "grey.png", "large.jpg", "rotated.jpg", "two.png")
BAD = {"coffee.png": "nobody", "notes.txt": "not a picture", "truncated.jpg": "truncated"}


def make_folder(folder: Path, *, large: bool = True) -> Path:
    """Write the folder: two free photographs, two people, nobody, truncated, 24 megapixels, grey, rotated, text."""
    folder.mkdir(parents=True, exist_ok=True)
    astronaut, camera = skimage.data.astronaut(), skimage.data.camera()
    Image.fromarray(astronaut).save(folder / "astronaut.png")
    Image.fromarray(camera).save(folder / "cameraman.png")
    two = np.concatenate([np.repeat(camera[..., None], 3, -1), astronaut], 1)
    Image.fromarray(two).save(folder / "two.png")
    Image.fromarray(skimage.data.coffee()).save(folder / "coffee.png")
    Image.fromarray(np.asarray(Image.fromarray(astronaut).convert("L"))).save(folder / "grey.png")
    turned = Image.fromarray(np.rot90(astronaut, 1).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # turn clockwise by a quarter to see it upright
    turned.save(folder / "rotated.jpg", exif=exif, quality=92)
    if large:
        Image.fromarray(astronaut).resize((4000, 4000)).crop((-1000, 0, 5000, 4000)).save(
            folder / "large.jpg", quality=85
        )
    whole = (folder / "rotated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "notes.txt").write_text("shot on a Tuesday")
    return folder

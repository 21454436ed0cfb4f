"""README's picture and the curves of the results are drawn by committed commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_picture_of_readme_is_drawn_anew(tmp_path):
    script, out = ROOT / "deploy" / "pictures" / "make_group.py", tmp_path / "group.jpg"
    subprocess.run([sys.executable, script, out], check=True, capture_output=True, timeout=300)
    with Image.open(out) as made, Image.open(ROOT / "deploy" / "pictures" / "group.jpg") as shipped:
        assert made.size == shipped.size
    details = subprocess.run(["make", "-n", "picture"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "deploy/pictures/make_group.py deploy/pictures/group.jpg" in details
    assert "(deploy/pictures/group.jpg)" in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_a_person_that_is_not_there_is_refused(tmp_path):
    script = ROOT / "deploy" / "pictures" / "make_group.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path / "group.jpg", "--person", "99"],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2 and "people that were found" in done.stderr


def test_the_curves_of_the_results_are_drawn_anew(tmp_path):
    """Words of the shipped pictures; lines may differ in their last digits with another matplotlib."""
    done = subprocess.run(["make", "-n", "curves"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "deploy/pictures/make_curves.py docs/pictures" in done
    script = ROOT / "deploy" / "pictures" / "make_curves.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True, timeout=300)
    for name in ("verdicts", "monitor", "rounds"):
        made, shipped = ((folder / f"{name}.svg").read_text() for folder in (tmp_path, ROOT / "docs" / "pictures"))
        assert words(made) == words(shipped), name
        assert f"](pictures/{name}.svg)" in (ROOT / "docs" / "results.md").read_text()


def words(picture: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", picture)

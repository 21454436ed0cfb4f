"""`hmr-align recover` as a user calls it: people of two photographs, every file, a second call, bad input."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import skimage.data
import trimesh
from PIL import Image

from hmr.body.body import load_body
from hmr.studio.studio import photographs
from tasks.recovery.files import FIELDS

ODD = "Größe [2] 'a' #1.png"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(skimage.data.astronaut()).save(folder / "astronaut.jpg")
    (drawn,) = photographs(load_body(), "lab", [3])
    Image.fromarray(drawn).save(folder / ODD)
    Image.fromarray(skimage.data.coffee()).save(folder / "coffee.png")
    (folder / "notes.txt").write_text("shot on a Tuesday")
    return folder


@pytest.fixture(scope="module")
def results(programs, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    wanted = ("--hypotheses", 6, "--format", "npz,obj,glb", "--pick", "critic")
    details = programs.run("recover", photos, "--out", out, "--name", "mine", *wanted)
    assert "notes.txt: not a picture" in details.stderr and "coffee.png: nobody was found in it" in details.stderr
    assert "INFO" not in details.stderr and details.stdout.startswith("2 people in 2 photographs; 2 could not be used")
    assert details.stdout.splitlines()[-1] == str(out / "mine" / "index.html")
    return out / "mine"


def folders(results: Path) -> dict[str, Path]:
    """Photograph -> folder."""
    return {Path(json.loads(p.read_text())["photo"]).name: p.parent for p in results.glob("*/photograph.json")}


def test_every_field_of_the_arrays_is_there_and_agrees(results):
    body = load_body()
    assert set(folders(results)) == {"astronaut.jpg", ODD}
    for name, folder in folders(results).items():
        with np.load(folder / "person0.npz") as file:  # no pickles
            one = {key: file[key] for key in file.files}
        assert set(one) == set(FIELDS) - {"vertices", "faces"}
        assert one["photo"] == name and one["body"] == body.name and one["pick"] == "critic"
        assert one["scores"][int(one["picked"])] == np.nanmax(one["scores"]) and len(one["alternative_pose"]) == 6
        np.testing.assert_array_equal(one["pose"], one["alternative_pose"][int(one["picked"])])
        np.testing.assert_allclose(one["joints"], one["alternative_joints"][int(one["picked"])], atol=1e-3)
        assert (one["joints"][:, 2] > 0).all() and one["spread_mm"].shape == (29,)
        fx, _, cx, _ = one["camera"]
        np.testing.assert_allclose(
            one["keypoints_2d"][:, 0], fx * one["keypoints"][:, 0] / one["keypoints"][:, 2] + cx, atol=0.1
        )


def test_meshes_are_those_of_the_arrays(results):
    for folder in folders(results).values():
        glb, obj = (trimesh.load(folder / f"person0.{kind}", force="mesh", process=False) for kind in ("glb", "obj"))
        assert len(glb.vertices) == len(obj.vertices) == load_body().vertex_count
        np.testing.assert_allclose(glb.vertices, obj.vertices, atol=1e-4)
        with np.load(folder / "person0.npz") as file:
            pelvis = file["joints"][0] * (1, -1, -1)
        assert (glb.bounds[0] < pelvis).all() and (pelvis < glb.bounds[1]).all()


def test_table_and_page_show_everybody(results):
    table = pd.read_parquet(results / "results.parquet")
    assert sorted(table.photo) == sorted(folders(results)) and (table["pick"] == "critic").all()
    assert np.isfinite(np.stack(table.pose)).all() and np.isfinite(table.keypoints_px).all()
    page = (results / "index.html").read_text()
    assert "Größe [2] &#39;a&#39; #1.png" in page and "notes.txt" in page and "coffee.png" in page
    links = set(re.findall(r'(?:href|src)="([^"#]+)"', page))
    assert len(links) > 10 and not [link for link in links if not (results / unquote(link)).is_file()]


def test_pictures_show_the_mesh(results):
    for folder in folders(results).values():
        plain, drawn = (np.asarray(Image.open(folder / f"{name}.jpg"), int) for name in ("photograph", "overlay"))
        assert plain.shape == drawn.shape and (np.abs(plain - drawn).max(-1) > 40).mean() > 0.02
        with Image.open(folder / "person0.jpg") as person, Image.open(folder / "person0_group.jpg") as group:
            assert person.size == (512, 512) and group.width == 1200


def test_a_second_call_does_what_has_changed_alone(programs, photos, results):
    again = (photos, "--out", results.parent, "--name", "mine", "--hypotheses", 6, "--format", "glb,obj")
    before = {path: path.stat().st_mtime_ns for path in results.glob("*/*")}
    details = programs.run("recover", *again, "--pick", "critic")
    assert details.stdout.startswith("2 photographs done already, with the same settings; 2 could not be used")
    assert before == {path: path.stat().st_mtime_ns for path in results.glob("*/*")}
    Image.fromarray(skimage.data.astronaut()[:, ::-1]).save(photos / "astronaut.jpg")
    details = programs.run("recover", *again, "--pick", "critic")
    assert details.stdout.startswith("1 person in 1 photograph; 1 photograph done already")
    changed = {path.parent.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {"astronaut"} and not list(results.glob(".unfinished*"))


def test_nothing_at_all_ends_with_code_2(programs, photos, tmp_path):
    details = programs.run("recover", photos / "notes.txt", photos / "*.gif", "--out", tmp_path, code=2)
    assert "*.gif: matches no file" in details.stderr and details.stderr.splitlines()[-1].startswith(
        "hmr-align: nothing was"
    )
    assert not list(tmp_path.rglob("index.html"))

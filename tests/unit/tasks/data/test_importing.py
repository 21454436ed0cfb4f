"""An import: Parquet that can be read again, a page with pictures, nothing left of what was refused."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from storage.sources import SourceError
from storage.sources.adapter import Choice
from storage.sources.record import SCHEMA, rows_of
from tasks.data.import_page import draw_some, write_page
from tasks.data.importing import import_people, rest_pelvis_of
from tests.people_files import humandata, pw3d
from tests.people_scene import SIZE, people_scene


def test_records_are_read_again_as_they_were(tmp_path):
    scene, shares = people_scene(5, 1), []
    done = import_people(
        "humandata", humandata(scene, tmp_path), tmp_path / "out" / "a.parquet", Choice(), progress=shares.append
    )
    assert done.records == 5 and shares == [1.0] and done.labels["kp2d"] == 5 and "dist" not in done.labels
    table = pq.read_table(done.file)
    assert table.schema.field("kp3d").metadata[b"unit"] == b"m" and table.schema.names == SCHEMA.names
    np.testing.assert_allclose(rows_of(table, "kp2d"), scene.flat(table["kp2d_names"][0].as_py().split(",")), rtol=1e-6)
    assert table["sample_id"][3].as_py() == "humandata/all/clip/00003/3"


def test_nothing_is_left_of_a_refused_file(tmp_path):
    path = humandata(people_scene(5, 1), tmp_path)
    held = dict(np.load(path, allow_pickle=True))
    held["keypoints3d_smplx"][..., :3] *= 1000
    np.savez(path, **held)
    out = tmp_path / "out" / "a.parquet"
    with pytest.raises(SourceError, match=r"keypoints3d_smplx.*millimetres.*--unchecked"):
        import_people("humandata", path, out, Choice())
    assert list(out.parent.iterdir()) == []
    assert import_people("humandata", path, out, Choice(), checked=False).records == 5


def test_pictures_with_points_stand_on_the_page(tmp_path):
    scene = people_scene(4, 1)
    done = import_people("humandata", humandata(scene, tmp_path), tmp_path / "a.parquet", Choice())
    (tmp_path / "photos" / "clip").mkdir(parents=True)
    for k in range(3):
        Image.new("RGB", SIZE, "grey").save(tmp_path / "photos" / "clip" / f"{k:05d}.jpg")
    shown = draw_some(done.file, tmp_path / "photos", 10, 0)
    assert len(shown) == 3 and all(one.off_px is not None and one.off_px < 1e-3 for one in shown)
    assert all(np.ptp(np.asarray(one.picture).astype(int)) > 100 for one in shown)  # points were drawn
    page = write_page(done, "four people", tmp_path / "photos").read_text()
    assert page.count("data:image/jpeg") == 3 and "kp3d" in page
    assert "Give --photos" in write_page(done, "four people", None).read_text()


def test_bodies_place_who_was_told_in_the_world(tmp_path):
    """With the free body in the place of SMPL, whose pelvis at rest lies at the origin."""
    from importlib import resources

    folder = tmp_path / "bodies"
    folder.mkdir()
    with resources.as_file(resources.files("hmr") / "assets" / "body_light.npz") as shipped:
        (folder / "SMPL_MALE.npz").write_bytes(shipped.read_bytes())
    place = rest_pelvis_of(folder)("smpl", "male", np.zeros((2, 10)))
    np.testing.assert_allclose(place, np.zeros((2, 3)), atol=2e-3)
    scene = people_scene(4, 1)
    path = pw3d(scene, tmp_path)
    done = import_people("3dpw", path, tmp_path / "a.parquet", Choice(pelvis=rest_pelvis_of(folder)), checked=False)
    assert done.labels["transl"] == 4 and not any("--bodies" in details for details in done.converted)
    with pytest.raises(SourceError, match="SMPL_FEMALE"):
        rest_pelvis_of(folder)("smpl", "female", np.zeros((1, 10)))


def test_people_with_a_box_alone_are_refused(tmp_path):
    """Labels under names that the format does not have, as UBody's in HybrIK's layout."""
    note = {"id": 0, "image_id": 0, "bbox": [1, 2, 30, 40], "keypoints_3d": [[0, 0, 0]]}
    image = {"id": 0, "file_name": "a.png", "width": 64, "height": 64}
    (tmp_path / "a.json").write_text(json.dumps({"images": [image], "annotations": [note]}))
    with pytest.raises(SourceError, match=r"neither points nor bodies were found .* another format"):
        import_people("coco-smpl", tmp_path / "a.json", tmp_path / "a.parquet", Choice(), checked=False)
    assert not (tmp_path / "a.parquet").exists()

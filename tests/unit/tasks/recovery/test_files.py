"""Meshes, table and words: written, and read by the programs they are for."""

import numpy as np
import pandas as pd
import pytest
import trimesh

from tasks.recovery.files import (
    COLUMNS,
    FIELDS,
    arrays_bytes,
    colour_of,
    read_arrays,
    readme,
    table_row,
    write_mesh,
    write_table,
)
from tests.factories import make_group

VERTICES = np.array([[0, 0, 4.0], [1, 0, 4], [0, 2, 4], [0, 0, 5]], np.float32)
FACES = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


@pytest.mark.parametrize("kind", ["obj", "glb"])
def test_a_mesh_is_upright_in_other_programs_and_keeps_its_order(tmp_path, kind):
    path = tmp_path / f"person0.{kind}"
    write_mesh(path, VERTICES, FACES, colour_of(0))
    mesh = trimesh.load(path, force="mesh", process=False)
    np.testing.assert_allclose(mesh.vertices, VERTICES * (1, -1, -1), atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, FACES)


def arrays() -> dict:
    """What a person's file holds, of the shapes that the table wants; the rest is left out."""
    group = make_group(np.random.default_rng(0), size=3)
    return {
        "pose": group.pose[1], "betas": group.betas, "translation": group.translation[1], "joints": group.joints[1],
        "keypoints_2d": np.ones((23, 2), np.float32), "spread_mm": np.ones(29, np.float32), "scores": [1.0, np.nan, 3],
        "picked": 1, "pick": "medoid", "refined": True, "body": "some", "box": group.person.box, "detection": 0.5,
        "camera": group.person.camera, "keypoints_px": 2.5, "mask_iou": 0.5, "photo": "ä b.jpg",
        "photo_sha256": group.person.photo_sha256, "model_digest": group.model_digest,
    }  # fmt: skip


def test_the_table_has_a_row_a_person_and_matrices_row_by_row(tmp_path):
    one = arrays()
    (tmp_path / "person0.npz").write_bytes(arrays_bytes(one))
    kept = read_arrays(tmp_path / "person0.npz")
    write_table(tmp_path / "results.parquet", [table_row("a-b", 0, kept), table_row("a-b", 1, one)])
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert list(table) == list(COLUMNS) and len(table) == 2
    np.testing.assert_array_equal(np.stack(table.pose).reshape(-1, 24, 3)[1], one["pose"])
    np.testing.assert_array_equal(np.stack(table.joints).reshape(-1, 29, 3)[0], one["joints"])
    first = table.iloc[0]
    assert (first.folder, first.photo, first.person, first["pick"]) == ("a-b", "ä b.jpg", 0, "medoid")
    assert np.isnan(first.score) and first.refined and first.mask_iou == 0.5
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_an_empty_table_can_be_read(tmp_path):
    write_table(tmp_path / "results.parquet", [])
    assert len(pd.read_parquet(tmp_path / "results.parquet")) == 0


def test_objects_are_never_written():
    with pytest.raises(ValueError, match="allow_pickle"):
        arrays_bytes({"comments": np.array(["a", None], object)})


def test_every_field_is_explained():
    assert all(what for _, _, what in FIELDS.values())
    assert all(f"\n  {name} " in readme() for name in FIELDS)
    assert set(COLUMNS) - {"folder", "person", "score"} <= set(FIELDS)

"""The truth of people from their records: where joints lie, and whether the record says so."""

import pyarrow.parquet as pq
import pytest

from hmr.body.body import load_body
from hmr.metrics.evaluation import TrueJoints
from storage.sources.adapter import Choice
from tasks.data.importing import import_people
from tasks.data.truth import record_truth
from tests.people_files import coco_smpl, spin
from tests.people_scene import people_scene


@pytest.mark.parametrize(("name", "write", "placed"), [("coco-smpl", coco_smpl, True), ("spin", spin, False)])
def test_joints_in_the_camera_s_frame_have_a_place_and_joints_about_a_root_have_none(tmp_path, name, write, placed):
    out = tmp_path / "people.parquet"
    import_people(name, write(people_scene(3, 1), tmp_path), out, Choice())
    found = record_truth(load_body(), pq.read_table(out)).people.bodies
    assert isinstance(found, TrueJoints) and found.placed.tolist() == [placed] * 3

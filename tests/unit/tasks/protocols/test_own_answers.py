"""`hmr-align benchmark --protocol NAME --photos DIR`: a model of ours answers by itself, from official layouts."""

import json
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli.command_line import app
from hmr.studio.studio import SIZE
from storage.sources.adapter import Choice
from tasks.data.importing import import_people, rest_pelvis_of
from tasks.data.record_people import numbers_of
from tests import people_files
from tests.own_data import OwnData, own_data
from tests.people_scene import Scene

SCENES = [1, 2, 3]


@dataclass(frozen=True)
class Folder:
    """A user's files: records of three datasets about the same drawn people, pictures, bodies, regressor."""

    root: Path
    data: OwnData

    def benchmark(self, protocol: str, *more: str):
        arguments = {
            "--protocol": protocol, "--data": self.root / f"{protocol}.parquet", "--photos": self.root / "photos",
            "--bodies": self.root / "bodies", "--out": self.root / "runs", "--checkpoint": "lab", "--hypotheses": 3,
        }  # fmt: skip
        flags = [str(part) for pair in arguments.items() for part in pair]
        return CliRunner().invoke(app, ["benchmark", *flags, *more])

    def table(self, protocol: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / "runs" / f"protocol-{protocol}" / "table.parquet")


def scene_of(data: OwnData, k: int) -> Scene:
    """One drawn person for the writers of official layouts."""
    from scipy.spatial.transform import Rotation

    truth, some = data.truth, slice(k, k + 1)
    turns = Rotation.from_matrix(truth.rotations[k]).as_rotvec()[None]
    camera, world = np.eye(3)[None].copy(), np.eye(4)[None]
    camera[0, [0, 1], [0, 1]], camera[0, :2, 2] = truth.camera[k, :2], truth.camera[k, 2:]
    named = [{name: one[some].astype(float) for name, one in part.items()} for part in (data.joints, data.pixels)]
    return Scene(
        turns[:, 0], turns[:, 1:], truth.betas[some], named[0]["pelvis"], *named, camera, world, world
    )  # fmt: skip


def official(data: OwnData, folder: Path) -> dict[str, Path]:
    """3DPW's pickles (two people in the first picture), EMDB's, and HybrIK's json of 3DPW."""
    made = {name: folder / name for name in ("3dpw", "emdb", "coco-smpl")}
    for path in made.values():
        path.mkdir()
    images, notes = [], []
    for k in range(len(SCENES)):
        scene = scene_of(data, k)
        place = made["3dpw"] / f"{k}"
        place.mkdir()
        source = people_files.pw3d(scene, place)
        held = pickle.loads((source / "test" / "downtown_walk_00.pkl").read_bytes())
        held["sequence"] = f"walk_{k}"
        if k == 0:
            held |= {
                name: held[name] * 2 for name in ("poses", "betas", "trans", "genders", "poses2d", "campose_valid")
            }
        (made["3dpw"] / "test").mkdir(exist_ok=True)
        (made["3dpw"] / "test" / f"walk_{k}.pkl").write_bytes(pickle.dumps(held, protocol=2))
        shutil.rmtree(source)
        (made["emdb"] / f"{k}").mkdir()
        file = next(people_files.emdb(scene, made["emdb"] / f"{k}").rglob("*.pkl"))
        file.write_bytes(pickle.dumps(pickle.loads(file.read_bytes()) | {"name": f"P{k}_05_walk"}, protocol=4))
        one = json.loads(people_files.coco_smpl(scene, made["coco-smpl"]).read_text())
        images.append(one["images"][0] | {"id": k, "sequence": f"walk_{k}"})
        notes.append(one["annotations"][0] | {"id": k, "image_id": k})
    (made["coco-smpl"] / "3DPW_test.json").write_text(json.dumps({"images": images, "annotations": notes}))
    return {**made, "coco-smpl": made["coco-smpl"] / "3DPW_test.json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prepared) -> Folder:
    root = tmp_path_factory.mktemp("protocols")
    data = own_data(root, SCENES)
    shutil.copytree(prepared.bodies, root / "bodies")
    shutil.copy(prepared.bodies / "SMPL_NEUTRAL.npz", root / "bodies" / "SMPL_FEMALE.npz")
    choice = Choice(pelvis=rest_pelvis_of(root / "bodies"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_files, "SIZE", (SIZE, SIZE))
        patch.setattr(people_files, "REST", np.zeros(3))
        sources = official(data, root)
    wanted = (("3dpw-standard", "3dpw", choice, None), ("emdb", "emdb", choice, None),
              ("scorehypo-3dpw", "coco-smpl", Choice(split="test"), "3dpw"))  # fmt: skip
    for protocol, name, how, dataset in wanted:
        done = import_people(name, sources[name], root / f"{protocol}.parquet", how, dataset=dataset, checked=False)
        for path, sequence in zip(*(pq.read_table(done.file)[c].to_pylist() for c in ("image_path", "sequence"))):
            k = int(next(letter for letter in sequence if letter.isdigit()))
            (root / "photos" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data.pictures / data.names[k], root / "photos" / path)
    shutil.copy(prepared.regressor, root / "J_regressor_h36m.npy")
    return Folder(root, data)


@pytest.mark.parametrize(
    ("protocol", "people", "metrics"),
    [
        ("3dpw-standard", 4, {"mpjpe_mm", "pa_mpjpe_mm", "pve_mm"}),
        ("emdb", 3, {"mpjpe_mm", "pa_mpjpe_mm", "pve_mm"}),
        ("scorehypo-3dpw", 1, {"mpjpe_mm", "pa_mpjpe_mm", "pve_mm"}),
    ],
)
def test_one_command_from_records_to_the_table(folder, protocol, people, metrics):
    regressor = [] if protocol == "emdb" else ["--regressor", str(folder.root / "J_regressor_h36m.npy")]
    result = folder.benchmark(protocol, *regressor, "--against", "published")
    assert result.exit_code == 0, (result.output, result.exception)
    said = " ".join(result.output.split())
    table = folder.table(protocol)
    ours = table[table["mark"] == "here"]
    assert set(ours["metric"]) == metrics and ours["people"].eq(people).all() and ours["value"].gt(0).all()
    methods = set(ours["method"])
    assert {"lab, first hypothesis", "lab, medoid", "lab, best of M, each metric apart (oracle)"} <= methods
    assert any(name.startswith("lab, chosen by evidence@") for name in methods)
    assert set(table["mark"]) > {"here"} and "M = 3" in said and "trained on drawn people of the free body" in said
    page = folder.root / "runs" / f"protocol-{protocol}" / "index.html"
    assert "best of M" in page.read_text() and "camera is guessed" in page.read_text()


def test_a_second_call_draws_nothing_and_says_the_same(folder):
    regressor = ("--regressor", str(folder.root / "J_regressor_h36m.npy"))
    before = folder.table("3dpw-standard")
    answers = sorted((folder.root / "runs" / "protocol-3dpw-standard").glob("answers-*/*/*.npz"))
    times = [path.stat().st_mtime_ns for path in answers]
    assert folder.benchmark("3dpw-standard", *regressor, "--against", "published").exit_code == 0
    assert [path.stat().st_mtime_ns for path in answers] == times and len(times) == 4
    pd.testing.assert_frame_equal(folder.table("3dpw-standard"), before)


def test_true_placement_is_declared(folder, tmp_path):
    (tmp_path / "settings.toml").write_text('[benchmark]\nprotocol = "published"\n')
    more = ("--settings", tmp_path / "settings.toml", "--regressor", folder.root / "J_regressor_h36m.npy")
    result = folder.benchmark("scorehypo-3dpw", *map(str, more))
    assert result.exit_code == 0 and "TRUE camera and root depth" in " ".join(result.output.split()), result.exception


def test_what_is_missing_is_said(folder):
    for flags, said in (
        (["--photos", str(folder.root / "bodies")], "none of the 3 pictures is there"),
        (["--bodies", str(folder.root / "photos")], "holds no SMPL_NEUTRAL"),
        (["--body", "SMPL_NEUTRAL.pkl"], "the body is SMPL_NEUTRAL of --bodies"),
        (["--predictions", str(folder.root)], "have no effect beside --predictions"),
    ):
        result = folder.benchmark("emdb", *flags)
        assert result.exit_code and said in str(result.exception)


def test_people_of_one_frame_have_names_of_their_own():
    """Files with a row for each frame number both people of a picture alike."""
    two = [{"source_row": 7, "person_id": "0"}, {"source_row": 7, "person_id": "1"}]
    assert numbers_of(two) == ["0", "1"]
    assert numbers_of([{"source_row": 7, "person_id": "0"}, {"source_row": 9, "person_id": "0"}]) == ["7", "9"]
    assert numbers_of([two[0], two[0]]) == ["0", "1"]

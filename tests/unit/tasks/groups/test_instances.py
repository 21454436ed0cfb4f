"""People of a dataset: from rows of a file to found people with true bodies, and a critic measured on them.

The dataset is of the studio's labelled people, written down as GTA-Human II's and DNA-Rendering's files are; the body
is a file in SMPL-X's layout with the free body's mesh. No real file is at hand.
"""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import roma
import torch
from PIL import Image
from typer.testing import CliRunner

from flows.cli.command_line import app
from flows.critic_benchmark import critic_benchmark
from hmr.body.body import Body, load_body
from hmr.body.camera import project
from hmr.detection.boxes import boxes_of
from hmr.studio.studio import SIZE, Truth, photographs, truths
from storage.sources import SourceError
from storage.sources.humandata import Instance
from tasks.benchmarks.critic_benchmark import perturbed_instances
from tasks.groups.instances import (
    GTA_CAMERA,
    NOT_FOUND,
    InstancesError,
    find_instances,
    instance_store,
    off_box,
    place,
    row_of,
    seen_by_true_camera,
    seen_instances,
    shards,
    true_bodies,
    true_cameras,
)
from tasks.run.settings import Base, Instances, Settings, SettingsError, load_settings, settings_sha256
from tests.humandata_file import write_humandata
from tests.smplx_file import write_smplx

SCENES = [1, 2, 3, 4, 6, 7, 8, 9]


class Dataset(NamedTuple):
    """A folder with photographs, rows and a body file, and what is true in them."""

    root: Path
    rows: dict[str, Any]
    body: Path
    body_model: Body
    truth: Truth

    def file(self, name: str = "rows.npz", **changes: Any) -> Path:
        return write_humandata(self.root / name, self.rows, **changes)

    def section(self, path: Path | None = None, **given: Any) -> Instances:
        given = {"photos": self.root / "photos", "stride": 1} | given
        return Instances(file=path or self.file(), **given)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    root = tmp_path_factory.mktemp("dataset")
    light = load_body()
    truth = truths(light, "broad", SCENES, purpose="pretrain")
    names = [f"images/seq_{scene:08d}/00000000.png" for scene in SCENES]
    for name, pixels in zip(names, photographs(light, "broad", SCENES)):
        (root / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(root / "photos" / name)
    body_model = load_body(write_smplx(root / "SMPLX_NEUTRAL.npz"))
    pose = roma.rotmat_to_rotvec(torch.from_numpy(truth.rotations)).numpy()
    box = boxes_of(drawn_joints(body_model, truth))
    rows = {
        "image_path": np.array(names),
        "bbox_xywh": np.hstack([box[:, :2], box[:, 2:] - box[:, :2], np.ones((len(box), 1))]),
        "smplx": {
            "global_orient": pose[:, 0],
            "body_pose": pose[:, 1:22],
            "betas": truth.betas,
            "transl": truth.translation,
        },
        "meta": {
            "focal_length": [tuple(camera) for camera in truth.camera[:, :2]],
            "principal_point": [tuple(camera) for camera in truth.camera[:, 2:]],
            "width": [SIZE] * len(names),
            "height": [SIZE] * len(names),
        },
    }
    return Dataset(root, rows, root / "SMPLX_NEUTRAL.npz", body_model, truth)


def drawn_joints(body_model: Body, truth: Truth) -> np.ndarray:
    joints = body_model(*map(torch.from_numpy, (truth.rotations, truth.betas, truth.translation))).joints
    return project(joints, torch.from_numpy(truth.camera)).double().numpy()


def refusal(dataset: Dataset, section: Instances, body_model: Body | None = None) -> str:
    with pytest.raises(InstancesError) as caught:
        place(body_model or dataset.body_model, section)
    return str(caught.value)


def test_true_bodies_and_cameras_are_those_of_the_file(dataset):
    placed = place(dataset.body_model, dataset.section())
    assert (placed.data.chosen, len(placed.instances), placed.skipped) == (len(SCENES), len(SCENES), {})
    assert placed.off_box == 0
    joints = dataset.body_model(*placed.truth.bodies).joints
    got = project(joints, placed.truth.camera).double().numpy()
    inner = [j for j in range(29) if j not in (22, 23, 25, 26)]  # hands lie flat in the file
    np.testing.assert_allclose(got[:, inner], drawn_joints(dataset.body_model, dataset.truth)[:, inner], atol=0.05)


def test_a_turn_and_a_place_by_hand():
    """Half a turn about x: y up becomes y down; the left elbow bent by a right angle about y; flat hands."""
    body_pose = np.zeros((21, 3), np.float32)
    body_pose[17, 1] = np.pi / 2  # joint 18
    zeros = np.zeros(3, np.float32)
    one = Instance(
        0, "a.jpg", np.ones(4, np.float32), np.float32([np.pi, 0, 0]), body_pose, np.ones(10, np.float32),
        np.float32([0, 1, 5]), None, None, None, None,
    )  # fmt: skip
    found = true_bodies([one, replace(one, transl=zeros)])
    np.testing.assert_allclose(found.rotations[0, 0], np.diag([1, -1, -1]), atol=1e-6)
    np.testing.assert_allclose(found.rotations[0, 18] @ torch.tensor([0.0, 0, 1]), [1, 0, 0], atol=1e-6)
    assert (found.rotations[:, [1, 17, 22, 23]] == torch.eye(3)).all()
    assert found.translation.tolist() == [[0, 1, 5], [0, 0, 0]]


def test_the_camera_is_the_files_then_the_settings_then_the_datasets(dataset):
    one = place(dataset.body_model, dataset.section()).instances[0]
    bare = replace(one, focal_length=None, principal_point=None)
    large, small = np.array([[1920, 1080]]), np.array([[1280, 720]])

    def camera(instance, size, **given) -> list[float]:
        return true_cameras([instance], size, dataset.section(**given))[0].tolist()

    assert camera(one, large, focal_px=5.0) == [*one.focal_length.tolist(), *one.principal_point.tolist()]
    assert camera(bare, large, focal_px=900.0) == [900, 900, 960, 540]
    assert camera(bare, small, focal_px=900.0, principal_point=[1, 2]) == [900, 900, 1, 2]
    assert camera(bare, large, dataset="gta_human2") == pytest.approx(GTA_CAMERA)
    assert GTA_CAMERA[0] == pytest.approx(540 / np.tan(np.radians(25)), abs=1e-3)
    for size, given in ((small, {"dataset": "gta_human2"}), (large, {"dataset": "dna_rendering"}), (large, {})):
        with pytest.raises(InstancesError, match=r"no camera for row 0 .*focal_px and principal_point"):
            camera(bare, size, **given)


def test_a_camera_that_does_not_fit_is_refused_at_the_door(dataset):
    meta = dataset.rows["meta"] | {"principal_point": (900.0, 160.0)}
    details = refusal(dataset, dataset.section(dataset.file("camera.npz", meta=meta)))
    assert (
        "100 % of 8 true bodies project off" in details and "OpenCV camera frame" in details and "focal_px" in details
    )
    upside_down = dataset.rows["smplx"] | {"transl": dataset.truth.translation * np.float32([1, -1, -1])}
    details = refusal(dataset, dataset.section(dataset.file("frame.npz", smplx=upside_down)))
    assert "OpenCV camera frame" in details
    boxes = dataset.rows["bbox_xywh"].copy()
    boxes[:3, :2] += 1000
    placed = place(dataset.body_model, dataset.section(dataset.file("boxes.npz", bbox_xywh=boxes)))
    assert placed.off_box == 3 / 8  # told, not refused


def test_off_box_by_hand(dataset):
    placed = place(dataset.body_model, dataset.section())
    boxes = np.tile([[0.0, 0, 1, 1]], (8, 1))
    boxes[:2] = boxes_of(drawn_joints(dataset.body_model, dataset.truth))[:2].clip(0, SIZE)
    assert off_box(dataset.body_model, placed.truth, boxes, placed.sizes) == 6 / 8


def test_what_does_not_go_together_is_refused(dataset, tmp_path):
    section = dataset.section()
    assert "--body SMPLX_NEUTRAL.npz" in refusal(dataset, section, load_body())
    for lacking in ("file", "photos"):
        details = refusal(dataset, section.model_copy(update={lacking: None}))
        assert "--instances FILE.npz and --photos DIR" in details
    details = refusal(dataset, section.model_copy(update={"photos": tmp_path}))
    assert "8 without a picture" in details and str(tmp_path / dataset.rows["image_path"][0]) in details
    with pytest.raises(SourceError, match="cannot be read"):
        place(dataset.body_model, section.model_copy(update={"file": tmp_path / "no.npz"}))


def test_rows_without_a_usable_picture_are_counted(dataset, tmp_path):
    names = [str(name) for name in dataset.rows["image_path"]]
    (dataset.root / "photos" / "broken.png").write_bytes(b"no picture")
    meta = dataset.rows["meta"] | {"width": [SIZE] * 7 + [640]}
    path = dataset.file("lost.npz", image_path=np.array(["gone.png", "broken.png", *names[2:]]), meta=meta)
    placed = place(dataset.body_model, dataset.section(path))
    assert [one.row for one in placed.instances] == [2, 3, 4, 5, 6]
    assert placed.skipped == {
        "without a picture": 1,
        "with a picture that cannot be read": 1,
        "with a picture of another size than the file says": 1,
    }


def test_rows_of_one_photograph_stay_together(dataset):
    names = [str(dataset.rows["image_path"][k]) for k in (0, 1, 0, 2, 1, 3, 3, 0)]
    placed = place(dataset.body_model, dataset.section(dataset.file("many.npz", image_path=np.array(names))))
    assert shards(placed, 2) == [("00000", [0, 2, 7, 1, 4]), ("00001", [3, 5, 6])]


@pytest.fixture(scope="module")
def seen(dataset, tmp_path_factory):
    """The people of the dataset, one of whom is annotated where nobody stands."""
    boxes = dataset.rows["bbox_xywh"].copy()
    boxes[5, :4] = [0, 0, 20, 20]
    placed = place(dataset.body_model, dataset.section(dataset.file("seen.npz", bbox_xywh=boxes)))
    store = instance_store(tmp_path_factory.mktemp("run"), placed, 1.25)
    for name, places in shards(placed, 5):
        find_instances(placed, name, places, store, 1.25, None)
    return placed, store, seen_instances(placed, store)


def test_people_are_matched_to_their_rows_and_the_lost_are_counted(dataset, seen):
    placed, _, found = seen
    rows = [row_of(person) for person in found.people]
    assert rows == sorted(rows) and 5 not in rows and len(rows) >= 5
    assert found.skipped == {NOT_FOUND: len(SCENES) - len(rows)}
    np.testing.assert_array_equal(found.truth.bodies.translation, dataset.truth.translation[rows])
    for person, true in zip(found.people, seen_by_true_camera(found)):
        row = row_of(person)
        assert person.photo == str(placed.photos[row])
        centre = dataset.rows["bbox_xywh"][row, :2] + dataset.rows["bbox_xywh"][row, 2:4] / 2
        assert np.linalg.norm(person.crop[:2] - centre) < 0.25 * person.crop[2]
        np.testing.assert_allclose(true.camera, dataset.truth.camera[row], rtol=1e-6)
        assert person.camera[0] == pytest.approx(SIZE * 2**0.5)  # as guessed: the truth is for the groups alone


def test_what_was_found_is_not_looked_for_again(seen, monkeypatch):
    placed, store, found = seen

    def nobody(*_: Any) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr("tasks.groups.instances.finder", nobody)
    assert sum(find_instances(placed, *part, store, 1.25, None) for part in shards(placed, 5)) == len(found.people)
    assert instance_store(store.root.parents[2], placed, 1.25).root == store.root
    assert instance_store(store.root.parents[2], placed, 1.5).root != store.root


def test_one_found_person_is_no_benchmark(seen, tmp_path):
    placed, _, found = seen
    lone = instance_store(tmp_path, placed)
    lone.write_people("00000", found.people[:1])
    with pytest.raises(InstancesError, match=r"1 of its 8 chosen rows .* two at least"):
        seen_instances(placed, lone)


def test_perturbed_groups_have_all_three_errors(dataset, seen):
    _, _, found = seen
    made = perturbed_instances(dataset.body_model, found, hypotheses=4, level=1.0)
    shape = (len(found.people), 4)
    assert made.errors.shape == made.others["pa"].shape == made.others["pve"].shape == shape
    assert 10 < made.errors.mean() < 90 and (made.others["pa"] < made.errors + 1e-6).mean() > 0.9
    assert 10 < made.others["pve"].mean() < 90
    far = perturbed_instances(dataset.body_model, found, hypotheses=4, level=8.0)
    assert far.errors.mean() > 2 * made.errors.mean()


def test_settings_of_instances_are_checked_and_make_no_other_run():
    chosen = load_settings(None, {"instances": {"level": "mixed", "principal_point": [960, 540], "stride": 7}})
    assert (chosen.instances.level, chosen.instances.principal_point) == ("mixed", [960, 540])
    assert settings_sha256(chosen) == settings_sha256(Settings())
    assert Settings.model_validate(chosen.model_dump(mode="json")) == chosen
    for wrong in ({"level": "mixd"}, {"level": 0.0}, {"principal_point": [1.0]}, {"dataset": "gta"}, {"stride": 0}):
        with pytest.raises(SettingsError, match=rf"\[instances\] {next(iter(wrong))} = "):
            load_settings(None, {"instances": wrong})


@pytest.mark.slow
def test_the_command_measures_a_critic_on_a_dataset(dataset, tmp_path, monkeypatch):
    """As in README, but for the Prefect server; and twice, which must give the same."""
    monkeypatch.setattr("flows.cli.command_line.recorded", nullcontext)
    monkeypatch.setattr("flows.critic_benchmark.critic_benchmark", critic_benchmark.fn)
    monkeypatch.chdir(dataset.root)
    dataset.file("gta.npz")
    Path("mine.toml").write_text("[instances]\nstride = 1\n[benchmark]\nbootstrap = 50\n")
    command = ["critic-benchmark", "--instances", "gta.npz", "--photos", "photos", "--body", "SMPLX_NEUTRAL.npz"]
    command += ["--dataset", "gta_human2", "--level", "mixed", "--hypotheses", "8", "--settings", "mine.toml"]
    command += ["--out", str(tmp_path), "--json", str(tmp_path / "critic.json")]

    def measured(*more: str) -> list[dict[str, Any]]:
        done = CliRunner().invoke(app, [*command, *more], catch_exceptions=False)
        assert done.exit_code == 0 and "critic.srcc_pve" in done.output
        return json.loads((tmp_path / "critic.json").read_text())["results"]

    rows = measured()
    values = {row["metric"]: row["value"] for row in rows}
    for name in ("critic.srcc", "critic.srcc_pa", "critic.srcc_pve"):
        assert values[name] > 0.4
    assert {"critic.krcc", "critic.krcc_pve", "critic.plcc_pa", "critic.top1_regret_mm"} <= values.keys()
    assert {"critic.model_srcc", "critic.model_srcc_pve", "critic.model_krcc_pa"} <= values.keys()
    assert values["critic.top1_regret_mm"] < values["critic.random_regret_mm"]
    for row in rows:
        assert (row["instances"], row["dataset"], row["selection"]) == ("gta.npz", "gta_human2", "every row")
        assert row["hypotheses"] == 8 and row["chosen"] == 8 and row["n"] == 8 - sum(row["skipped"].values())
        assert row["level"] == ("mixed" if row["groups"] == "perturbed" else None) and "split" not in row
        assert row["images"] <= row["n"] and (row["groups"] == "perturbed" or row["base"] == "default")
    again = {row["metric"]: row["value"] for row in measured("--groups", "perturbed")}
    assert all(again[name] == values[name] for name in again if "seconds" not in name) and "critic.srcc" in again


@pytest.mark.parametrize("lacking", ["file", "photos"])
def test_half_of_what_is_needed_is_no_call_for_the_studio(dataset, lacking):
    section = dataset.section().model_copy(update={lacking: None})
    chosen = Settings(instances=section, base=Base(body=dataset.body))
    with pytest.raises(InstancesError, match="give both"):
        critic_benchmark.fn(chosen, "perturbed")

"""Protocols on datasets' official layouts: whom each finds, and what needs two bodies, or the camera's turn."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial.transform import Rotation

from hmr.metrics.mesh_contact import penetration, touching
from storage.predictions.arrays_npz import write
from storage.predictions.predicted import Predicted
from storage.sources.adapter import Choice
from storage.sources.record import rows_of
from tasks.data.importing import import_people, rest_pelvis_of
from tasks.protocols.benchmark import benchmark
from tasks.protocols.people import choose
from tasks.protocols.protocol import load_protocol, names
from tests.people_files import WRITERS
from tests.people_scene import Scene, free_body, people_scene, projected

COUNT = 12
SOURCES = {  # protocol -> adapter, split that the user names, rows that remain of twelve
    "3dpw-standard": ("3dpw", "", 9),
    "scorehypo-3dpw": ("coco-smpl", "test", 2),
    "h36m-p1": ("human36m", "", 3),
    "h36m-p2-spin": ("human36m", "", 3),
    "h36m-p2-hybrik": ("coco-smpl", "test", 12),
    "3dhp": ("mpi_inf_3dhp", "test", 12),
    "hi4d": ("hi4d", "", 12),
    "spec": ("spec", "test", 12),
    "bedlam-val": ("bedlam", "val", 12),
    "emdb": ("emdb", "", 11),
}


def test_every_protocol_about_people_has_a_source():
    assert set(SOURCES) == {name for name in names() if load_protocol(name).rules.kind == "people"}


@pytest.mark.parametrize("name", SOURCES)
def test_a_protocol_finds_its_people_in_an_import(tmp_path, name):
    """What `data import` writes has the dataset, split, subjects, cameras and frames that the protocol asks for."""
    adapter, split, rows = SOURCES[name]
    if adapter == "human36m":
        pytest.importorskip("cdflib")
    scene = one_camera(people_scene(COUNT, 3)) if WRITERS[adapter].one_camera else people_scene(COUNT, 3)
    source = WRITERS[adapter].write(scene, tmp_path)
    if name == "h36m-p2-hybrik":
        held = json.loads(source.read_text())
        for k, image in enumerate(held["images"]):
            image["file_name"] = f"s_09_act_02_subact_01_ca_01/s_09_act_02_subact_01_ca_01_{k + 1:06d}.jpg"
        source.write_text(json.dumps(held))
    protocol = load_protocol(name)
    done = import_people(
        adapter, source, tmp_path / "r.parquet", Choice(split=split), dataset=protocol.rules.dataset, checked=False
    )
    assert len(choose(done.file, protocol).rows) == rows


def one_camera(scene: Scene) -> Scene:
    camera = np.repeat(scene.camera[:1], len(scene), 0)
    return replace(scene, camera=camera, pixels={key: projected(one, camera) for key, one in scene.joints.items()})


# --- two people --------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """Records of two people, and how much of them is inside the other, by the measure on the true meshes."""

    records: Path
    inside_percent: float
    inside_mm: float


@pytest.fixture(scope="module")
def pair(prepared, tmp_path_factory) -> Pair:
    """A frame of HI4D: a tip of one person is in a tip of the other; touching vertices are labelled."""
    folder = tmp_path_factory.mktemp("pair")
    scene, action = people_scene(2, 5), folder / "pair00" / "hug00"
    for part in ("cameras", "smpl"):
        (action / part).mkdir(parents=True)
    orient, pose = np.repeat(scene.orient[:1], 2, 0), np.repeat(scene.pose[:1].reshape(1, 69), 2, 0)
    betas, transl = np.zeros((2, 10)), np.tile([0.0, 0.0, 4.0], (2, 1))
    turns = np.concatenate([orient[:, None], pose.reshape(2, 23, 3)], 1)
    one = prepared.read().pose("smpl", "neutral", turns[:1], betas[:1], transl[:1])[0][0]
    tips, faces = one[one[:, 0].argmax()] - one[one[:, 0].argmin()], free_body().faces
    for deep in (0.02, 0.04, 0.06, 0.08, 0.1):  # until a vertex is inside
        shift = tips - [deep, 0, 0]
        meshes = np.stack([one, one + shift])
        inside = [penetration(meshes[k], meshes[1 - k], faces) for k in range(2)]
        if min(found.share for found in inside) > 0:
            break
    transl[1] += shift
    contact = np.stack([touching(meshes[k], meshes[1 - k]) for k in range(2)]).astype(float)
    assert (contact.sum(1) > 0).all() and inside[0].share > 0
    np.savez(action / "meta.npz", start=0, end=0, num_persons=2, genders=np.array(["male", "male"]))
    np.savez(
        action / "cameras" / "rgb_cameras.npz", ids=np.array([4]), intrinsics=scene.camera[:1],
        extrinsics=np.eye(4)[None, :3], dist_coeffs=np.zeros((1, 5)),
    )  # fmt: skip
    np.savez(action / "smpl" / "000000.npz", betas=betas, body_pose=pose, global_orient=orient, transl=transl,
             contact=contact)  # fmt: skip
    choice = Choice(pelvis=rest_pelvis_of(prepared.bodies))
    done = import_people("hi4d", folder, folder / "hi4d.parquet", choice, checked=False)
    return Pair(done.file, 50 * sum(found.share for found in inside), sum(found.depth_mm for found in inside) / 2)


def answered(records: Path, folder: Path, shift: np.ndarray, **more) -> Path:
    """The truth as a model's answer, each person moved by a row of `shift`, metres."""
    table = pq.read_table(records)
    folder.mkdir()
    orient, pose, betas, transl = (rows_of(table, name) for name in ("global_orient", "body_pose", "betas", "transl"))
    for k, sample in enumerate(table["sample_id"].to_pylist()):
        some = slice(k, k + 1)
        place = (np.zeros((1, 3)) if np.isnan(transl[some]).any() else transl[some]) + shift[k % len(shift)]
        write(
            Predicted("m", "-", sample, "0", "smpl", orient[some], pose[some], betas[some, :10], place, **more),
            folder,
        )  # fmt: skip
    return folder


def measured(prepared, name: str, records: Path, answers: Path, folder: Path) -> tuple[dict, str]:
    done = benchmark(load_protocol(name), records, [answers], "npz", prepared.read(), folder)
    (row,) = done.table.rows
    return row.values, done.page.read_text()


def test_two_people_of_hi4d(prepared, pair, tmp_path):
    """The truth itself touches where the labels say; moved 2 m apart nobody touches, and the pair is misplaced."""
    true, page = measured(
        prepared, "hi4d", pair.records, answered(pair.records, tmp_path / "a", np.zeros((1, 3))), tmp_path / "x"
    )
    assert true["mpjpe_mm"] < 0.01 and true["pve_mm"] < 0.02 and true["pair_pa_mpjpe_mm"] < 0.01
    assert true["contact_f1_percent"] == pytest.approx(100, abs=5)
    assert true["inside_percent"] == pytest.approx(pair.inside_percent, rel=0.2)
    assert true["inside_mm"] == pytest.approx(pair.inside_mm, abs=2)
    assert "contact F1 (ours)" in page and "vertices inside (ours)" in page and "no published number compares" in page
    apart = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    far, _ = measured(prepared, "hi4d", pair.records, answered(pair.records, tmp_path / "b", apart), tmp_path / "y")
    assert far["mpjpe_mm"] < 0.01 and far["inside_percent"] == far["inside_mm"] == 0
    assert far["contact_f1_percent"] == 0 and far["pair_pa_mpjpe_mm"] > 10  # the made-up bodies are a hand wide


# --- the world ---------------------------------------------------------------------------------------------------


def test_errors_of_spec_are_in_the_world(prepared, tmp_path):
    """With the true camera's rotation there is no error; with one that is off by a right angle in W- metrics alone."""
    scene = people_scene(4, 3)
    scene = replace(scene, world=np.repeat(scene.world[:1], 4, 0))  # so that one turn serves all answers
    source = WRITERS["spec"].write(scene, tmp_path)
    records = import_people("spec", source, tmp_path / "s.parquet", Choice(split="test"), checked=False).file
    turn, still = scene.world[0, :3, :3], np.zeros((1, 3))
    right = answered(records, tmp_path / "a", still, cam_rotation=turn)
    wrong = answered(
        records, tmp_path / "b", still, cam_rotation=Rotation.from_euler("z", 90, degrees=True).as_matrix() @ turn
    )
    blind = answered(records, tmp_path / "c", still)
    found, _ = measured(prepared, "spec", records, right, tmp_path / "x")
    assert set(found) == {"w_mpjpe_mm", "pa_mpjpe_mm", "w_pve_mm", "mpjpe_mm", "pve_mm"} and max(found.values()) < 0.02
    found, _ = measured(prepared, "spec", records, wrong, tmp_path / "y")
    assert found["w_mpjpe_mm"] > 30 < found["w_pve_mm"] and max(found["mpjpe_mm"], found["pve_mm"]) < 0.02
    found, page = measured(prepared, "spec", records, blind, tmp_path / "z")
    assert "w_mpjpe_mm" not in found and "Not measured: W-MPJPE, W-PVE" in page

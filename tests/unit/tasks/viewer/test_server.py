"""The viewer's answers over HTTP, on a small made-up run."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from hmr.body.body import load_body
from hmr.rendering.style import PAPER
from storage.group_store import GroupStore
from storage.records import Mesh, Reply
from tasks.groups.overlays import group_vertices
from tasks.report.thumbnails import FOLDER, STRIPS
from tasks.viewer.group_page import advantages
from tasks.viewer.made_up_run import make_run
from tasks.viewer.mesh import joint_spread
from tasks.viewer.server import ViewedRun, ViewError, application

HYPOTHESES = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer") / "made-up"
    store = make_run(folder, 12, hypotheses=HYPOTHESES, shard=8)
    (folder / "stages.json").write_text(json.dumps({"find people": {"seconds": 3.5, "items": 12}}))
    verdict = store.read_verdicts("round0", "evidence@4", "street-0000")[0]
    told = Reply('{"image_2": {"score": 1}}', "ok", "stop", "some-model", 900, 40, 1.5, 1, tuple(range(HYPOTHESES)))
    store.add_verdicts(
        "round0", "evidence@4", "again", "street-0000", [replace(verdict, replies=(told,), rules=("r1",))]
    )
    return ViewedRun(folder)


@pytest.fixture(scope="module")
def client(run):
    return TestClient(application([run]))


@pytest.fixture(scope="module")
def group(run):
    first = run.gallery.table.slice(0, 1).to_pylist()[0]
    return run.group(first["gen"], first["group_id"])


def place(group):
    return f"0/round0/{group.person.group_id}"


def test_the_page_and_its_scripts_come_from_here(client):
    page = client.get("/")
    assert page.status_code == 200 and "default-src 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http-equiv", "")
    for name in ("app.js", "style.css", "vendor/three.module.min.js", "vendor/three.core.min.js"):
        assert client.get(f"/site/{name}").status_code == 200, name


def test_what_the_run_holds(client):
    (found,) = client.get("/api/run").json()
    assert found["groups"] == 12 and found["hypotheses"] == 12 * HYPOTHESES and found["datasets"] == {"street": 12}
    assert set(found["critics"]) == {"evidence@4", "oracle@2", "scorer@3"}
    assert found["critics"]["evidence@4"]["statuses"] == {"ok": 12}
    assert {"mean", "disagreement", "error"} <= set(found["sorts"])


def test_pages_of_the_gallery_follow_one_another(client):
    question = {"critic": "evidence@4", "sort": "-mean"}
    whole = client.get("/api/groups", params=question).json()
    means = [row["mean"] for row in whole["rows"]]
    assert whole["matched"] == 12 and means == sorted(means, reverse=True)
    parts = [client.get("/api/groups", params=question | {"start": s, "count": 5}).json()["rows"] for s in (0, 5, 10)]
    assert [row for part in parts for row in part] == whole["rows"]
    row = whole["rows"][0]
    assert len(row["scores"]) == HYPOTHESES and row["scores"][row["favourite"]] == max(row["scores"])
    few = client.get("/api/groups", params=question | {"min.mean": means[3]}).json()
    assert few["matched"] in (3, 4)  # the answer rounds to three digits


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/api/groups?sort=beauty", 400, "there are"),
        ("/api/groups?min.mean=many", 400, "give a number"),
        ("/api/groups?run=3", 404, "count them from 0"),
        ("/api/group/0/round0/nobody", 404, "no group nobody"),
        ("/api/compare?a=0,round0,evidence@4&b=7", 400, "no side"),
        ("/api/picture/0/round0/{id}/front/99", 404, "5 hypotheses"),
        ("/api/picture/0/round0/{id}/below/0", 404, "no view"),
    ],
)
def test_what_is_asked_wrongly_is_said(client, group, address, status, says):
    answer = client.get(address.format(id=group.person.group_id))
    assert answer.status_code == status and says in answer.json()["error"]


def test_the_page_of_a_group(client, group):
    found = client.get(f"/api/group/{place(group)}").json()
    assert found["photo"] == "street_00000.jpg" and not found["photo_is_there"]
    assert len(found["hypotheses"]) == HYPOTHESES and found["hypotheses"][0]["zero_start"]
    evidence = found["critics"]["evidence@4"]
    assert sum(evidence["ranks"]) == 15 and sum(evidence["advantages"]) == pytest.approx(0, abs=1e-3)
    assert evidence["answers"][0]["text"].startswith("{") and evidence["rules"] == [{"id": "r1", "text": None}]
    assert found["critics"]["oracle@2"]["comments"][0] == f"{found['hypotheses'][0]['error']:.1f} mm from the truth"


@pytest.mark.parametrize("view", ["photograph", "front", "side", "top", "card"])
def test_pictures(client, group, view):
    answer = client.get(f"/api/picture/{place(group)}/{view}/1?size=96")
    assert answer.headers["content-type"] == "image/jpeg" and answer.content.startswith(b"\xff\xd8")


def test_two_hypotheses_in_one_picture(client, group):
    name = group.person.group_id
    answer = client.get(f"/api/strip?a=0,round0,1,{name}&b=0,round0,2,{name}&size=64")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as made:
        assert made.size == (5 * 70 + 6, 76)  # photograph, then each from front and side, 6 px between them
    assert client.get(f"/api/strip?a=0,round0,1,{name}").status_code == 400
    assert client.get(f"/api/strip?a=0,round0,9,{name}&b=0,round0,2,{name}").status_code == 404


def test_strips_of_the_report_and_no_other_file(run, client):
    folder = run.folder / FOLDER / "pictures"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a strip")
    (folder / "b.jpg").write_bytes(b"something else")
    row = {"group_id": "street-p0", "photo": "street.jpg", "label": "zero noise", "file": "a.jpg"}
    (run.folder / FOLDER / STRIPS).write_text(json.dumps([row]))
    assert client.get("/api/details").json()[0]["strips"] == [row]
    assert client.get("/api/strips/0/a.jpg").content == b"a strip"
    assert {client.get(f"/api/strips/0/{name}").status_code for name in ("b.jpg", "..%2Fstrips.json")} == {404}


def test_the_crop_is_the_stored_one(run, client, group):
    assert np.array_equal(run.crops("round0", "street-0000")[group.person.group_id], group.person.picture)
    assert client.get(f"/api/crop/{place(group)}").content.startswith(b"\xff\xd8")
    assert set(client.get("/api/ready").json()) == {"ready"}


def test_the_mesh_is_the_body_of_the_hypothesis(client, group):
    values = np.frombuffer(client.get(f"/api/mesh/{place(group)}/2").content, "<f4").reshape(-1, 3)
    assert np.allclose(values[:-29], group_vertices(load_body(None), group)[2], atol=1e-5)
    assert np.array_equal(values[-29:], group.joints[2])
    faces = np.frombuffer(client.get("/api/faces/0").content, "<u4")
    assert faces.max() == len(values) - 29 - 1


def test_meshes_of_other_models_and_such_that_cannot_be_drawn(tmp_path, group):
    corners = np.float32([[0, -0.5, 4], [0.4, 0.4, 4], [-0.4, 0.4, 4], [0, 0, 3.6]])
    faces = np.int32([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]])
    own = [Mesh(corners, faces, "tetrahedron"), Mesh(corners * np.nan, faces, "tetrahedron")]
    pose, latents, joints = group.pose.copy(), group.latents.copy(), group.joints.copy()
    pose[1:3], latents[1:3], joints[1:3] = np.nan, np.nan, np.nan
    brought = replace(
        group, pose=pose, latents=latents, joints=joints, meshes=(None, *own, *[None] * (HYPOTHESES - 3)),
        made_by=("ours",) * HYPOTHESES,
    )  # fmt: skip
    GroupStore(tmp_path / "store").write_groups("brought", "other-0000", [brought])
    client, where = TestClient(application([ViewedRun(tmp_path)])), f"0/brought/{group.person.group_id}"
    hypotheses = client.get(f"/api/group/{where}").json()["hypotheses"]
    assert [one["topology"] for one in hypotheses[:3]] == [None, "tetrahedron", "tetrahedron"]
    assert np.array_equal(np.frombuffer(client.get(f"/api/mesh/{where}/1").content, "<f4")[:12], corners.ravel())
    assert np.array_equal(np.frombuffer(client.get(f"/api/faces/{where}/1").content, "<u4"), faces.ravel())
    assert client.get(f"/api/faces/{where}/0").status_code == 404
    assert client.get(f"/api/joints/{where}").json()["deviation"][6] < 1  # of those that tell their joints

    def picture(view, hypothesis):
        answer = client.get(f"/api/picture/{where}/{view}/{hypothesis}?size=128")
        return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)

    for view in ("front", "side"):
        bare = picture("photograph", 0) if view == "front" else np.full((128, 128, 3), PAPER)
        changed = [np.abs(picture(view, k) - bare).max(-1) > 60 for k in (1, 2)]
        assert changed[0][20:].any() and changed[1][:12].any() and not changed[1][20:].any()  # the second is named


def test_the_spread_of_joints_by_hand():
    joints = np.zeros((2, 29, 3), np.float32)
    joints[:, 5] = [[0.1, 0, 0], [-0.1, 0, 0]]
    joints += np.float32([[[3, 4, 5]], [[-1, 0, 2]]])  # where the pelvis is does not count
    found = joint_spread(joints)
    axes = np.abs(np.array(found["axes"][5]))
    assert axes.max() == pytest.approx(0.1, abs=1e-4) and np.sort(axes.ravel())[:-1].max() < 1e-3
    assert found["deviation"][5] == pytest.approx(0.1, abs=1e-4) and found["deviation"][6] == 0


def test_advantages_leave_out_who_was_not_judged():
    assert advantages(np.array([80.0, np.nan, 60.0])).tolist()[::2] == pytest.approx([1, -1], abs=1e-4)
    assert np.isnan(advantages(np.array([80.0, np.nan, 60.0]))[1])


def test_stages_curves_and_a_new_reading(client):
    (found,) = client.get("/api/details").json()
    assert found["stages"] == [{"name": "find people", "seconds": 3.5, "items": 12}] and found["rounds"] == []
    assert client.post("/api/reread").json()[0]["groups"] == 12


def test_a_folder_without_groups_is_refused(tmp_path):
    with pytest.raises(ViewError, match="no groups are stored here"):
        ViewedRun(tmp_path)

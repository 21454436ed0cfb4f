"""Errors of hypotheses by a protocol, from hand-worked points and from bodies of records."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from storage.predictions.arrays_npz import write
from storage.predictions.predicted import Predicted
from storage.sources import SourceError
from storage.sources.joint_sets import MPI_INF_3DHP_17
from storage.sources.record import Batch, batch_table
from tasks.protocols.bodies import Bodies
from tasks.protocols.evaluation import Body, evaluate, facing, in_world, joined, mean_of, person_errors
from tasks.protocols.people import answers, choose, match
from tasks.protocols.protocol import NamedProtocol, Protocol, load_protocol
from tasks.run.settings import SettingsError
from tests.unit.tasks.protocols.conftest import write_predictions

RULES = load_protocol("3dpw-standard").rules
AHEAD = np.array([0, 0, 4])  # metres before the camera


def cloud(seed: int, count: int = 17) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (1, count, 3))


def test_errors_by_hand():
    """All shifted by a metre: no error. One of 14 joints 14 mm off: 1 mm. One of five vertices 10 mm off: 2 mm."""
    joints, mesh = cloud(0, 14), cloud(1, 5)
    true = Body(joints, joints[:, 0], vertices=mesh, vertex_root=joints[:, 0])
    moved, surface = np.repeat(joints, 2, 0) + 1, np.repeat(mesh, 2, 0) + 1
    root = moved[:, 0].copy()
    moved[1, 3, 1] += 0.014
    surface[1, 4, 0] -= 0.010
    found = person_errors(RULES, Body(moved, root, vertices=surface, vertex_root=root), true)
    assert_allclose(found["mpjpe_mm"], [0, 1], atol=1e-9)
    assert_allclose(found["pve_mm"], [0, 2], atol=1e-9)
    assert found["pa_mpjpe_mm"][0] < 1e-9 < found["pa_mpjpe_mm"][1] < 14 / 14**0.5  # in squares PA is never more


def test_which_joints_pa_is_aligned_by():
    """A wrong joint that is not measured matters only if all are aligned first (Human3.6M in ScoreHypo's code)."""
    whole = cloud(0)
    wrong = whole.copy()
    wrong[0, 7] += 0.3  # the torso, which is none of the 14
    places = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]
    true, seen = (Body(part[:, places], part[:, 0], part) for part in (whole, wrong))
    hybrik = load_protocol("h36m-p2-hybrik").rules
    assert person_errors(RULES, seen, true)["pa_mpjpe_mm"][0] < 1e-9
    assert person_errors(hybrik, seen, true)["pa_mpjpe_mm"][0] > 5


def test_labels_that_are_missing_have_no_part():
    joints = cloud(0, 14)
    given = np.ones(14, bool)
    given[5] = False
    wrong = joints.copy()
    wrong[0, 5] += 1
    found = person_errors(RULES, Body(wrong, wrong[:, 0]), Body(joints, joints[:, 0], given=given))
    assert_allclose([found["mpjpe_mm"][0], found["pa_mpjpe_mm"][0]], 0, atol=1e-9)
    assert np.isnan(found["pve_mm"]).all()


def test_3dhp_by_hand():
    """Three of 14 joints are off by 160 mm: PCK 11/14; the AUC counts the others at 30 of 31 thresholds."""
    rules = load_protocol("3dhp").rules
    joints = cloud(0)
    wrong = joints.copy()
    wrong[0, [1, 4, 9], 2] += 0.16
    found = person_errors(rules, Body(wrong, wrong[:, 14]), Body(joints, joints[:, 14]))
    assert_allclose(found["pck_150_percent"], 100 * 11 / 14)
    assert_allclose(found["auc_percent"], 100 * 11 / 14 * 30 / 31)
    assert_allclose(found["mpjpe_mm"], 3 * 160 / 17)


def test_a_wrong_camera_counts_in_the_world_alone():
    """The model's camera is turned by a right angle against the true one: joints 1 m from the root, 2 ** .5 m off."""
    joints = np.zeros((1, 14, 3))
    joints[0, 1:] = [1, 0, 0]
    body = Body(joints, joints[:, 0])
    true = in_world(body, np.eye(3))
    turned = in_world(body, Rotation.from_euler("z", 90, degrees=True).as_matrix())
    found = person_errors(RULES, turned, true)
    assert_allclose(found["mpjpe_mm"], 13 / 14 * 1000 * 2**0.5)
    assert person_errors(RULES, body, body)["mpjpe_mm"] == 0


def test_the_mean_body_and_groups_of_several_models():
    a, b = cloud(0, 14), cloud(0, 14)
    b = b + 5  # the same about its root
    both = joined([Body(a, a[:, 0]), Body(b, b[:, 0])])
    assert both.measured.shape == (2, 14, 3) and both.vertices is None
    assert person_errors(RULES, mean_of(both), Body(a, a[:, 0]))["mpjpe_mm"] < 1e-9


def test_who_faces_the_camera():
    """SMPL at rest faces +z, away from a camera at -z; turned by pi about x it is upright and faces the camera."""
    assert_allclose(facing(np.zeros(3)), 180)
    assert_allclose(facing(np.array([np.pi, 0, 0])), 0, atol=1e-5)
    assert_allclose(facing(np.array([0, np.pi / 2, 0])), 90, atol=1e-5)
    assert np.isnan(facing(np.full(3, np.nan)))


# --- with records ---------------------------------------------------------------------------------------------


def measured(prepared, folder, protocol="3dpw-standard", bodies=None, named=None):
    rules = named or load_protocol(protocol)
    chosen = choose(prepared.records, rules)
    return chosen, list(
        evaluate(chosen, match(chosen, answers("npz", [folder])), rules.rules, bodies or prepared.read())
    )


def test_the_truth_has_no_error_and_a_turned_body_none_after_alignment(prepared, truth, tmp_path):
    turns = np.array([[0, 0, 0], [0, 0.3, 0]])
    folder = write_predictions(tmp_path / "predicted", truth, turns, shift=0.5, scores=np.array([0.9, 0.1]))
    chosen, found = measured(prepared, folder)
    assert len(found) == 9 and chosen.left_out == {"marked as not for evaluation": 3}
    for one in found:
        assert one.errors["mpjpe_mm"][0] < 0.01 and one.errors["pve_mm"][0] < 0.02
        assert one.errors["mpjpe_mm"][1] > 2 and one.errors["pa_mpjpe_mm"][1] < 0.02
        assert one.errors["pve_mm"][1] > 5 and list(one.scores) == [0.9, 0.1] and 0 <= one.turned <= 180


def test_meshes_give_what_their_parameters_give(prepared, truth, tmp_path):
    turns = np.array([[0.1, 0.2, 0.0]])
    first = write_predictions(tmp_path / "parameters", truth, turns)
    bodies = prepared.read()
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    for k in range(12):
        vertices, _ = bodies.pose(
            "smpl", "neutral", np.concatenate([truth["global_orient"][k] + turns, truth["body_pose"][k]])[None],
            truth["betas"][k : k + 1, :10], truth["transl"][k : k + 1],
        )  # fmt: skip
        write(Predicted("mesh", "-", truth["image"][k], "0", "smpl", vertices=vertices), meshes)
    for one, other in zip(measured(prepared, first)[1], measured(prepared, meshes)[1], strict=True):
        for metric in ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm"):
            assert_allclose(one.errors[metric], other.errors[metric], rtol=1e-4)


def test_the_body_s_own_joints(prepared, truth, tmp_path):
    """EMDB's way: 24 joints about the middle of the hips, without a regressor."""
    folder = write_predictions(tmp_path / "predicted", truth, np.zeros((1, 3)))
    rules = load_protocol("emdb").rules.model_copy(update={"dataset": "3dpw", "split": "test"})
    _, found = measured(prepared, folder, bodies=Bodies(prepared.bodies), named=NamedProtocol("mine", rules))
    assert max(one.errors["mpjpe_mm"][0] for one in found) < 0.01 and found[0].joint_error.shape == (24,)


def test_what_is_missing_is_named(prepared, truth, tmp_path):
    folder = write_predictions(tmp_path / "predicted", truth, np.zeros((1, 3)), rows=range(1))
    for bodies, error, said in (
        (Bodies(None, prepared.regressor), SettingsError, "--bodies"),
        (Bodies(prepared.bodies), SettingsError, "--regressor"),
        (Bodies(tmp_path, prepared.regressor), SourceError, "SMPL_MALE"),
    ):
        with pytest.raises(error, match=said):
            measured(prepared, folder, bodies=bodies)
    with pytest.raises(SettingsError, match="its records are of 3dpw, but protocol emdb measures emdb"):
        choose(prepared.records, load_protocol("emdb"))
    with pytest.raises(SourceError, match="holds no records"):
        pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
        choose(tmp_path / "other.parquet", load_protocol("emdb"))


def labels_alone(folder, count=4, **more):
    """Records of 3DHP's test set: universal joints, a frame that is not valid."""
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.3, (count, 17, 3)) + AHEAD
    columns = {
        "sample_id": [f"3dhp/test/TS1/{k}/0" for k in range(count)], "dataset": "mpi_inf_3dhp", "split": "test",
        "sequence": "TS1", "person_id": ["0"] * count, "frame_index": np.arange(count),
        "image_path": [f"TS1/img_{k + 1:06d}.jpg" for k in range(count)], "kp3d": points.astype(np.float32),
        "kp3d_valid": np.ones((count, 17), bool), "kp3d_names": ",".join(MPI_INF_3DHP_17),
        "valid_eval": np.arange(count) != 1, "source_row": np.arange(count), **more,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    pq.write_table(batch_table(Batch(columns, "annot_data.mat"), "test"), folder / "labels.parquet")
    return folder / "labels.parquet", points


def test_joints_alone_need_no_body(tmp_path):
    """A model without a mesh: 17 joints in the protocol's order, one person with 17 mm on one joint."""
    records, points = labels_alone(tmp_path / "records")
    (tmp_path / "predicted").mkdir()
    for k in range(4):
        seen = points[k : k + 1] + 0.2
        seen[0, 3, 0] += 0.017 * (k == 2)
        write(Predicted("lifter", "-", f"img_{k + 1:06d}", "0", "", joints=seen), tmp_path / "predicted")
    rules = load_protocol("3dhp")
    chosen = choose(records, rules)
    found = list(evaluate(chosen, match(chosen, answers("npz", [tmp_path / "predicted"])), rules.rules, Bodies(None)))
    assert [one.sample_id.split("/")[3] for one in found] == ["0", "2", "3"]
    assert_allclose([one.errors["mpjpe_mm"][0] for one in found], [0, 1, 0], atol=1e-3)
    assert_allclose([one.errors["pck_150_percent"][0] for one in found], 100)
    assert np.isnan(found[0].turned) and np.isnan(found[0].hidden)


def test_errors_in_the_picture(tmp_path):
    """3 px right and 4 px down on every joint that is seen; the box is 90 px, so 0.1 has all and 0.05 none."""
    points = np.random.default_rng(0).normal(0, 0.3, (4, 17, 3)) + AHEAD
    matrix = np.tile(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), (4, 1, 1))
    flat = points[..., :2] / points[..., 2:] * 500 + [320, 240]
    sure = np.ones((4, 17))
    sure[:, 4] = 0
    box = np.tile([0.0, 0.0, 90.0, 80.0], (4, 1))
    records, _ = labels_alone(
        tmp_path,
        kp2d=flat + np.array([3, 4]),
        kp2d_conf=sure,
        kp2d_names=",".join(MPI_INF_3DHP_17),
        K=matrix,
        bbox_xywh=box,
    )
    metrics = ("error_2d_px", "pck_2d_05_percent", "pck_2d_10_percent")
    rules = NamedProtocol("flat", load_protocol("3dhp").rules.model_copy(update={"metrics": metrics}))
    (tmp_path / "predicted").mkdir()
    write(Predicted("lifter", "-", "img_000001", "0", "", joints=points[:1]), tmp_path / "predicted")
    chosen = choose(records, rules)
    (one,) = evaluate(chosen, match(chosen, answers("npz", [tmp_path / "predicted"])), rules.rules, Bodies(None))
    assert_allclose([one.errors[name][0] for name in metrics], [5, 0, 100], rtol=1e-4)
    assert_allclose(one.hidden, 1 / 17)


def test_strides_and_subjects(tmp_path):
    records, _ = labels_alone(tmp_path, 12, subject_id=["S9", "S1"] * 6)
    base = load_protocol("3dhp").rules

    def kept(**more) -> list[int]:
        return choose(records, NamedProtocol("x", Protocol(**{**base.model_dump(), **more}))).rows.tolist()

    assert kept(subjects=("S9",)) == [0, 2, 4, 6, 8, 10]
    assert kept(frame_stride=5) == [0, 5, 10]
    assert kept(subjects=("S9",), stride=4) == [0, 8]
    assert kept(valid_only=False, stride=5) == [0, 5, 10] and kept(stride=5) == [0, 6, 11]
    with pytest.raises(SettingsError, match="leaves none of its 12 records"):
        kept(subjects=("S5",))

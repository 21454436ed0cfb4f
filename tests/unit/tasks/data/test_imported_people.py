"""A user's people with truth: found at their boxes, measured by joints or bodies, in the place of a split."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from critique.checks.landmarks import LANDMARK, heard
from hmr.body.body import load_body
from hmr.body.skeleton import JOINT_NAMES
from hmr.metrics.evaluation import TrueBodies, TrueJoints, joint_errors
from hmr.pretraining.label_tuning import HeadroomSettings
from storage.group_store import GroupStore
from storage.records import DrawnGroup
from storage.sources.adapter import Choice
from tasks.benchmarking import benchmark_model, draw_people, evaluate_people, known, measured_against, table
from tasks.benchmarks.critic_benchmark import model_groups, perturbed_groups
from tasks.data.imported_people import ImportedPeople, look_at_records, measurable_people, selected
from tasks.data.importing import import_people
from tasks.data.record_people import find_records, record_shards
from tasks.headroom import probe_headroom
from tasks.reflecting import labelled_errors, take_labelled
from tasks.run.plan import Plan
from tasks.run.settings import (
    Benchmark,
    CriticSection,
    Data,
    OverlaySection,
    Records,
    Run,
    Sample,
    Settings,
    SettingsError,
    WeightedRecords,
)
from tasks.sampling import model
from tasks.scoring import make_critic
from tests.factories import make_group, make_person
from tests.own_data import OwnData, own_data

SCENES = [1, 2, 3, 4]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> OwnData:
    made = own_data(tmp_path_factory.mktemp("own"), SCENES)
    import_people("spin", made.spin("test.npz"), made.root / "test.parquet", Choice())
    import_people("coco", made.coco("train.json"), made.root / "train.parquet", Choice())
    return made


@pytest.fixture(scope="module")
def people(data) -> ImportedPeople:
    sets = (Records(records=data.root / "test.parquet", photos=data.pictures),)
    return ImportedPeople("test", sets, data.root / "cache", 1.25, shard_size=3)


def test_who_is_at_the_box_is_found_and_has_the_records_joints(data, people):
    found = look_at_records(people)
    assert found.chosen == 4 and found.shards == ("test-0000", "test-0001")
    told = measurable_people(load_body(), people)
    assert len(told.people) >= 3 and isinstance(told.truth.bodies, TrueJoints)
    assert told.about == {"truth": "joints (not told)", "root": "pelvis", "joints": "14"}
    for person, joints in zip(told.people, told.truth.bodies.joints):
        k = data.names.index(person.photo.rpartition("/")[2])
        want = data.joints["left_wrist"][k] - data.joints["pelvis"][k]
        np.testing.assert_allclose(joints[20], want, atol=1e-4)
        assert person.labels is None  # a benchmark tells nobody the answer
        left, top, wide, high = data.boxes[k]
        assert left - 40 < person.crop[0] < left + wide + 40 and top - 40 < person.crop[1] < top + high + 40


def test_joints_measure_as_bodies_do(people):
    """The same groups against the same people, told as joints and as bodies; PVE needs the bodies."""
    light = load_body()
    drawn = draw_people(model("lab"), light, people, hypotheses=3)
    by_joints = evaluate_people(light, drawn, vertices=False)
    joints = drawn.known.truth.bodies.joints
    true = joint_errors(drawn.posed.joints, joints + torch.tensor([0.3, -0.2, 4.0]))[0]  # wherever they lie
    np.testing.assert_allclose(by_joints.group.mpjpe_mm, true, rtol=1e-4)
    assert np.isnan(by_joints.group.pve_mm).all() and np.isnan(by_joints.keypoint_px).all()


def test_a_joint_without_a_label_is_left_out_by_hand():
    """Two of the 14 joints are off by 14 mm; without a label for one of them the mean is over 13."""
    true = torch.zeros(1, 29, 3)
    seen = true[:, None].clone()
    seen[0, 0, 21], seen[0, 0, 20] = torch.tensor([0.014, 0, 0]), torch.tensor([0, 0.014, 0])
    assert joint_errors(seen, true)[0][0, 0] == pytest.approx(2.0, rel=1e-4)
    true[0, 20] = torch.nan
    assert joint_errors(seen, true)[0][0, 0] == pytest.approx(14 / 13, rel=1e-4)
    true[0, 0] = torch.nan  # no pelvis: about the middle of the hips, which lie 10 mm off on one side
    seen[0, 0, 1] = torch.tensor([0.02, 0, 0])
    # Hips' middle moves by 10 mm: 10 joints err by 10, the hips by 10 each, the wrist by 4; 13 in all.
    assert joint_errors(seen, true)[0][0, 0] == pytest.approx((12 * 10 + 4) / 13, rel=1e-4)


def test_the_benchmark_takes_them_and_says_against_what(people, tmp_path):
    result = benchmark_model.fn(
        "own", "lab", None, people, Benchmark(hypotheses=3, critic="shuffled"), Sample(device="cpu"), CriticSection(),
        OverlaySection(), tmp_path / "own.npz",
    )  # fmt: skip
    found = table(result)
    assert set(found["zero_noise"]) == {"mpjpe_mm", "pa_mpjpe_mm"} and found["best_of_g"]["mpjpe_mm"] > 0
    assert measured_against(result) == {
        "truth": "joints (not told)", "root": "pelvis", "joints": "14", "judged_percent": 100.0,
    }  # fmt: skip
    with np.load(result) as kept:
        assert str(kept["critic"]).startswith("shuffled") and kept["pending"] == 0 and kept["scenes"] == 4


def test_labels_of_train_go_to_critics_alone(data, tmp_path):
    sets = (WeightedRecords(records=data.root / "train.parquet", photos=data.pictures),)
    train = ImportedPeople("train", sets, tmp_path, 1.25, seed=0)
    chosen = selected(train)
    ((name, rows),) = record_shards(chosen, 8, "data")
    skipped = find_records(chosen, name, rows[:2], tmp_path, labels=True, crop_margin=1.25, focal_px=None)
    found = GroupStore(tmp_path / "store").read_people(name)
    assert len(found) + sum(skipped.values()) == 2 and found
    for person in found:
        k = data.names.index(person.photo.rpartition("/")[2])
        wrist = data.pixels["left_wrist"][k]
        assert person.labels is not None
        np.testing.assert_allclose(person.labels[15, :2], wrist, atol=1e-2)
        detected = np.abs(person.landmarks[:, :2] - person.labels[:, :2]).max(1)[person.labels[:, 2] > 0]
        assert (detected > 0.01).all()  # the base reads what was detected, not the labels
    assert find_records(chosen, name, rows[:2], tmp_path, labels=True, crop_margin=1.25, focal_px=None) == skipped


def test_critics_believe_labels_and_lack_nothing_else():
    person = make_person(np.random.default_rng(0))
    before = heard(person)
    labels = np.zeros((33, 3), np.float32)
    labels[15] = (321, 234, 0.9)
    labels[16] = (-50, 10, 0.9)  # outside the photograph
    after = heard(replace(person, labels=labels))
    wrist = list(LANDMARK).index(15)
    assert after.places[wrist].tolist() == [321, 234] and after.seen[wrist] == pytest.approx(0.9)
    others = np.arange(23) != wrist
    np.testing.assert_array_equal(after.places[others], before.places[others])
    np.testing.assert_array_equal(after.seen[others], before.seen[others])


def test_critics_and_reflection_take_them_and_what_needs_bodies_says_so(people, tmp_path):
    light, base = load_body(), model("lab")
    made = model_groups(base, light, people, hypotheses=3)
    assert (made.errors > 0).all() and all(
        group.person.photo for group in made.groups
    )  # a critic that looks finds them
    with pytest.raises(SettingsError, match="only joints are known"):
        perturbed_groups(light, people, hypotheses=3)
    with pytest.raises(SettingsError, match="needs true bodies"):
        probe_headroom("lab", light, people, people, people, 3, HeadroomSettings())
    assert take_labelled.fn(people, None, 2, tmp_path, 0) == 2
    taken = {person.group_id for person in GroupStore(tmp_path).read_people()}
    some = [(group, errors) for group, errors in zip(made.groups, made.errors) if group.person.group_id in taken]
    told = labelled_errors(light, "test", [group for group, _ in some], people)
    np.testing.assert_allclose(np.stack(told), np.stack([errors for _, errors in some]), rtol=1e-5)


def test_a_plan_takes_the_users_people_where_they_are_named(data, tmp_path):
    records = Records(records=data.root / "test.parquet", photos=data.pictures)
    plan = Plan(Settings(run=Run(out=tmp_path), data=Data(test=(records,))))
    assert isinstance(plan.people("test"), ImportedPeople) and not isinstance(plan.people("val"), ImportedPeople)
    assert plan.on_studio and plan.base == "lab"
    train = WeightedRecords(records=data.root / "train.parquet", photos=data.pictures)
    plan = Plan(Settings(run=Run(out=tmp_path), data=Data(train=(train,))))
    assert not plan.on_studio and plan.base == "default" and plan.labelled.seed == 0


def test_the_oracle_knows_the_users_own_people_where_they_have_joints_in_space(data, people, tmp_path):
    """The truth itself is 0 mm from the truth, its mirror image is not; labels in the picture alone are no truth."""
    records = WeightedRecords(records=data.root / "test.parquet", photos=data.pictures)
    oracle = CriticSection(name="oracle")
    plan = Plan(Settings(run=Run(out=tmp_path), data=Data(train=(records,)), critic=oracle))
    chosen = selected(plan.labelled)
    ((name, rows),) = record_shards(chosen, 8, "data")
    find_records(chosen, name, rows, plan.folder, labels=True, crop_margin=1.25, focal_px=None)
    critic = make_critic(oracle, 0, plan.truth)
    for person in plan.store.read_people():
        k = data.names.index(person.photo.rpartition("/")[2])
        true = np.stack([data.joints[name][k] for name in JOINT_NAMES])
        joints = np.stack([true, true * np.float32([-1, 1, 1])])
        group = replace(make_group(np.random.default_rng(0), 2, person), joints=joints.astype(np.float32))
        assert plan.truth(group)[0] == pytest.approx(0, abs=0.01) and plan.truth(group)[1] > 20
        first, mirrored = critic.judge(
            DrawnGroup(group, np.zeros((0, 64, 64), np.uint8), np.zeros(0, np.float32))
        ).scores
        assert first > mirrored
    flat = WeightedRecords(records=data.root / "train.parquet", photos=data.pictures)
    plan = Plan(Settings(run=Run(out=tmp_path), data=Data(train=(flat,)), critic=oracle))
    with pytest.raises(SettingsError, match="judges by ground truth"):
        make_critic(oracle, 0, plan.truth)


def test_bodies_of_the_body_in_use_are_the_truth(data, people, monkeypatch):
    """Where every record holds parameters of the body in use."""
    from tasks.data import truth as module

    told = measurable_people(load_body(), people)
    rows = [
        {
            "model_type": "smpl", "global_orient": [3.1, 0.0, 0.0], "body_pose": [0.0] * 69, "betas": [0.0] * 10,
            "transl": [0.0, 0.0, 4.0], "scale_factor": None, "K": [9.0, 0, 1, 0, 8, 2, 0, 0, 1], "gender": "neutral",
        }
    ]  # fmt: skip
    assert module._posable(rows[0], "smpl") and not module._posable(rows[0] | {"transl": None}, "smpl")
    assert not module._posable(rows[0], "smplx") and not module._posable(rows[0] | {"scale_factor": 1.2}, "smpl")
    bodies = module._bodies(rows)
    assert isinstance(bodies, TrueBodies) and bodies.translation.tolist() == [[0, 0, 4]]
    assert module._camera(rows[0]) == [9, 8, 1, 2] and len(told.people) == len(known(load_body(), people).ids)

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from hmr.metrics import pose_metrics as metrics
from hmr.metrics.metrics_benchmark import measure_metrics, pa_mpjpe_plainly
from hmr.metrics.procrustes import distances_in_groups

NAN = math.nan
TRIANGLE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.3, 0.2, 1.0]])  # no mirror symmetry


def clouds(points=6):
    return st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(points, 3)))


def rotations():
    return st.integers(0, 10_000).map(lambda seed: Rotation.random(rng=np.random.default_rng(seed)).as_matrix())


shifts = st.tuples(*[st.floats(-5, 5)] * 3).map(np.array)


# --- errors -------------------------------------------------------------------------------------------------


def test_mpjpe_by_hand():  # distances 0.005 and 0.013 m
    true = np.zeros((2, 3))
    predicted = np.array([[0.003, 0.004, 0.0], [0.0, 0.005, 0.012]])
    assert_allclose(metrics.mpjpe(predicted, true), 9.0)
    assert_allclose(metrics.pve(predicted, true), 9.0)


def test_tensors_are_taken_and_leading_axes_kept():
    predicted = torch.zeros(4, 5, 7, 3, requires_grad=True)
    got = metrics.mpjpe(predicted, torch.ones(4, 5, 7, 3))
    assert got.shape == (4, 5) and got.dtype == np.float64
    assert_allclose(got, 1000 * 3**0.5)


@given(cloud=clouds(), rotation=rotations(), scale=st.floats(0.01, 100), shift=shifts)
def test_procrustes_undoes_any_similarity(cloud, rotation, scale, shift):
    moved = scale * cloud @ rotation.T + shift
    assert_allclose(metrics.procrustes_align(moved, cloud), cloud, atol=1e-9)
    assert metrics.pa_mpjpe(moved, cloud) < 1e-5


@given(rotation=rotations(), scale=st.floats(0.1, 10), shift=shifts)
def test_procrustes_does_not_undo_a_mirror(rotation, scale, shift):
    mirrored = TRIANGLE * [-1.0, 1.0, 1.0]
    error = metrics.pa_mpjpe(scale * mirrored @ rotation.T + shift, TRIANGLE)
    assert error > 100
    assert_allclose(error, metrics.pa_mpjpe(mirrored, TRIANGLE), rtol=1e-6)


@given(first=clouds(), second=clouds(), rotation=rotations())
def test_no_other_rotation_is_better(first, second, rotation):
    aligned = metrics.procrustes_align(first, second)
    other = (aligned - aligned.mean(0)) @ rotation.T + aligned.mean(0)
    assert np.square(aligned - second).sum() <= np.square(other - second).sum() + 1e-9


@given(first=clouds(), second=clouds(), third=clouds())
def test_batched_procrustes_is_one_by_one(first, second, third):
    batched = metrics.pa_mpjpe(np.stack([first, second]), np.stack([third, third]))
    assert_allclose(batched, [metrics.pa_mpjpe(first, third), metrics.pa_mpjpe(second, third)])


@pytest.mark.parametrize("flat", [np.zeros((4, 3)), np.full((4, 3), 0.1), TRIANGLE * [1, 0, 0], TRIANGLE * [1, 1, 0]])
def test_degenerate_clouds_give_finite_errors(flat):
    assert np.isfinite(metrics.pa_mpjpe(flat, TRIANGLE))
    assert np.isfinite(metrics.pa_mpjpe(TRIANGLE, flat))
    coincide = metrics.procrustes_align(np.full((4, 3), 0.1), TRIANGLE)
    assert_allclose(coincide, np.broadcast_to(TRIANGLE.mean(0), (4, 3)), atol=1e-12)


def test_a_flat_cloud_and_its_mirror_are_one():
    flat = TRIANGLE * [1, 1, 0]
    assert metrics.pa_mpjpe(flat * [-1, 1, 1], flat) < 1e-6


def test_keypoint_error_counts_the_visible():
    predicted = np.array([[[3.0, 4.0], [100.0, 0.0], [0.0, 1.0]]] * 2)
    visible = np.array([[True, False, True], [False, False, False]])
    assert_allclose(metrics.keypoint_error_px(predicted, np.zeros((2, 3, 2)), visible), [3.0, NAN])


# --- test values of others -----------------------------------------------------------------------------------


def mmpose_case():
    """mmpose's own case (tests of keypoint_mpjpe, Apache-2.0), in metres; the third joint is no label."""
    predicted = [
        [[1, 0, 0], [2, 2, 0], [0, 0, -1], [3, 3, 1], [0, 1, 1]],
        [[1, 0, 0], [2, 2, 1], [-1, 0, 0], [0, 0, 3], [0, 0, 1]],
    ]
    true = [
        [[1, 0, 0], [1, 1, 1], [-1, 0, 0], [3, 3, 1], [0, 1, 0]],
        [[1, 1, 0], [1, 0, 1], [-1, 0, 0], [0, 0, 3], [1, 1, 0]],
    ]
    given = np.array([[True, True, False, True, True]] * 2)
    return np.array(predicted, float), np.array(true, float), given


def test_errors_of_mmpose():
    predicted, true, given = mmpose_case()
    assert_allclose(metrics.mpjpe(predicted, true, given).mean(), 962.5211990796929)
    assert_allclose(metrics.pa_mpjpe(predicted, true, given, align_all=True).mean(), 1004.7897634604497)
    assert_allclose(metrics.n_mpjpe(predicted, true, given, align_all=True).mean(), 1027.7129678465953)


def test_joints_without_a_label_do_not_pull():
    predicted, true, given = mmpose_case()
    kept = given[0]
    for metric in (metrics.mpjpe, metrics.pa_mpjpe, metrics.n_mpjpe):
        assert_allclose(metric(predicted, true, given), metric(predicted[:, kept], true[:, kept]))
        assert np.isnan(metric(predicted, true, np.zeros_like(given))).all()


def test_shares_of_mmpose():
    """keypoint_pck_accuracy 0.875, keypoint_auc 0.375 (20 px, four steps), keypoint_epe 11.5355339."""
    given = np.array([[True, True, False, True, True]] * 2)
    predicted, true = np.zeros((2, 2, 5, 2))
    predicted[0] = [[10, 0], [20, 20], [0, 0], [30, 30], [0, 10]]
    true[0] = [[10, 0], [10, 10], [-1, 0], [30, 30], [0, 10]]
    assert metrics.pck_2d(predicted, true, np.full(2, 10.0), given, within=0.5) == 0.875
    predicted = np.array([[[10, 4], [10, 18], [0, 0], [40, 40], [20, 10]]], float)
    true = np.array([[[10, 0], [10, 10], [0, -1], [30, 30], [0, 10]]], float)
    assert_allclose(metrics.keypoint_error_px(predicted, true, given[:1]), [11.5355339], rtol=1e-8)
    points = [np.concatenate([part, np.zeros((1, 5, 1))], -1) / 1000 for part in (predicted, true)]
    assert metrics.auc(*points, given[:1], thresholds_mm=np.arange(0.0, 20.0, 5.0)) == 0.375


def test_shares_of_mmhuman3d_and_3dpw():
    """The truth has AUC 30 / 31; one of ten joints off by a metre PCK 90 %; 50 mm everywhere 20 / 31, or 0.7513."""
    true = np.random.default_rng(0).normal(size=(3, 10, 3))
    assert_allclose(metrics.auc(true, true), 30 / 31)
    one_off = true.copy()
    one_off[:, 4, 0] += 1
    assert_allclose(metrics.pck(one_off, true), 0.9)
    zero, off = np.zeros((1, 4, 3)), np.zeros((1, 4, 3))
    off[..., 2] = 0.05
    assert_allclose(metrics.auc(off, zero), 20 / 31)
    inclusive = np.linspace(0.0, 199.0, 200)
    area = metrics.auc(off, zero, thresholds_mm=inclusive, inclusive=True, trapezoid=True)
    assert_allclose(area, 149.5 / 199)
    assert metrics.pck(off, zero, within_mm=50.0, inclusive=True) == 1 and metrics.pck(off, zero, within_mm=50.0) == 0
    assert metrics.pck(3 * off, zero) == 0  # 150 mm is not nearer than 150 mm
    assert math.isnan(metrics.pck(off, zero, np.zeros((1, 4), bool)))


def test_acceleration_by_hand():
    """Truth at rest; the prediction jumps by 1 mm in the middle frame of five: 1, 2 and 1 mm / frame^2."""
    true = np.zeros((5, 2, 3))
    predicted = true.copy()
    predicted[2, :, 1] = 0.001
    assert_allclose(metrics.acceleration_error(predicted, true), [1, 2, 1])
    drift = np.arange(5.0)[:, None, None] * [0.1, 0, 0.2] + 3
    assert_allclose(metrics.acceleration_error(true + drift, true), 0, atol=1e-9)
    with pytest.raises(ValueError, match="2 frames"):
        metrics.acceleration_error(true[:2], true[:2])


def test_one_truth_serves_many_hypotheses():
    joints = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)
    shared = np.broadcast_to(joints[0], joints.shape)
    assert_allclose(metrics.mpjpe(joints, shared), metrics.mpjpe(joints, shared.copy()), rtol=1e-12)
    groups = joints.reshape(2, 3, 4, 3)
    each = np.broadcast_to(groups[:, :1], groups.shape)
    assert_allclose(metrics.mpjpe(groups, each), metrics.mpjpe(groups, each.copy()), rtol=1e-12)


# --- Procrustes in closed form ------------------------------------------------------------------------------


SETS = {
    "alike": lambda rng, true: true + rng.normal(0, 0.1, true.shape),
    "unlike": lambda rng, true: rng.normal(size=true.shape),
    "mirrored": lambda rng, true: true * [-1, 1, 1],
    "flat": lambda rng, true: rng.normal(size=true.shape) * [1, 1, 0],
    "on a line": lambda rng, true: rng.normal(size=(*true.shape[:-1], 1)) * [1.0, 2.0, -1.0],
    "far away": lambda rng, true: true + rng.normal(0, 0.1, true.shape) + 1e4,
    "tiny": lambda rng, true: 1e-5 * rng.normal(size=true.shape),
}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("points", [3, 14, 24])
def test_the_closed_form_is_the_singular_value_decomposition(kind, points):
    rng = np.random.default_rng(0)
    true = rng.normal(size=(200, points, 3))
    predicted = SETS[kind](rng, true)
    want = [pa_mpjpe_plainly(*pair) for pair in zip(predicted, true)]
    assert_allclose(metrics.pa_mpjpe(predicted, true), want, rtol=1e-6, atol=1e-7)


def test_what_is_not_finite_stays_so_and_spoils_no_other():
    true = np.random.default_rng(0).normal(size=(3, 5, 3))
    broken = true.copy()
    broken[1, 2, 0] = np.nan
    assert np.isnan(metrics.pa_mpjpe(broken, true)).tolist() == [False, True, False]


def test_many_sets_are_spread_over_threads():
    true = np.random.default_rng(0).normal(size=(9000, 3, 3))
    predicted = np.random.default_rng(1).normal(size=(9000, 3, 3))
    whole = metrics.pa_mpjpe(predicted, true)
    for k in (0, 4095, 4096, 8999):
        assert_allclose(whole[k], metrics.pa_mpjpe(predicted[k], true[k]))


def test_the_benchmark_measures_what_it_says():
    rows = {row["metric"]: row for row in measure_metrics(samples=2000, rounds=1, share=0.0001)}
    assert rows["metrics.estimates_ms"]["value"] > 0 and rows["metrics.process_mb"]["value"] > 100
    assert rows["metrics.pa_mpjpe_difference"]["value"] < 1e-6
    assert "extrapolated" in rows["metrics.full_seconds"]["unit"]


# --- groups -------------------------------------------------------------------------------------------------


def test_diversity_by_hand():  # two hypotheses 0.02 m apart in one of two joints: each 0.01 m from the mean
    joints = np.zeros((1, 2, 2, 3))
    joints[0, 1, 0, 2] = 0.02
    assert_allclose(metrics.diversity(joints), [5.0])


def test_spread_joint_by_joint():
    joints = np.zeros((1, 2, 2, 3))
    joints[0, 1, 0, 2] = 0.02
    assert_allclose(metrics.joint_spread(joints), [[10.0, 0.0]])


@given(cloud=clouds(5 * 7), shift=shifts)
def test_spread_minds_neither_place_nor_order(cloud, shift):
    joints = cloud.reshape(1, 5, 7, 3)
    spread = metrics.joint_spread(joints)
    assert_allclose(metrics.joint_spread(joints[:, ::-1] + shift), spread)
    assert_allclose(spread.mean(1), metrics.diversity(joints))


def test_medoid_by_hand():  # on a line at 0, 1, 3 and 10: sums of distances 14, 12, 12, 26; the first of equals
    joints = np.zeros((1, 4, 1, 3))
    joints[0, :, 0, 1] = [10, 1, 3, 0]
    assert metrics.medoid(joints).tolist() == [1]


@given(cloud=clouds(6 * 4), shift=shifts, rotation=rotations())
def test_the_medoid_minds_no_rigid_motion(cloud, shift, rotation):
    joints = cloud.reshape(1, 6, 4, 3)
    assert metrics.medoid(joints @ rotation.T + shift) == metrics.medoid(joints)


@given(cloud=clouds(3 * 5 * 4))
def test_how_far_a_hypothesis_lies_from_the_rest_is_the_sum_of_all_distances(cloud):
    joints = cloud.reshape(3, 5, 4, 3)
    gaps = np.linalg.norm(joints[:, :, None] - joints[:, None], axis=-1)
    assert_allclose(distances_in_groups(joints), gaps.sum((2, 3)), atol=1e-12)


def test_spread_by_hand():
    assert_allclose(metrics.spread(np.array([[10.0, 20.0, 30.0, 60.0], [5.0] * 4])), [350**0.5, 0.0])


def test_summary_by_hand():
    errors = np.array([[60.0, 30.0, 90.0], [20.0, 50.0, 80.0]])
    starts = np.array([[True, False, False], [False, False, True]])
    got = metrics.summarise_groups(errors, starts, np.array([2, 0]))
    assert_allclose(got.zero_noise, [60, 80])
    assert_allclose(got.mean, [60, 50])
    assert_allclose(got.selected, [90, 20])
    assert_allclose(got.best_of_g, [30, 20])


def test_the_best_hypothesis_is_one_for_all_metrics():
    """Per metric: 1 and 5. Per hypothesis, the one of the least MPJPE: 1 and 9."""
    mpjpe, pve = np.array([[3.0, 1.0, NAN]]), np.array([[5.0, 9.0, 7.0]])
    place = metrics.best_hypothesis(mpjpe)
    assert place.tolist() == [1] and pve[0, place].tolist() == [9.0] and pve.min() == 5.0


def test_a_group_needs_one_hypothesis_from_zero_noise():
    with pytest.raises(ValueError, match="2 hypotheses of group 1"):
        metrics.summarise_groups(np.ones((2, 3)), np.array([[1, 0, 0], [1, 1, 0]], dtype=bool), np.array([0, 0]))


def test_the_critic_chooses_and_zero_noise_stands_in():
    scores = np.array([[10.0, NAN, 40.0, 40.0], [NAN] * 4, [NAN, 0.0, NAN, NAN]])
    starts = np.array([[True, False, False, False], [False, True, False, False], [True, False, False, False]])
    assert metrics.critic_choice(scores, starts).tolist() == [2, 1, 1]


def test_the_first_of_a_critic():
    scores = np.array([[10.0, NAN, 40.0, 40.0], [NAN] * 4, [NAN, 0.0, NAN, NAN]])
    starts = np.array([[True, False, False, False], [False, True, False, False], [True, False, False, False]])
    got = [chosen.tolist() for chosen in metrics.top_ranked(scores, starts, 2)]
    assert got == [[2, 3], [1], [1]]


# --- over images --------------------------------------------------------------------------------------------


def test_bootstrap_finds_the_normal_interval():
    values = np.random.default_rng(0).normal(10.0, 2.0, 400)
    got = metrics.bootstrap_interval(values, seed=1)
    half = 1.96 * values.std() / 20
    assert got.estimate == values.mean() and got.images == 400
    assert_allclose([got.low, got.high], [values.mean() - half, values.mean() + half], atol=0.03)
    assert got == metrics.bootstrap_interval(values, seed=1) != metrics.bootstrap_interval(values, seed=2)
    assert metrics.bootstrap_interval(values, seed=1, level=0.5).high < got.high


def test_frames_of_a_sequence_are_drawn_together():
    """Two sequences whose frames are all 0 and all 10: a draw of two has one, both or the other, 1/4, 1/2, 1/4."""
    values, sequences = np.repeat([0.0, 10.0], 50), np.repeat(["a", "b"], 50).tolist()
    whole = metrics.bootstrap_interval(values, seed=0, sequences=sequences)
    assert whole == (5.0, 0.0, 10.0, 100)
    apart = metrics.bootstrap_interval(values, seed=0, sequences=list(map(str, range(100))))
    plain = metrics.bootstrap_interval(values, seed=0)
    assert abs(apart.low - plain.low) < 0.4 and apart.low > 3.5
    uneven = metrics.bootstrap_interval(np.array([0.0, 3.0, NAN, 3.0]), seed=0, sequences=["a", "b", "b", "b"])
    assert uneven[:3] == (2.0, 0.0, 3.0) and uneven.images == 3


def test_bootstrap_leaves_nan_out_and_refuses_nothing():
    assert metrics.bootstrap_interval(np.array([5.0, NAN, 5.0]), seed=0) == (5.0, 5.0, 5.0, 2)
    with pytest.raises(ValueError, match="no image"):
        metrics.bootstrap_interval(np.array([NAN]), seed=0)


def test_improvement_is_of_the_means_and_paired():
    before = np.array([100.0, 300.0])
    assert metrics.bootstrap_improvement(before, np.array([50.0, 250.0]), seed=0).estimate == 25.0
    steady = metrics.bootstrap_improvement(before, 0.9 * before, seed=0)
    assert_allclose(steady[:3], [10.0, 10.0, 10.0])  # the same share on every image: nothing is left to chance


# --- critics ------------------------------------------------------------------------------------------------


def test_correlations_by_hand():
    # quality order 3, 1, 2, 0 against score order 3, 2, 1, 0: one of six pairs is wrong; d = (0, 1, 1, 0)
    got = metrics.rank_correlations(np.array([[90.0, 80.0, 20.0, 10.0]]), np.array([[10.0, 30.0, 20.0, 40.0]]))
    assert_allclose(got.krcc, [4 / 6])
    assert_allclose(got.srcc, [1 - 6 * 2 / (4 * 15)])
    # centred scores (40, 30, -30, -40) x centred quality (15, -5, 5, -15) = 900; norms sqrt(5000), sqrt(500)
    assert_allclose(got.plcc, [900 / 2_500_000**0.5])


def test_kendall_minds_ties():  # 2 right pairs of 3, one tied in the scores: 2 / sqrt(2 x 3)
    got = metrics.rank_correlations(np.array([[80.0, 80.0, 10.0]]), np.array([[1.0, 2.0, 3.0]]))
    assert_allclose(got.krcc, [2 / 6**0.5])


def test_groups_without_a_value_are_nan_and_counted():
    scores = np.array([[50.0] * 4, [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, NAN, NAN], [NAN, 1.0, 2.0, 3.0]])
    errors = np.array([[1.0, 2.0, 3.0, 4.0], [7.0] * 4, [1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 3.0, 2.0]])
    got = metrics.rank_correlations(scores, errors)
    for values in got[:3]:
        assert_allclose(values, [NAN, NAN, NAN, 1.0])
    assert (got.flat, got.too_few) == (2, 1)


@given(scores=st.lists(st.integers(0, 100), min_size=6, max_size=6, unique=True))
def test_an_increasing_map_leaves_rank_correlations(scores):
    errors = np.arange(6.0)[None]
    plain = np.array([scores], dtype=float)
    bent = np.exp(plain / 30)
    assume(len(np.unique(bent)) == 6)
    first, second = metrics.rank_correlations(plain, errors), metrics.rank_correlations(bent, errors)
    assert_allclose([first.srcc, first.krcc], [second.srcc, second.krcc])
    opposite = metrics.rank_correlations(plain, -errors)
    assert_allclose([first.srcc, first.krcc, first.plcc], [-opposite.srcc, -opposite.krcc, -opposite.plcc], atol=1e-12)


# --- uncertainty --------------------------------------------------------------------------------------------


def test_correlation_of_spread_and_error_by_hand():
    # Joint 0 is sure and good, joint 1 is neither, which the whole knows; within joint 0 people come in reverse
    # order (-1), within joint 1 in order (+1).
    spread = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    errors = np.array([[9.0, 40.0], [8.0, 50.0], [7.0, 60.0]])
    got = metrics.spread_correlations(spread, errors)
    # ranks 1 2 3 4 5 6 against 3 2 1 4 5 6: d = (-2, 0, 2, 0, 0, 0)
    assert_allclose(got.overall, 1 - 6 * 8 / (6 * 35))
    assert_allclose(got.within_joint, 0.0, atol=1e-12)


def test_a_spread_that_never_varies_tells_nothing():
    flat = metrics.spread_correlations(np.ones((4, 2)), np.random.default_rng(0).random((4, 2)))
    assert np.isnan(flat).all()
    half = metrics.spread_correlations(np.array([[1.0, 5.0], [1.0, 6.0]]), np.array([[1.0, 2.0], [2.0, 3.0]]))
    assert_allclose(half.within_joint, 1.0)  # joint 0 has no say

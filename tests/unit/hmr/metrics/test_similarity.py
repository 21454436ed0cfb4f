"""The torch path of the metrics against the compiled one, here on the CPU; on a GPU where there is one."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from hmr.metrics import pose_metrics as metrics
from hmr.metrics import similarity


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(5, 40, 14, 3))
    predicted = true + rng.normal(0, 0.1, true.shape)
    predicted[1] = true[1] * [-1, 1, 1]  # a mirror is no rotation
    predicted[2] = rng.normal(size=true[2].shape)
    predicted[3, :10] = 0.25  # all points coincide
    predicted[3, 10, 3, 1] = np.nan
    given = rng.random(true.shape[:-1]) < 0.7
    given[4, 0] = False
    return predicted, true, given


def test_torch_finds_the_same_errors(clouds):
    predicted, true, given = clouds
    x, y, flags = map(torch.from_numpy, clouds)
    for mine, want in (
        (similarity.aligned_error(x, y), metrics.pa_mpjpe(predicted, true)),
        (similarity.aligned_error(x, y, flags, flags), metrics.pa_mpjpe(predicted, true, given)),
        (similarity.aligned_error(x, y, None, flags), metrics.pa_mpjpe(predicted, true, given, align_all=True)),
        (similarity.mean_error(x, y), metrics.mpjpe(predicted, true)),
        (similarity.mean_error(x, y, flags), metrics.mpjpe(predicted, true, given)),
    ):
        assert_allclose(1000 * mine.numpy(), want, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
def test_tensors_of_a_gpu_stay_there(clouds):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    predicted, true, given = clouds
    x, y, flags = (torch.from_numpy(one).cuda() for one in clouds)
    for metric in (metrics.mpjpe, metrics.pa_mpjpe):
        assert_allclose(metric(x, y, flags), metric(predicted, true, given), rtol=1e-6, atol=1e-6)
    joints = torch.randn(3, 4, 29, 3, device="cuda")
    assert np.isfinite(metrics.pve(joints, joints + 1)).all()
    assert metrics.pck(x, y, flags) == metrics.pck(predicted, true, given)
    assert metrics.medoid(joints).tolist() == metrics.medoid(joints.cpu()).tolist()

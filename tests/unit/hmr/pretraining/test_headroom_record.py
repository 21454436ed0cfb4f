"""The measured headroom of the shipped bases: found by digest, and by how many labels were read."""

import pytest

from hmr.models.model_file import load_model
from hmr.pretraining.headroom_record import measured_headroom


@pytest.mark.parametrize("base", ["lab", "default"])
def test_shipped_bases_were_probed(base):
    found = measured_headroom(load_model(base).digest(), 600)
    assert found is not None and found["labels"] == 591
    for estimate in ("zero_noise", "best_of_g"):
        details = found[estimate]
        assert details["low"] <= details["value"] <= details["high"]
        assert details["value"] == pytest.approx(100 * (1 - details["after_mm"] / details["before_mm"]), abs=1e-6)


def test_the_probe_with_the_nearest_number_of_scenes():
    digest = load_model("default").digest()
    assert measured_headroom(digest, 100_000) is not None
    assert measured_headroom(digest, 599) == measured_headroom(digest, 600)


def test_a_base_that_nobody_probed():
    assert measured_headroom("0" * 16, 600) is None

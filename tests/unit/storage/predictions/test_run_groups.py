"""Groups of a run's store as predictions: poses, places, boxes, and the critic's scores."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from storage.group_store import GroupStore
from storage.predictions import read_predictions
from storage.predictions.run_groups import shards
from storage.sources import SourceError
from tests.factories import make_group, make_verdict


def test_the_newest_generation_with_its_scores(tmp_path):
    rng = np.random.default_rng(0)
    store = GroupStore(tmp_path / "run" / "store")
    groups = [make_group(rng, 3) for _ in range(1)]
    later = [make_group(rng, 4, groups[0].person)]
    store.write_people("s-0", [groups[0].person])
    store.write_groups("round0", "s-0", groups)
    store.write_groups("round1", "s-0", later)
    store.write_verdicts("round1", "scripted@1", "r", "s-0", [make_verdict(later[0], [10.0, 20, 30, 40])])
    (one,) = read_predictions("run", [tmp_path / "run"])
    assert one.model == "run round1" and len(one) == 4 and one.topology == "smpl"
    assert_allclose(one.pose, later[0].pose[:, 1:])
    assert_allclose(one.transl, later[0].translation)
    assert one.scores is not None and one.scores.tolist() == [10, 20, 30, 40]
    assert one.box is not None and one.box.tolist() == groups[0].person.box.tolist()
    (first,) = read_predictions("run", shards(tmp_path / "run" / "store" / "groups" / "gen=round0"))
    assert len(first) == 3 and first.scores is None


def test_a_folder_without_groups_is_told(tmp_path):
    with pytest.raises(SourceError, match="holds no groups"):
        read_predictions("run", [tmp_path])

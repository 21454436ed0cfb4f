import json

import pytest

from flows.cli.measurements import write_measurements

ROW = {"metric": "render.raw", "value": 2.0, "unit": "overlays/s", "baseline": "slow one", "ratio": 4.0}


def test_the_file_holds_device_commit_and_whole_results(tmp_path):
    write_measurements(tmp_path / "deep" / "out.json", [{**ROW, "extra": 1}])
    details = json.loads((tmp_path / "deep" / "out.json").read_text())
    assert set(details) == {"device", "commit", "results"}
    assert details["results"] == [{**ROW, "extra": 1}]
    assert "core" in details["device"] and details["commit"]


def test_a_result_without_its_unit_is_refused(tmp_path):
    with pytest.raises(KeyError, match="unit"):
        write_measurements(tmp_path / "out.json", [{"metric": "a", "value": 1.0}])

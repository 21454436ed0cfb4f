import pandas as pd

from hmr.alignment.guard import Decision, GuardLook
from hmr.alignment.trainer import Counts, TrainResult, TrainSettings
from hmr.models.base_model import HmrModel
from tasks.report.report_figures import RoundRecord
from tasks.rounds.stop_page import NAME, write_stop_page

SMALL = {"encoder": {"image": False, "width": 8, "features": 8}, "predictor": {"width": 8, "blocks": 1, "features": 8}}


def test_the_page_names_the_broken_rule_and_the_report_can_find_it(tmp_path):
    folder = tmp_path / "run" / "training" / "round1"
    folder.mkdir(parents=True)
    curves, evaluations = folder / "curves.parquet", folder / "evaluations.parquet"
    record = RoundRecord(1, curves, evaluations, 0, "")
    assert record.page is None
    history = [GuardLook(0, 100.0, 80.0, 20.0), GuardLook(10, 104.0, 84.0, 19.0, gradient_norm=3.0)]
    rows = [{"step": float(k), "loss": 1.0 / k, "gradient_norm": 3.0} for k in range(1, 11)]
    pd.DataFrame(rows).to_parquet(curves)
    pd.DataFrame([vars(one) for one in history]).to_parquet(evaluations)
    decision = Decision(True, "stopped at step 10: <rise>", history[0])
    result = TrainResult(HmrModel(SMALL), decision, rows, history, Counts(20, 15, 2, 3, 4))
    page = write_stop_page(folder, result, TrainSettings()).read_text()
    assert "stopped at step 10: &lt;rise&gt;" in page and "The model of step 0 was kept" in page
    assert "15 of 20 groups were trained on" in page
    broken = page[page.index('class="broken"') :].split("</tr>")[0]
    assert "max_rise_percent" in broken and "validation error rose by 4.5 %" in broken
    assert page.count('class="broken"') == 1 and "<svg" in page
    assert record.page == f"training/round1/{NAME}"

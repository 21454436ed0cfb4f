import json
import os
from pathlib import Path

import pytest
from PIL import Image

from critique.vlm.cost import estimate
from tasks.forecast.counts import FREE_PEOPLE
from tasks.forecast.forecast import HEADS, forecast
from tasks.forecast.missing import refuse_missing, vlm_of
from tasks.forecast.rates import rates
from tasks.run.settings import SettingsError, load_settings

RESULTS = Path(__file__).parents[4] / "deploy" / "experiments"
VLM = {"model": "m", "prompt_price": 0.2, "completion_price": 0.6, "base_url": "http://127.0.0.1:9/v1"}


def measured(name: str, metric: str) -> dict:
    return next(row for row in json.loads((RESULTS / name).read_text())["results"] if row["metric"] == metric)


def shown(found, stage: str) -> dict[str, str]:
    return dict(zip(found.heads, next(row for row in found.rows if row[0] == stage)))


def test_rates_are_those_of_the_committed_files():
    # core seconds of a picture with one person, all stages; of the search of a photograph
    group = 2 / measured("pipeline.json", "pipeline.going_photos_per_second")["value"]
    photograph = 2 / measured("people_speed.json", "people.processes")["value"]
    find, sample, score = (
        measured("pipeline.json", f"pipeline.share_{name}")["value"] / 100
        for name in ("find_people", "sample", "score")
    )
    live = measured("critic_client.json", "critic.live_5s")
    expected = {
        "find_in_crop": find * group,
        "find_in_photograph": photograph,
        "sample_embedded": sample * group / 20,
        "judge_evidence": score * group / 20,
        "sample_hyponet": 2 / measured("sampler_speed.json", "sampler.m20_cpu")["value"] / 20,
        "draw_overlay": live["ms_of_pictures"] / 1000 / 20,
        "ask": live["ms_of_client"] / 1000,
        "train_embedded": 1 / measured("train_speed.json", "train.skip_reference")["value"] / 12,
        "measure": measured("metrics.json", "metrics.full_seconds")["value"] / (35_515 * 100),
    }
    found = {name: rate.seconds for name, rate in rates().items()}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=0.03)
    assert all(rate.source for rate in rates().values())


def test_a_run_on_the_studio_without_a_server(tmp_path):
    settings = load_settings(None, {"run": {"out": tmp_path}, "align": {"rounds": 2}, "studio": {"wild": 100}})
    found = forecast(settings)
    people = 100 + FREE_PEOPLE
    assert [row[0] for row in found.rows] == [
        "find people", "benchmark before", "round 1: sample", "round 1: judge", "round 1: train", "round 2: sample",
        "round 2: judge", "round 2: train", "benchmark after", "report", "all",
    ]  # fmt: skip
    assert shown(found, "round 1: sample")["what"] == f"{people} groups of 20"
    assert "requests" not in found.heads and any("no money" in note for note in found.notes)
    hours = people * 20 * rates()["judge_evidence"].seconds / 3600
    assert float(shown(found, "round 2: judge")["core hours"]) == pytest.approx(hours, abs=5e-4)
    assert not list(tmp_path.iterdir())


def test_a_quick_search_is_counted_as_one(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(200):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / "photos" / f"{number}.png")
    each = {"thorough": rates()["find_in_photograph"].seconds, "quick": rates()["find_in_crop"].seconds}
    for search, seconds in each.items():
        photographs = {"folder": str(tmp_path / "photos"), "search": search}
        found = forecast(load_settings(None, {"run": {"out": tmp_path}, "photographs": photographs}))
        of_val_and_test = 700 * rates()["find_in_crop"].seconds
        hours = (200 * seconds + of_val_and_test) / 3600
        assert shown(found, "find people")["core hours"] == (f"{hours:.1f}" if hours >= 0.05 else f"{hours:.3f}")


def test_the_judge_s_requests_and_money_are_those_of_critique_plan(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    changes = {
        "run": {"out": tmp_path}, "align": {"rounds": 3}, "studio": {"wild": 74}, "overlay": {"groups_shown": 5},
        "critic": {"name": "vlm", "vlm": {**VLM, "budget": 0.01}, "monitor": "evidence"},
    }  # fmt: skip
    settings = load_settings(None, changes)
    found = forecast(settings)
    assert found.heads == HEADS
    one = estimate(vlm_of(settings), {20: 100}, 512)
    round_2 = shown(found, "round 2: judge")
    assert (round_2["requests"], round_2["money"]) == ("100", f"{one.money:.2f}")
    total = shown(found, "all")
    assert (
        total["requests"] == "310"
    )  # three rounds of 100 groups, and ten of the report; nobody asks about drawn people
    assert shown(found, "benchmark before")["requests"] == ""
    assert shown(found, "round 1: monitor")["requests"] == ""
    assert any("budget of 0.01" in note for note in found.notes)
    assert any(note.startswith("OPENAI_API_KEY") for note in found.notes)


def test_a_cascade_asks_within_its_budget(tmp_path):
    critic = {"name": "cascade", "cascade": {"teacher": "vlm", "budget": 60}, "vlm": VLM}
    changes = {"run": {"out": tmp_path}, "align": {"rounds": 2}, "critic": critic, "overlay": {"groups_shown": 0}}
    found = forecast(load_settings(None, changes))
    assert shown(found, "round 1: judge")["requests"] == "30" and shown(found, "all")["requests"] == "60"


def test_all_that_is_missing_is_told_at_once(tmp_path):
    os.makedirs(tmp_path / "pictures")
    changes = {
        "data": {"test": [{"records": str(tmp_path / "test.parquet"), "photos": str(tmp_path / "pictures")}]},
        "base": {"body": str(tmp_path / "SMPL.pkl"), "checkpoint": str(tmp_path / "ckpt.pth")},
        "critic": {"name": "vlm", "vlm": {"memory": str(tmp_path / "memory")}, "monitor": "scorenet",
                   "scorenet": {"checkpoint": str(tmp_path / "scorenet.pth")}},
    }  # fmt: skip
    with pytest.raises(SettingsError) as error:
        refuse_missing(load_settings(None, changes))
    lines = str(error.value).splitlines()
    assert lines[0].startswith("5 of the files") and len(lines) == 6
    for name in ("test.parquet", "SMPL.pkl", "ckpt.pth", "scorenet.pth", "memory"):
        assert sum(name in line for line in lines) == 1

"""The critic benchmark as a flow: critics that look at pictures, the oracle, and a part of the people."""

import numpy as np
import pytest

from critique.endpoint.cache import read_ledger
from critique.endpoint.loopback import JudgingStyle, LoopbackVlm, error
from critique.endpoint.stream import BudgetSpent
from flows.critic_benchmark import critic_benchmark
from tasks.benchmarks.critic_benchmark import NothingJudgedError
from tasks.run.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-of-32-characters-0001")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def out(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("HMR_ALIGN_CACHE", str(cache))
    return tmp_path


def chosen(out, name: str, **critic) -> Settings:
    return load_settings(
        None,
        {
            "run": {"out": str(out), "name": "run"},
            "studio": {"val": 6},
            "benchmark": {"hypotheses": 5, "bootstrap": 20},
            "overlay": {"backend": "numba", "size": 128},
            "critic": {"name": name, **critic},
        },
    )


def remote(server: LoopbackVlm, **given) -> dict:
    own = {"base_url": server.base_url, "model": "loopback", "prompt_price": 1000.0, "encoding": "png"}
    return {"vlm": own | {"retries": 0, "second_chances": 0} | given}


def measured(settings: Settings, kind: str, **given) -> dict[str, dict]:
    return {row["metric"]: row for row in critic_benchmark.fn(settings, kind, "easy_val", **given)}


def test_a_vlm_is_measured_on_photographs_and_paid_once(out):
    with LoopbackVlm(JudgingStyle()) as server:
        settings = chosen(out, "vlm", **remote(server))
        rows = measured(settings, "model", people=4)
        assert len(server.calls) == 4
        again = measured(settings, "model", people=4)
        assert len(server.calls) == 4
    names = ("srcc", "krcc", "plcc", "pair_accuracy", "top1_regret_mm", "seconds_per_group", "failure_rate")
    assert {f"critic.model_{name}" for name in names} <= set(rows)
    assert rows["critic.model_cost_per_group"]["value"] == pytest.approx(1)  # 1000 tokens of each answer
    assert rows["critic.model_srcc"]["images"] == 4 and rows["critic.model_srcc"]["critic"].startswith("vlm-loopback@")
    assert all(again[name]["value"] == row["value"] for name, row in rows.items() if "seconds" not in name)
    assert read_ledger(out / "run")[0].answers == 4
    photograph, *overlays = server.calls[0].pictures
    assert len(overlays) == 5 and photograph.std() > 5  # a scene, with five bodies drawn over it
    assert all((overlay != photograph).any() for overlay in overlays)


def test_a_judge_of_pixels_knows_near_from_far(out):
    with LoopbackVlm(JudgingStyle()) as server:
        rows = measured(chosen(out, "vlm", **remote(server)), "perturbed")
    assert rows["critic.srcc"]["value"] > 0.3


def test_a_panel_with_a_vlm_is_measured(out):
    with LoopbackVlm(JudgingStyle()) as server:
        panel = {"members": {"vlm": 2.0, "evidence": 1.0}}
        rows = measured(chosen(out, "panel", panel=panel, **remote(server)), "model", people=2)
    assert len(server.calls) == 2 and rows["critic.model_cost_per_group"]["value"] == pytest.approx(1)
    assert rows["critic.model_srcc"]["critic"].startswith("panel@")


def test_the_budget_holds(out):
    with LoopbackVlm(JudgingStyle()) as server, pytest.raises(BudgetSpent):
        measured(chosen(out, "vlm", **remote(server, budget=2.5, max_in_flight=1)), "model")
    assert len(server.calls) == 2


def test_a_server_that_judges_nobody_is_no_measurement(out):
    with LoopbackVlm([error(500)]) as server, pytest.raises(NothingJudgedError, match=r"none of 2 groups .* HTTP 500"):
        measured(chosen(out, "vlm", **remote(server)), "model", people=2)


@pytest.mark.parametrize("kind", ["perturbed", "model"])
def test_the_oracle_reads_the_truth_of_each_kind(out, kind):
    rows = measured(chosen(out, "oracle"), kind)
    name = "critic." if kind == "perturbed" else "critic.model_"
    assert rows[f"{name}srcc"]["value"] > 0.97 and rows[f"{name}top1_regret_mm"]["value"] == 0


def test_a_part_of_the_people_are_the_first_of_them(out):
    everyone, some = (measured(chosen(out, "evidence"), "perturbed", people=count) for count in (None, 3))
    assert some["critic.srcc"]["images"] == 3 < everyone["critic.srcc"]["images"]
    assert not np.isnan(some["critic.plcc"]["value"])
    with pytest.raises(SettingsError, match="two at least"):
        measured(chosen(out, "evidence"), "perturbed", people=1)

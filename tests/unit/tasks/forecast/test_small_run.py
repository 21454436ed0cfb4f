import pytest

from storage.sources.adapter import Choice
from tasks.data.importing import import_people
from tasks.forecast.missing import missing_files
from tasks.forecast.small_run import small_settings
from tasks.run.settings import load_settings
from tests.people_files import coco
from tests.people_scene import people_scene

SERVER = "http://127.0.0.1:9/v1"


@pytest.fixture
def records(tmp_path):
    """Twelve people of a COCO file, without their pictures."""
    import_people("coco", coco(people_scene(12, 1), tmp_path), tmp_path / "people.parquet", Choice(split="train"))
    return {"records": str(tmp_path / "people.parquet"), "photos": str(tmp_path)}


def test_counts_become_small_and_all_else_stays(tmp_path):
    vlm = {"model": "real", "base_url": "https://example.org/v1", "mode": "blocks", "prompt_price": 1.0, "budget": 9.0}
    settings = load_settings(None, {
        "run": {"out": str(tmp_path), "name": "mine", "runner": "processes"}, "store": {"uri": "s3://bucket/mine"},
        "critic": {"name": "vlm", "vlm": vlm}, "sample": {"temperature": 1.5},
        "align": {"rounds": 9, "later": {"steps": 99}},
        "train": {"preset": "stable", "overrides": {"beta": 3.0}, "wandb": "project", "warmup": 50},
        "benchmark": {"hypotheses": 100},
    })  # fmt: skip
    small = small_settings(settings, SERVER, None)
    assert small.run.folder == tmp_path / "mine-dry-run" and small.store.uri == "s3://bucket/mine-dry-run"
    assert small.run.runner == "processes" and small.sample.temperature == 1.5
    assert small.critic.vlm["base_url"] == SERVER and small.critic.vlm["mode"] == "blocks"
    assert small.critic.vlm["budget"] is None and small.critic.vlm["api_key_variable"] != "OPENAI_API_KEY"
    assert small.train.preset == "stable" and small.train.overrides == {"beta": 3.0} and small.train.wandb is None
    assert (small.train.steps, small.align.rounds, small.align.later["steps"]) == (2, 2, 2)
    assert (small.benchmark.hypotheses, small.sample.hypotheses) == (5, 5)


def test_each_dataset_gives_as_many_whatever_its_weight(tmp_path, records):
    data = {"train": [{**records, "weight": 0.99}, {**records, "weight": 0.01}]}
    small = small_settings(load_settings(None, {"run": {"out": str(tmp_path)}, "data": data}), SERVER, None)
    assert [one.weight for one in small.data.train] == [1.0, 1.0] and small.data.people == 8


def test_pictures_that_are_not_where_records_say_are_told(records):
    told = list(missing_files(load_settings(None, {"data": {"train": [records]}})))
    assert len(told) == 1 and "12 of 12 pictures" in told[0] and "000000000000.jpg" in told[0]

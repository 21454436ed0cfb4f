"""How photographs are searched, and what is told of those that were of no use."""

import logging

import pytest
from PIL import Image

from flows.stages import find_people
from tasks.finding import Found, find_shard, list_photographs
from tasks.photographs import save_scenes
from tasks.run.plan import Plan
from tasks.run.settings import Photographs, Run, Settings


@pytest.mark.parametrize("search", ["thorough", "quick"])
def test_the_users_photographs_are_searched_as_the_settings_say_and_what_is_skipped_is_told(
    tmp_path, search, monkeypatch, caplog
):
    folder = tmp_path / "photos"
    save_scenes("easy_val", range(1), folder)
    Image.new("RGB", (80, 80)).save(folder / "black.png")
    monkeypatch.setattr(find_people, "list_photographs", list_photographs.fn)
    plan = Plan(Settings(run=Run(name="run", out=tmp_path), photographs=Photographs(folder=folder, search=search)))
    listed = find_people.photographs(plan)
    assert [shard.thorough for shard in listed.shards] == [search == "thorough"]
    found = find_shard.fn(listed.shards[0], plan.store_root, None, 1.25)
    assert found == Found(1, (("black.png", "nobody was found in it"),), found.remarks)
    monkeypatch.setattr(find_people, "leave_counts", lambda *_: None)
    monkeypatch.setattr(find_people, "leave_table", lambda *_: None)
    with caplog.at_level(logging.WARNING):
        find_people.tell_found(found, set())
        assert [line.getMessage() for line in caplog.records] == ["skipped black.png: nobody was found in it"]
        find_people.tell_found(found, {"black.png"})  # as of a drawn picture
        assert len(caplog.records) == 1

"""Photographs over several looks: what is new is done, what has changed is done again, what went is left out."""

import os
import shutil

import pytest

import tasks.finding
from hmr.detection.photograph import PhotographError
from storage.group_store import GroupStore
from tasks.finding import Listed, find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import save_scenes
from tasks.run.deadly_items import MOST, deaths


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Four drawn people, one a picture."""
    folder = tmp_path_factory.mktemp("scenes")
    save_scenes("easy_val", range(4), folder)
    return sorted(folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "übung (2)"
    folder.mkdir()
    return folder


def look(folder, store, size=2) -> Listed:
    listed = list_photographs.fn([Source(folder, thorough=False)], folder, store, size)
    for shard in listed.shards:
        find_shard.fn(shard, store, None, 1.25)
    return listed


def names(store) -> list[str]:
    return [person.group_id.rsplit("-", 2)[0] for person in GroupStore(store).read_people()]


def test_a_folder_that_changes_between_looks(folder, tmp_path, scenes, monkeypatch):
    store = tmp_path / "run" / "store"
    shutil.copy(scenes[0], folder / "a.png")
    shutil.copy(scenes[1], folder / "wild-boar.png")
    (folder / "c.png").write_bytes(b"no picture")
    first = look(folder, store)
    assert [shard.name for shard in first.shards] == ["ubung-2-0000", "ubung-2-0001"]
    assert names(store) == ["a", "wild-boar"] and not (first.added or first.changed or first.gone)

    looked_at: list[str] = []
    people_in = tasks.finding.people_in

    def watched(path, *args, **given):
        looked_at.append(path.name)
        return people_in(path, *args, **given)

    monkeypatch.setattr(tasks.finding, "people_in", watched)
    shutil.copy(scenes[2], folder / "a.png")  # another picture under an old name
    shutil.copy(scenes[3], folder / "new.png")
    (folder / "wild-boar.png").rename(folder / "z.png")
    (folder / "c.png").unlink()
    second = look(folder, store)
    assert (second.added, second.changed, second.gone) == (2, ("a.png",), ("c.png",))
    assert looked_at == ["a.png", "new.png"]  # who was renamed is not looked for again
    people = GroupStore(store).read_people()
    assert sorted(names(store)) == ["a", "new", "wild-boar"]
    assert [p.photo for p in people if p.group_id.startswith("wild-boar")] == [str(folder / "z.png")]
    third = look(folder, store)
    assert (third.added, third.changed, third.gone) == (0, (), ()) and looked_at == ["a.png", "new.png"]


def test_what_cannot_be_used_is_told_at_every_look_until_it_has_gone(folder, tmp_path, scenes):
    store = tmp_path / "store"
    shutil.copy(scenes[0], folder / "a.png")
    (folder / "c.png").write_bytes(b"no picture")
    listed = list_photographs.fn([Source(folder, thorough=False)], folder, store, 9)
    found = [find_shard.fn(*listed.shards, store, None, 1.25) for _ in range(2)]
    assert found[0] == found[1] and found[0].skipped[0][0] == "c.png"
    (folder / "c.png").unlink()
    listed = list_photographs.fn([Source(folder, thorough=False)], folder, store, 9)
    assert find_shard.fn(*listed.shards, store, None, 1.25).skipped == ()


def test_a_store_of_the_first_version_is_taken_over(folder, tmp_path, scenes):
    """It keeps no list and whole paths; whoever was found stays found."""
    shutil.copy(scenes[0], folder / "a.png")
    store = GroupStore(tmp_path / "store")
    look(folder, store.root)
    (person,) = store.read_people()
    old = GroupStore(tmp_path / "old" / "store")
    old.write_people("ubung-2-0000", [person])  # no list there, so with its whole path
    (tmp_path / "old" / "skipped").mkdir()
    (tmp_path / "old" / "skipped" / "ubung-2-0000.json").write_text('[["c.png", "nobody was found in it"]]')
    shutil.copy(scenes[1], folder / "b.png")
    look(folder, old.root)
    assert old.people_shards() == ["ubung-2-0000", "ubung-2-0001"] and names(old.root) == ["a", "b"]


def test_an_empty_folder_says_why(folder, tmp_path):
    (folder / "deep").mkdir()
    with pytest.raises(PhotographError, match=r"no photographs in .*\(deep/: a folder"):
        list_photographs.fn([Source(folder)], folder, tmp_path / "store", 9)


def test_a_lost_note_is_written_again_and_nobody_is_found_twice(folder, tmp_path, scenes):
    """Also where a photograph of the shard has gone since: its people are in the file, and stay hidden."""
    store = tmp_path / "run" / "store"
    for scene, name in zip(scenes, ("a.png", "b.png")):
        shutil.copy(scene, folder / name)
    look(folder, store)
    (folder / "b.png").unlink()
    note = tmp_path / "run" / "skipped" / "ubung-2-0000.json"
    note.write_text("half a no")
    look(folder, store)
    assert names(store) == ["a"] and note.read_text() == "[]"


CRASHES = """
import os
from PIL import Image
opened = Image.open
def opens(file, *args, **given):
    if hasattr(file, "getvalue") and file.getvalue().endswith(b"deadly"):
        os._exit(9)
    return opened(file, *args, **given)
Image.open = opens
"""


def test_a_photograph_on_which_processes_die_is_left_out_with_the_reason(folder, tmp_path, scenes, monkeypatch):
    """Of two that are suspected one kills a process of its own too; the other was there when power was lost."""
    store, innocent = tmp_path / "run" / "store", folder / "a.png"
    shutil.copy(scenes[0], innocent)
    (folder / "deadly.png").write_bytes(scenes[1].read_bytes() + b"deadly")
    people_in = tasks.finding.people_in

    def dies(path, *args, **given):
        if path.name == "deadly.png":
            raise SystemExit  # it is not caught, and nothing after it runs: as a crash of a library
        return people_in(path, *args, **given)

    monkeypatch.setattr(tasks.finding, "people_in", dies)
    for _ in range(MOST):
        with pytest.raises(SystemExit):
            look(folder, store)
    (shard,) = list_photographs.fn([Source(folder, thorough=False)], folder, store, 2).shards
    begun = tmp_path / "run" / "skipped" / f"{shard.name}.begun"
    for _ in range(MOST):
        deaths(begun).begin(image_id for path, image_id in shard.photographs if path == innocent)
    (tmp_path / "crashes").mkdir()
    (tmp_path / "crashes" / "sitecustomize.py").write_text(CRASHES)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'crashes'}:{os.environ.get('PYTHONPATH', '')}")
    ((name, why),) = find_shard.fn(shard, store, None, 1.25).skipped
    assert names(store) == ["a"] and name == "deadly.png" and "the process died 6 times" in why
    assert find_shard.fn(shard, store, None, 1.25).skipped == ((name, why),)

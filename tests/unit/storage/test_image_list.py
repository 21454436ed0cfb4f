"""The list of photographs: what is new, changed, moved and gone, and what the store hands out of each."""

import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.group_store import GroupStore
from storage.image_list import FILE, Image, ImageList, StoreError, image_of, read_images, updated, write_images
from tests.factories import make_group, make_person, make_verdict

A, B, C = "a" * 64, "b" * 64, "c" * 64


def test_what_is_new_is_cut_into_new_shards_and_the_rest_stays():
    first = updated([], {A: ("a.jpg", "a"), B: ("b.jpg", "b"), C: ("c.jpg", "c")}, 2, "photos")
    assert [(i.image_id, i.shard) for i in first if i.status == "here"] == [
        ("a-aaaaaaaa", "photos-0000"), ("b-bbbbbbbb", "photos-0000"), ("c-cccccccc", "photos-0001"),
    ]  # fmt: skip
    assert updated(first, {C: ("c.jpg", "c"), A: ("a.jpg", "a"), B: ("b.jpg", "b")}, 2, "photos") == first
    d = "d" * 64
    # a.jpg is another picture now, b.jpg was renamed, c.jpg is gone.
    second = updated(first, {d: ("a.jpg", "a"), B: ("other/b.jpg", "b")}, 2, "photos")
    assert second[:3] == [
        first[0]._replace(status="changed"),
        first[1]._replace(status="moved", path="other/b.jpg"),
        first[2]._replace(status="gone"),
    ]
    assert second[3:] == [Image("a-dddddddd", "a.jpg", d, "photos-0002")]
    back = updated(second, {A: ("a.jpg", "a"), B: ("other/b.jpg", "b"), C: ("c.jpg", "c")}, 2, "photos")
    assert [i.status for i in back] == ["here", "moved", "here", "changed"] and len(back) == 4


def test_names_that_would_be_alike_get_longer_digests():
    twin = "a" * 8 + "f" * 56
    found = updated([], {A: ("x/1.jpg", "1"), twin: ("y/1.jpg", "1")}, 10, "p")
    assert [i.image_id for i in found] == ["1-aaaaaaaa", "1-aaaaaaaaffffffff"]


keys = st.text("0123456789abcdef", min_size=64, max_size=64)


looks_at = st.lists(st.dictionaries(keys, st.sampled_from(["a", "b", "c-p1"]), max_size=6), max_size=4)


@given(looks=looks_at, size=st.integers(1, 3))
def test_laws_of_any_history(looks, size):
    """Names are unique and for ever, shards never change or overflow, and what is there is exactly what is present."""
    kept: list[Image] = []
    for look in looks:
        seen = {key: (f"{short}-{k}.jpg", short) for k, (key, short) in enumerate(look.items())}
        after = updated(kept, seen, size, "s")
        assert [i[2:4] for i in after[: len(kept)]] == [i[2:4] for i in kept]
        assert {i.inputs_sha256: i.path for i in after if i.present} == {key: path for key, (path, _) in seen.items()}
        assert len({i.image_id for i in after}) == len(after) == len({i.inputs_sha256 for i in after})
        shards = [i.shard for i in after]
        assert max(map(shards.count, shards), default=0) <= size
        assert updated(after, seen, size, "s") == after
        kept = after


@pytest.fixture
def store(tmp_path):
    """Three people of two photographs, judged; the photographs' root beside the store."""
    rng = np.random.default_rng(3)
    root = tmp_path / "run" / "photographs"
    root.mkdir(parents=True)
    store = GroupStore(tmp_path / "run" / "store")
    images = [Image("a-aaaaaaaa", "a.jpg", A, "s-0000"), Image("b-bbbbbbbb", "b.jpg", B, "s-0000")]
    store.write_images(ImageList(root, images))
    people = [
        make_person(rng, group_id=f"{image.image_id}-p{k}", photo=str(root / image.path))
        for image, k in ((images[0], 0), (images[0], 1), (images[1], 0))
    ]
    store.write_people("s-0000", people)
    groups = [make_group(rng, 4, person) for person in people]
    store.write_groups("round0", "s-0000", groups)
    store.write_verdicts("round0", "c@1", "r", "s-0000", [make_verdict(g, critic="c@1") for g in groups])
    return store


def hide(store: GroupStore, **status: str) -> None:
    images = store.images
    details = [i._replace(status=status.get(i.image_id[0], i.status)) for i in images.images]
    store.write_images(ImageList(images.root, details))


def test_what_has_gone_is_handed_out_by_no_method(store):
    before = store.group_contents("round0")
    hide(store, a="changed")
    ids = ["b-bbbbbbbb-p0"]
    assert [p.group_id for p in store.read_people()] == ids
    assert [g.person.group_id for g in store.read_groups("round0", "s-0000")] == ids
    assert list(store.hypotheses_of("round0", "s-0000")) == ids and store.group_sizes("round0", "s-0000") == [4]
    assert [v.group_id for v in store.read_verdicts("round0", "c@1", "s-0000")] == ids
    assert [v.group_id for _, v in store.judged("round0", "c@1")] == ids
    assert store.verdict_summary("round0", "c@1").groups == 1 and store.unjudged("round0", "c@1", "s-0000") == []
    assert store.group_contents("round0") != before  # so that nothing made of all of them is taken for this
    hide(store, a="here")
    assert len(store.read_people()) == 3 and store.group_contents("round0") == before


def test_a_shard_of_which_nothing_is_left_is_not_named(store):
    hide(store, a="gone", b="gone")
    assert store.people_shards() == store.group_shards("round0") == store.verdict_shards("round0", "c@1") == []
    assert store.lacking("round0", "d@1") == [] and store.verify() == []


def test_a_part_of_a_shard_can_be_judged(store):
    hide(store, a="gone")
    (group,) = store.read_groups("round0", "s-0000")
    assert store.lacking("round0", "d@1") == ["s-0000"]
    store.add_verdicts("round0", "d@1", "r", "s-0000", [make_verdict(group, critic="d@1")])
    assert store.lacking("round0", "d@1") == []
    hide(store, a="here")  # it is back: only what it lacks is asked about
    assert store.unjudged("round0", "d@1", "s-0000") == ["a-aaaaaaaa-p0", "a-aaaaaaaa-p1"]


def test_paths_survive_moving_the_run(store, tmp_path):
    root = store.images.root
    assert {p.photo for p in store.read_people()} == {str(root / "a.jpg"), str(root / "b.jpg")}
    shutil.move(tmp_path / "run", tmp_path / "moved")
    moved = GroupStore(tmp_path / "moved" / "store")
    assert moved.read_people()[0].photo == str(tmp_path / "moved" / "photographs" / "a.jpg")
    assert moved.read_groups("round0", "s-0000")[2].person.photo == str(tmp_path / "moved" / "photographs" / "b.jpg")


def test_a_photograph_under_another_name_is_found(store):
    images = store.images
    details = [i._replace(status="moved", path="deep/new.jpg") if i.image_id[0] == "b" else i for i in images.images]
    store.write_images(ImageList(images.root, details))
    assert store.read_people()[2].photo == str(images.root / "deep" / "new.jpg")


def test_photographs_elsewhere_keep_their_whole_path(store, tmp_path):
    person = make_person(np.random.default_rng(1), group_id="x-p0", photo=str(tmp_path / "x.jpg"))
    store.write_people("other", [person])
    assert store.read_people("other")[0].photo == str(tmp_path / "x.jpg")


def test_a_root_may_have_any_name(tmp_path):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    root.mkdir()
    write_images(tmp_path / "store", ImageList(root, ()))
    assert read_images(tmp_path / "store").root == root


def test_a_damaged_list_is_one_clear_error(tmp_path):
    (tmp_path / FILE).write_bytes(b"PAR1 no")
    with pytest.raises(StoreError, match=r"not a list of photographs.*restore it"):
        read_images(tmp_path)
    assert read_images(tmp_path / "none") is None


def test_the_photograph_of_a_group():
    assert image_of("wild-boar-0123abcd-p12") == "wild-boar-0123abcd"
    assert image_of("c-p1-0123abcd-p0") == "c-p1-0123abcd"

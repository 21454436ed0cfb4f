"""Pictures of groups: drawn once for all critics that see the same, and not for groups that are judged."""

import numpy as np
import pytest

import tasks.groups.overlays
from critique.critic import Sight
from storage.group_store import GroupStore
from storage.picture_store import PictureStore
from tasks.groups.overlays import drawn_groups, picture_store
from tasks.rendering import render_shard
from tasks.run.settings import OverlaySection
from tests.factories import make_verdict, store_in_one_photograph

OVERLAY = OverlaySection(backend="numba", size=64)
ALL = Sight()


@pytest.fixture
def store(tmp_path) -> GroupStore:
    """Two groups of four, of people in one photograph."""
    store_in_one_photograph(tmp_path / "run", 2)
    return GroupStore(tmp_path / "run" / "store")


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The renderers that were opened: none are where everything is kept."""
    names: list[str] = []
    own = tasks.groups.overlays.open_renderer

    def open_renderer(name: str):
        names.append(name)
        return own(name)

    monkeypatch.setattr(tasks.groups.overlays, "open_renderer", open_renderer)
    return names


def render(store: GroupStore, sight: Sight = ALL, critic: str = "vlm@1") -> int:
    return render_shard.fn("0", "round0", store.root, None, OVERLAY, sight, [critic])


def files(store: GroupStore) -> dict[str, bytes]:
    root = picture_store(store.root).root
    return {path.name: path.read_bytes() for path in root.rglob("*.zip")}


def drawn(store: GroupStore, kept: PictureStore | None, sight: Sight = ALL):
    groups = store.read_groups("round0", "0")
    return list(drawn_groups(groups, None, OVERLAY, sight=sight, kept=kept))


def test_what_is_kept_is_what_is_drawn(store, opened):
    assert render(store) == 2 and opened == ["numba"] and len(files(store)) == 2
    kept, anew = drawn(store, picture_store(store.root)), drawn(store, None)
    assert opened == ["numba", "numba"]  # the second for those that were drawn anew
    for one, two in zip(kept, anew, strict=True):
        assert one.photograph is not None and np.array_equal(one.photograph, two.photograph)
        assert np.array_equal(one.overlays, two.overlays) and np.array_equal(one.sides, two.sides)
        assert np.array_equal(one.silhouettes, two.silhouettes) and np.array_equal(one.penetration, two.penetration)
        assert (one.overlays[0] != one.photograph).any()


def test_another_critic_finds_them_drawn(store, opened):
    render(store)
    before = files(store)
    assert render(store, critic="another@2") == 2 and files(store) == before and opened == ["numba"]


def test_what_a_critic_does_not_see_is_not_drawn(store):
    render(store, Sight(sides=False))
    (one, _) = drawn(store, picture_store(store.root), Sight(sides=False))
    assert len(one.overlays) == 4 and one.sides == ()
    render(store, Sight(whole=True))
    assert len(files(store)) == 4


def test_judged_groups_need_no_pictures(store):
    first, second = store.read_groups("round0", "0")
    store.add_verdicts("round0", "vlm@1", "r", "0", [make_verdict(first, [1.0, 2.0, 3.0, 4.0], critic="vlm@1")])
    assert render(store) == 1 and len(files(store)) == 1
    rest = make_verdict(second, [1.0, 2.0, 3.0, 4.0], critic="vlm@1")
    store.add_verdicts("round0", "vlm@1", "r", "0", [rest])
    assert render(store) == 0


def test_a_damaged_picture_is_drawn_again(store, opened):
    render(store)
    before = files(store)
    path = next(picture_store(store.root).root.rglob("*.zip"))
    path.write_bytes(b"")
    assert render(store) == 2 and files(store) == before and opened == ["numba", "numba"]

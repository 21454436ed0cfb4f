"""Which groups are judged again: those without a verdict, in an order, as far as a budget goes."""

from pathlib import Path

import numpy as np
import pytest

from storage.group_store import GroupStore
from tasks.rescoring.chosen_groups import Portion, choose, compared_with, lacking_in, most_unsure_first, within
from tasks.run.settings import Settings, SettingsError
from tests.factories import make_group, make_person, make_verdict

OLD, NEW = "scripted@1", "scripted@2"
SCORES = ([90, 10, 20, 0], [90, 89, 20, 0], [90, 50, 20, 0])  # leads of 80, 1 and 40 points
PRICED = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "prompt_price": 1000.0, "completion_price": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three groups in two shards of round0, judged by an older version; one of round1 that nobody has judged."""
    root = tmp_path_factory.mktemp("run") / "run" / "store"
    store, rng = GroupStore(root), np.random.default_rng(0)
    groups = [make_group(rng, 4, make_person(rng, name=name)) for name in ("beach", "street", "park")]
    for shard, own in (("0", groups[:2]), ("1", groups[2:])):
        store.write_people(shard, [group.person for group in own])
        store.write_groups("round0", shard, own)
    store.write_groups("round1", "0", groups[:1])
    for shard, places in (("0", [0, 1]), ("1", [2])):
        store.write_verdicts("round0", OLD, "run", shard, [make_verdict(groups[k], SCORES[k], OLD) for k in places])
    store.write_verdicts("round0", "other@7", "run", "1", [make_verdict(groups[2], SCORES[0], "other@7")])
    return root


def settings(root: Path, **given) -> Settings:
    run = {"name": root.parent.name, "out": root.parents[1]}
    return Settings.model_validate({"run": run, **given})


def names(portions) -> list[str]:
    return [f"{p.gen}/{key.partition('-')[0]}" for p in portions for key in p.sizes]


def test_the_newest_come_first(root):
    chosen = choose(settings(root), NEW, GroupStore(root))
    assert names(chosen.portions) == ["round1/beach", "round0/park", "round0/beach", "round0/street"]
    assert (chosen.lacking, chosen.groups, chosen.against, chosen.money) == (4, 4, OLD, 0)


def test_the_unsure_come_first_and_those_that_nobody_judged_lead(root):
    chosen = choose(settings(root, rescore={"order": "uncertain", "groups": 3}), NEW, GroupStore(root))
    assert names(chosen.portions) == ["round1/beach", "round0/street", "round0/park"]
    assert (chosen.lacking, chosen.groups) == (4, 3)


def test_a_pattern_names_generations_and_photographs(root):
    for where, found in (("round1/*", ["round1/beach"]), ("*/street-*", ["round0/street"]), ("nothing/*", [])):
        chosen = choose(settings(root, rescore={"where": where}), NEW, GroupStore(root))
        assert names(chosen.portions) == found and (chosen.lacking, chosen.matching) == (4, len(found))


def test_what_is_judged_is_not_judged_again(root):
    assert lacking_in(GroupStore(root), "round0", OLD) == []
    assert names(choose(settings(root), OLD, GroupStore(root)).portions) == ["round1/beach"]


def test_a_version_is_compared_with_its_own_kind(root):
    store = GroupStore(root)
    assert compared_with(store, NEW) == OLD  # although another critic judged later
    assert compared_with(store, "new@1") == "other@7"
    assert compared_with(store, NEW, "other@7") == "other@7"
    with pytest.raises(
        SettingsError, match=r"'nobody@1', to compare with, has not judged here; .* other@7, scripted@1"
    ):
        compared_with(store, NEW, "nobody@1")


def test_a_budget_takes_the_first_groups(root):
    """Two tokens' price: each group costs what the plan says, and money for one and a half pays for one."""
    vlm = {"critic": {"name": "vlm", "vlm": PRICED}}
    whole = choose(settings(root, **vlm), NEW, GroupStore(root))
    half = settings(root, **vlm, rescore={"budget": 1.5 * whole.money / 4})
    chosen = choose(half, NEW, GroupStore(root))
    assert names(chosen.portions) == ["round1/beach"]
    assert 0 < chosen.money <= 1.5 * whole.money / 4
    unpriced = {"critic": {"name": "vlm", "vlm": PRICED | {"prompt_price": 0.0}}, "rescore": {"budget": 1.0}}
    with pytest.raises(SettingsError, match="budget needs prices"):
        choose(settings(root, **unpriced), NEW, GroupStore(root))


def test_groups_of_a_shard_are_one_portion_by_hand():
    one, other = Portion("g", "0", {"a": 4}), Portion("g", "1", {"b": 2})
    again = Portion("g", "0", {"c": 4, "d": 4})
    prices = {4: 2.0, 2: 1.0}
    assert within([one, other, again], prices, 5.0, None) == [Portion("g", "0", {"a": 4, "c": 4}), other]
    assert within([one, other, again], prices, None, 1) == [one]
    assert within([one, other, again], prices, 1.0, None) == []


def test_neighbours_in_the_order_stay_in_one_portion(root):
    store = GroupStore(root)
    ordered = most_unsure_first(store, lacking_in(store, "round0", NEW), OLD)
    assert names(ordered) == ["round0/street", "round0/park", "round0/beach"]
    assert [portion.shard for portion in ordered] == ["0", "1", "0"]

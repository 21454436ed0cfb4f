"""Which groups are judged again: those without a verdict, in an order, as far as a budget goes."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

from storage.group_store import GroupStore
from storage.image_list import Image, ImageList, image_of
from storage.shards import local_log
from storage.shards.journal import write_journal
from tasks.rescoring.chosen_groups import (
    Portion,
    choose,
    compared_with,
    lacking_in,
    matches_all,
    most_unsure_first,
    within,
)
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


def names(root: Path, portions) -> list[str]:
    return [f"{p.gen}/{key.partition('-')[0]}" for p in portions for key in ids_of(GroupStore(root), p)]


def ids_of(store: GroupStore, portion: Portion) -> list[str]:
    ids = store.group_ids(portion.gen, portion.shard)
    return [ids[place] for place in portion.all_places]


def test_the_newest_come_first(root):
    chosen = choose(settings(root), NEW, GroupStore(root))
    assert names(root, chosen.portions) == ["round1/beach", "round0/park", "round0/beach", "round0/street"]
    assert (chosen.lacking, chosen.groups, chosen.against, chosen.money) == (4, 4, OLD, 0)


def test_the_unsure_come_first_and_those_that_nobody_judged_lead(root):
    chosen = choose(settings(root, rescore={"order": "uncertain", "groups": 3}), NEW, GroupStore(root))
    assert names(root, chosen.portions) == ["round1/beach", "round0/street", "round0/park"]
    assert (chosen.lacking, chosen.groups) == (4, 3)


def test_a_pattern_names_generations_and_photographs(root):
    for where, found in (("round1/*", ["round1/beach"]), ("*/street-*", ["round0/street"]), ("nothing/*", [])):
        chosen = choose(settings(root, rescore={"where": where}), NEW, GroupStore(root))
        assert names(root, chosen.portions) == found and (chosen.lacking, chosen.matching) == (4, len(found))


def test_what_is_judged_is_not_judged_again(root):
    assert lacking_in(GroupStore(root), "round0", OLD) == []
    assert names(root, choose(settings(root), OLD, GroupStore(root)).portions) == ["round1/beach"]


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
    assert names(root, chosen.portions) == ["round1/beach"]
    assert 0 < chosen.money <= 1.5 * whole.money / 4
    unpriced = {"critic": {"name": "vlm", "vlm": PRICED | {"prompt_price": 0.0}}, "rescore": {"budget": 1.0}}
    with pytest.raises(SettingsError, match="budget needs prices"):
        choose(settings(root, **unpriced), NEW, GroupStore(root))


def portion(shard: str, *sizes: int, places: list[int] | None = None) -> Portion:
    return Portion("g", shard, np.array(sizes), None if places is None else np.array(places))


def plain(portions: list[Portion]) -> list[tuple]:
    return [(one.shard, one.sizes.tolist(), None if one.places is None else one.places.tolist()) for one in portions]


def test_groups_of_a_shard_are_one_portion_by_hand():
    """The order takes group 2 of shard 1, then group 1 of shard 0, then the two others of shard 1."""
    given = [portion("0", 4, 2), portion("1", 4, 4, 2, places=[3, 5, 6])]
    prices, order = {4: 2.0, 2: 1.0}, np.array([4, 1, 2, 3, 0])
    assert plain(within(given, prices, None, None, order)) == [("1", [4, 4, 2], [3, 5, 6]), ("0", [4, 2], None)]
    assert plain(within(given, prices, 4.0, None, order)) == [("1", [4, 2], [3, 6]), ("0", [2], [1])]
    assert plain(within(given, prices, 3.9, None, order)) == [("1", [2], [6]), ("0", [2], [1])]
    assert plain(within(given, prices, 5.0, None)) == [("0", [4, 2], None), ("1", [4], [3])]
    assert plain(within(given, {4: 2.0}, 2.0, None)) == [("0", [4, 2], None)]  # a size without a price is free
    assert plain(within(given, prices, None, 1)) == [("0", [4], [0])]
    assert within(given, prices, 1.0, None) == within([], {}, None, None) == []


def test_the_order_of_all_groups(root):
    store = GroupStore(root)
    lacking = lacking_in(store, "round0", NEW)
    assert names(root, lacking) == ["round0/park", "round0/beach", "round0/street"]
    assert most_unsure_first(store, lacking, OLD).tolist() == [2, 0, 1]


def test_a_pattern_that_is_about_generations_needs_no_names():
    said = {"*": True, "round1/*": True, "r*": True, "round?/*": True, "round0/*": False, "x*": False, "round": None}
    said |= {"round1/a*": None, "*/a": None, "roun[de]1/*": True, "*-p0": None}
    assert {where: matches_all("round1", where) for where in said} == said


def random_store(root: Path, seed: int) -> GroupStore:
    """Shards of groups of several sizes; an older version judged most, the newer one some; photographs are gone."""
    rng, store, images = np.random.default_rng(seed), GroupStore(root), []
    for gen in ("round0", "round1"):
        for shard in map(str, range(3)):
            groups = [make_group(rng, rng.integers(1, 5), make_person(rng, name=f"a{k}")) for k in range(5)]
            store.write_groups(gen, shard, groups[: rng.integers(1, 6)])
            images += [Image(image_of(one.person.group_id), "a.jpg", "0", shard) for one in groups]
            drawn = store.hypotheses_of(gen, shard)
            for critic, runs in ((OLD, ("r", "s")), (NEW, ("r",))):
                for run in runs:
                    judged = [one for one in groups[: len(drawn)] if rng.random() < (0.3 if critic == NEW else 0.8)]
                    scores = [
                        np.where(rng.random(len(one)) < 0.2, np.nan, rng.integers(0, 9, len(one))) for one in judged
                    ]
                    verdicts = [make_verdict(one, each, critic) for one, each in zip(judged, scores)]
                    if verdicts:
                        store.add_verdicts(gen, critic, run, shard, verdicts)
    if seed % 2:
        gone = rng.random(len(images)) < 0.1
        store.write_images(
            ImageList(root, [one._replace(status="gone" if lost else "here") for one, lost in zip(images, gone)])
        )
    return store


def forget_notes(root: Path) -> None:
    """As if an older version had written the store: no manifest notes more than how many verdicts are pending."""
    for manifest in root.rglob("_manifest.json"):
        journal = manifest.with_name(f"_journal-{json.loads(manifest.read_text())['journal']}.jsonl")
        lines = [json.loads(line) for line in journal.read_text().splitlines()[2:]]
        older = [[*one[:4], {key: value for key, value in one[4].items() if key == "pending"}] for one in lines]
        write_journal(journal, b"".join(json.dumps(one).encode() + b"\n" for one in older))
    local_log._readings.clear()


def read_one_by_one(store: GroupStore, where: str, uncertain: bool) -> list[tuple[str, str, str]]:
    """The order of groups as it follows from every name and verdict in the store: generation, shard, group."""
    wanted = []
    for gen in reversed(store.gens()):
        for shard in reversed(store.lacking(gen, NEW)):
            open_ids = set(store.unjudged(gen, NEW, shard))
            judged = shard in store.verdict_shards(gen, OLD)
            leads = {one.group_id: lead(one.scores) for one in (store.read_verdicts(gen, OLD, shard) if judged else [])}
            for group in store.hypotheses_of(gen, shard):
                if group in open_ids and fnmatchcase(f"{gen}/{group}", where):
                    wanted.append((leads.get(group, -np.inf) if uncertain else 0.0, gen, shard, group))
    return [one[1:] for one in sorted(wanted, key=lambda one: one[0])]


def by_shard(groups: list[tuple[str, str, str]]) -> list[tuple]:
    chosen: dict[tuple[str, str], set[str]] = {}
    for gen, shard, group in groups:
        chosen.setdefault((gen, shard), set()).add(group)
    return [(*key, names_) for key, names_ in chosen.items()]


def lead(scores: np.ndarray) -> float:
    first = np.sort(scores[~np.isnan(scores)])[::-1]
    return first[0] - first[1] if len(first) > 1 else -np.inf


@pytest.mark.parametrize("seed", range(2))
def test_a_plan_from_manifests_is_the_plan_from_all_files(tmp_path, seed):
    store, rng = random_store(tmp_path / "run" / "store", seed), np.random.default_rng(seed)
    for older in (False, True):
        if older:
            forget_notes(store.root)
        for where, order in ((w, o) for w in ("*", "round1/*", "*/a[12]*") for o in ("newest", "uncertain")):
            most = int(rng.integers(1, 15))
            chosen = choose(settings(store.root, rescore={"where": where, "order": order, "groups": most}), NEW, store)
            expected = read_one_by_one(store, where, order == "uncertain")
            assert [(p.gen, p.shard, set(ids_of(store, p))) for p in chosen.portions] == by_shard(expected[:most])
            assert chosen.matching == len(expected)

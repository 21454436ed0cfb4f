from collections import Counter
from dataclasses import replace
from weakref import ref

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from storage.group_store import GroupStore, StoreError
from storage.rows import content_digest, earlier_content_digest, rows_of_groups, rows_of_people, rows_of_verdicts
from tests.factories import make_group, make_person, make_reply, make_verdict, same

CRITIC = "scripted@1"


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def store(tmp_path):
    return GroupStore(tmp_path / "home" / "store")


def filled(store, rng, shards=2, groups=3, size=4):
    """Shards "0", "1", ... of groups in "round0"; returns the groups by shard."""
    drawn = {str(shard): [make_group(rng, size) for _ in range(groups)] for shard in range(shards)}
    for shard, found in drawn.items():
        store.write_groups("round0", shard, found)
    return drawn


def test_a_store_not_yet_written_is_empty(store):
    assert store.people_shards() == store.gens() == store.group_shards("round0") == []
    assert store.read_people() == store.lacking("round0", CRITIC) == list(store.judged("round0", CRITIC)) == []
    assert store.verdict_summary("round0", CRITIC) == (0, 0, 0, {})
    assert store.verify() == store.sweep() == []
    assert not store.root.exists()


def test_people_come_back(store, rng):
    people = [make_person(rng, index=index) for index in range(3)]
    store.write_people("10", people[:2])
    store.write_people("9", people[2:])
    assert store.people_shards() == ["9", "10"]
    assert same(store.read_people("10"), people[:2])
    assert same(store.read_people(), [people[2], people[0], people[1]])


def test_groups_of_unlike_sizes_come_back(store, rng):
    groups = [make_group(rng, size) for size in (1, 20, 3)]
    groups[1].latents[2, 5], groups[1].joints[:] = np.nan, np.inf
    store.write_groups("round0", "a", groups)
    found = store.read_groups("round0", "a")
    assert same(found, groups)
    found[0].pose[:] = 0  # the arrays are the reader's own
    assert same(store.read_groups("round0", "a"), groups)


def test_verdicts_come_back(store, rng):
    groups = [make_group(rng), make_group(rng)]
    verdicts = [
        make_verdict(groups[0], [100, np.nan, 0, 37.25], replies=(make_reply("a"), make_reply("", tries=3))),
        make_verdict(groups[1], cost=0.5, seconds=2.0),
    ]
    store.write_groups("round0", "a", groups)
    store.write_verdicts("round0", CRITIC, "r1", "a", verdicts)
    assert same(store.read_verdicts("round0", CRITIC, "a"), verdicts)


def test_an_empty_shard_is_done(store):
    store.write_people("a", [])
    store.write_groups("round0", "a", [])
    assert store.people_shards() == store.group_shards("round0") == store.lacking("round0", CRITIC) == ["a"]
    store.write_verdicts("round0", CRITIC, "r1", "a", [])
    assert store.lacking("round0", CRITIC) == []
    assert store.read_people() == store.read_groups("round0", "a") == []
    assert store.read_verdicts("round0", CRITIC, "a") == list(store.judged("round0", CRITIC)) == []


def test_equal_content_is_written_once(store, rng):
    drawn = filled(store, rng, shards=1)
    verdicts = [make_verdict(group, replies=(make_reply(),)) for group in drawn["0"]]
    store.write_verdicts("round0", CRITIC, "r1", "0", verdicts)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.*")}
    store.write_groups("round0", "0", drawn["0"])
    slower = [replace(v, seconds=9.0, replies=(make_reply(seconds=9.0),)) for v in verdicts]
    store.write_verdicts("round0", CRITIC, "r1", "0", slower)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*.*")} == before


@pytest.mark.parametrize("change", ["betas", "pose", "seeds", "person", "temperature", "fewer", "none"])
def test_other_content_is_refused(store, rng, change):
    groups = filled(store, rng, shards=1)["0"]
    first = groups[0]
    others = {
        "betas": [replace(first, betas=first.betas + 1), *groups[1:]],
        "pose": [replace(first, pose=np.nextafter(first.pose, np.float32(9))), *groups[1:]],
        "seeds": [replace(first, seeds=first.seeds + 1), *groups[1:]],
        "person": [replace(first, person=replace(first.person, photo="/elsewhere.jpg")), *groups[1:]],
        "temperature": [replace(first, temperature=1.5), *groups[1:]],
        "fewer": groups[1:],
        "none": [],
    }[change]
    with pytest.raises(StoreError, match=r"gen=round0: shard '0' is there already, with other content"):
        store.write_groups("round0", "0", others)
    assert same(store.read_groups("round0", "0"), groups)


def test_another_comment_is_other_content(store, rng):
    (group,) = filled(store, rng, shards=1, groups=1)["0"]
    store.write_verdicts("round0", CRITIC, "r1", "0", [make_verdict(group)])
    with pytest.raises(StoreError, match="other content"):
        store.write_verdicts("round0", CRITIC, "r1", "0", [make_verdict(group, comments=("",) * 4)])


def test_lacking_and_the_newest_run(store, rng):
    drawn = filled(store, rng, shards=3, groups=1)
    for run, shard, score in [("z-first", "0", 1), ("z-first", "1", 2), ("a-second", "1", 3)]:
        verdicts = [make_verdict(group, [score] * 4) for group in drawn[shard]]
        store.write_verdicts("round0", CRITIC, run, shard, verdicts)
    assert store.lacking("round0", CRITIC) == ["2"]
    assert store.lacking("round0", "another@1") == ["0", "1", "2"]
    assert store.verdict_shards("round0", CRITIC) == ["0", "1"]
    assert [store.read_verdicts("round0", CRITIC, shard)[0].scores[0] for shard in "01"] == [1, 3]
    pairs = list(store.judged("round0", CRITIC))
    assert same([group for group, _ in pairs], drawn["0"] + drawn["1"])
    assert [verdict.scores[0] for _, verdict in pairs] == [1, 3]


def test_critics_and_generations_stay_apart(store, rng):
    group = make_group(rng)
    names = ["panel/of two: 50% *?[x]", "panel/of", "ä@2", ".."]
    for gen in ("round2", "round10"):
        store.write_groups(gen, "0", [group])
        for place, name in enumerate(names):
            store.write_verdicts(gen, name, "r", "0", [make_verdict(group, [place] * 4, name)])
    assert store.gens() == ["round2", "round10"]
    for place, name in enumerate(names):
        (verdict,) = store.read_verdicts("round10", name, "0")
        assert (verdict.critic, verdict.scores[0]) == (name, place)
    assert set(pd.read_parquet(store.root / "scores")["critic"]) == set(names)


def test_judged_holds_one_shard_at_a_time(store, rng):
    drawn = filled(store, rng, shards=4, groups=3)
    for shard, groups in drawn.items():
        store.write_verdicts("round0", CRITIC, "r", shard, [make_verdict(group) for group in groups])
    seen = []
    for group, verdict in store.judged("round0", CRITIC):
        seen += [ref(group), ref(verdict)]
        assert sum(one() is not None for one in seen) <= 2 * 3 + 2  # a shard, and the pair in our hands
    assert len(seen) == 2 * 4 * 3


def test_judged_reads_a_shard_when_it_comes_to_it(store, rng):
    drawn = filled(store, rng, shards=2, groups=1)
    for shard, groups in drawn.items():
        store.write_verdicts("round0", CRITIC, "r", shard, [make_verdict(group) for group in groups])
    (store.root / "hyps/gen=round0/1.parquet").unlink()
    pairs = store.judged("round0", CRITIC)
    assert same(next(pairs)[0], drawn["0"][0])
    with pytest.raises(StoreError, match=r"1\.parquet: lost"):
        next(pairs)


def test_pandas_reads_scores(store, rng):
    groups = filled(store, rng, shards=1, groups=2, size=2)["0"]
    verdicts = [make_verdict(groups[0], [80, np.nan]), make_verdict(groups[1], [0, 20], cost=0.5)]
    store.write_verdicts("round0", CRITIC, "r1", "0", verdicts)
    table = pd.read_parquet(store.root / "scores")
    assert table.columns.tolist() == [
        *["group_id", "hypothesis", "score", "status", "comment", "group_seconds", "group_cost"],
        *["uncertainty", "rules", "critic", "gen", "run"],
    ]
    assert table["group_id"].tolist() == [group.person.group_id for group in groups for _ in range(2)]
    assert table["hypothesis"].tolist() == [0, 1, 0, 1]
    assert table["score"].isna().tolist() == [False, True, False, False]
    assert table["score"].dropna().tolist() == [80, 0, 20]
    assert table["status"].tolist() == ["ok", "abstained", "ok", "ok"]
    assert set(table["critic"]) == {CRITIC} and set(table["gen"]) == {"round0"}
    file = pd.read_parquet(store.root / f"scores/critic={CRITIC}/gen=round0/run=r1/0.parquet")
    assert file["comment"].tolist() == ["place 0", "nothing to judge by", "place 0", "place 1"]
    poses = pd.read_parquet(store.root / "hyps")["pose"]
    assert np.array_equal(poses[3], groups[1].pose[1].ravel())


def test_a_failed_judgement_is_null_not_zero(store, rng):
    (group,) = filled(store, rng, shards=1, groups=1)["0"]
    nan = np.nan
    verdict = make_verdict(group, [nan, 0, nan, nan], statuses=("timeout", "ok", "bad_json", "timeout"))
    store.write_verdicts("round0", CRITIC, "r1", "0", [verdict])
    (path,) = store.root.glob("scores/*/*/*/*.parquet")
    assert pq.ParquetFile(path).read()["score"].to_pylist() == [None, 0.0, None, None]
    assert same(store.read_verdicts("round0", CRITIC, "0"), [verdict])
    summary = store.verdict_summary("round0", CRITIC)
    assert summary == (1, 1, 3, {"timeout": 2, "ok": 1, "bad_json": 1})


def test_the_summary_counts_newest_verdicts(store, rng):
    drawn = filled(store, rng, shards=2, groups=2, size=3)
    for run, score in [("r1", np.nan), ("r2", 50)]:
        shards = drawn if run == "r1" else ["1"]
        for shard in shards:
            verdicts = [make_verdict(group, [score] * 3) for group in drawn[shard]]
            store.write_verdicts("round0", CRITIC, run, shard, verdicts)
    assert store.verdict_summary("round0", CRITIC) == (4, 6, 6, Counter(ok=6, abstained=6))


def test_half_a_surrogate_pair_in_a_reply_is_kept_as_a_question_mark(store, rng):
    (group,) = filled(store, rng, shards=1, groups=1)["0"]
    verdict = make_verdict(group, comments=("\ud83d", "\0", "🙂", ""), replies=(make_reply("\udc00x"),))
    store.write_verdicts("round0", CRITIC, "r", "0", [verdict])
    (found,) = store.read_verdicts("round0", CRITIC, "0")
    assert found.comments == ("?", "\0", "🙂", "") and found.replies[0].text == "?x"


def test_what_cannot_be_written_is_said(store, rng):
    groups = [make_group(rng), make_group(rng)]
    refused = [
        ("latents .* shape .133,", [replace(groups[0], latents=np.zeros((4, 100), np.float32))]),
        ("lengths .*'pose': 3", [replace(groups[0], pose=groups[0].pose[:3])]),
        ("at least one hypothesis", [make_group(rng, 0)]),
        ("occurs twice", [groups[0], groups[1], groups[0]]),
        ("cannot be written in UTF-8", [make_group(rng, person=make_person(rng, photo="/\udcff.jpg"))]),
    ]
    for message, unfit in refused:
        with pytest.raises(StoreError, match=message):
            store.write_groups("round0", "0", unfit)
    for shard in ("", "_x", "a/b", "..", "é"):
        with pytest.raises(StoreError, match="cannot name a file"):
            store.write_groups("round0", shard, groups)
    assert not list(store.root.rglob("*.parquet"))


def test_verdicts_follow_the_groups(store, rng):
    groups = [make_group(rng), make_group(rng)]
    verdicts = [make_verdict(group) for group in groups]
    with pytest.raises(StoreError, match="has no shard '0'; it has none"):
        store.write_verdicts("round0", CRITIC, "r", "0", verdicts)
    store.write_groups("round0", "0", groups)
    for unlike in (verdicts[:1], verdicts[::-1], [verdicts[0], make_verdict(make_group(rng))], []):
        with pytest.raises(StoreError, match="do not follow the groups"):
            store.write_verdicts("round0", CRITIC, "r", "0", unlike)
    with pytest.raises(StoreError, match="verdicts of scripted@1 among those of another@1"):
        store.write_verdicts("round0", "another@1", "r", "0", verdicts)


def test_unknown_shards_are_said(store, rng):
    filled(store, rng, shards=1)
    with pytest.raises(StoreError, match="has no shard '5'; it has 0"):
        store.read_groups("round0", "5")
    with pytest.raises(StoreError, match="no verdicts of critic 'scripted@1' on shard '0' of 'round0'"):
        store.read_verdicts("round0", CRITIC, "0")


def test_a_shard_is_judged_group_by_group(store, rng):
    groups = filled(store, rng, shards=1, groups=3)["0"]
    ids = [group.person.group_id for group in groups]
    store.add_verdicts("round0", CRITIC, "r", "0", [make_verdict(groups[1], [1] * 4)])
    assert store.unjudged("round0", CRITIC, "0") == [ids[0], ids[2]] and store.lacking("round0", CRITIC) == ["0"]
    store.add_verdicts("round0", CRITIC, "r", "0", [make_verdict(groups[2], [2] * 4), make_verdict(groups[1], [3] * 4)])
    found = store.read_verdicts("round0", CRITIC, "0")
    assert [(verdict.group_id, verdict.scores[0]) for verdict in found] == [(ids[1], 3), (ids[2], 2)]
    store.add_verdicts("round0", CRITIC, "later", "0", [make_verdict(groups[0], [4] * 4)])
    assert [group.person.group_id for group, _ in store.judged("round0", CRITIC)] == ids
    assert store.lacking("round0", CRITIC) == [] and store.verdict_summary("round0", CRITIC)[:2] == (3, 12)
    assert store.verify() == [] and store.sweep() == []
    with pytest.raises(StoreError, match="is of no group of the shard"):
        store.add_verdicts("round0", CRITIC, "r", "0", [make_verdict(make_group(rng))])


def test_a_stored_fault_that_can_pass_counts_as_unjudged(store, rng):
    """Older versions stored them as verdicts; they are still read."""
    groups = filled(store, rng, shards=1, groups=2)["0"]
    failed = make_verdict(groups[0], [np.nan, 5, 6, 7], statuses=("server_error", "ok", "ok", "ok"))
    store.write_verdicts("round0", CRITIC, "r", "0", [failed, make_verdict(groups[1])])
    assert store.unjudged("round0", CRITIC, "0") == [groups[0].person.group_id]
    assert len(store.read_verdicts("round0", CRITIC, "0")) == 2
    store.add_verdicts("round0", CRITIC, "r", "0", [make_verdict(groups[0])])
    assert store.unjudged("round0", CRITIC, "0") == []


def test_what_a_version_stands_for_is_kept(store):
    assert store.critic_description(CRITIC) is None
    store.describe_critic(CRITIC, {"model": "m"})
    assert store.critic_description(CRITIC) == {"model": "m"} and store.all_critics() == [CRITIC]


def test_verdicts_are_written_and_listed_without_a_look_at_the_groups(store, rng):
    """Neither meshes nor pictures: the files may as well be gone."""
    drawn = filled(store, rng, shards=3)
    for path in [*store.root.glob("hyps/*/*.parquet"), *store.root.glob("groups/*/*.parquet")]:
        path.unlink()
    assert store.lacking("round0", CRITIC) == ["0", "1", "2"]
    for shard in "01":
        store.write_verdicts("round0", CRITIC, "r", shard, [make_verdict(group) for group in drawn[shard]])
        assert store.unjudged("round0", CRITIC, shard) == []
    assert store.lacking("round0", CRITIC) == ["2"]
    assert store.verdict_summary("round0", CRITIC)[:2] == (6, 24)
    for shard in "01":
        store.add_verdicts("round0", CRITIC, "r2", shard, [make_verdict(group) for group in drawn[shard]])
        assert store.unjudged("round0", CRITIC, shard) == []
    assert store.lacking("round0", CRITIC) == ["2"]
    with pytest.raises(StoreError, match=r"2\.parquet: lost"):
        store.unjudged("round0", CRITIC, "2")


def test_names_and_sizes_of_groups_come_from_two_columns(store, rng):
    """A damaged picture beside them is not looked at; damaged names are an error."""
    groups = filled(store, rng, shards=1, groups=2)["0"]
    path = store.root / "groups/gen=round0/0.parquet"
    whole = path.read_bytes()
    picture = whole.index(groups[0].person.picture.tobytes()[:64])
    path.write_bytes(whole[:picture] + b"\0" * 64 + whole[picture + 64 :])
    assert store.hypotheses_of("round0", "0") == {group.person.group_id: 4 for group in groups}
    with pytest.raises(StoreError, match="changed or cut short"):
        store.read_groups("round0", "0")


def test_one_group_of_many(store, rng):
    """The fourth begins in one row group and ends in another."""
    groups = [make_group(rng, size) for size in (1, 700, 3, 900, 2)]
    store.write_groups("round0", "0", groups)
    assert pq.ParquetFile(store.root / "hyps/gen=round0/0.parquet").num_row_groups == 4
    for group in groups:
        assert same(store.read_group("round0", "0", group.person.group_id), group)
    with pytest.raises(StoreError, match="shard '0' has no group 'nobody'"):
        store.read_group("round0", "0", "nobody")


def test_one_group_of_a_damaged_file_is_right_or_an_error(store, rng):
    groups = [make_group(rng, size) for size in (1000, 800)]
    store.write_groups("round0", "0", groups)
    path = store.root / "hyps/gen=round0/0.parquet"
    whole, errors = path.read_bytes(), 0
    for place in [0, 3, *rng.integers(0, len(whole), 12), *range(len(whole) - 12, len(whole))]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            assert same(store.read_group("round0", "0", groups[0].person.group_id), groups[0])
        except StoreError:
            errors += 1
    assert errors >= 14  # those at both ends, at the least


def test_contents_of_equal_records_are_those_of_older_versions():
    """So that what was written then is known to be there: first as 0.1 computed them, then as since."""
    rng = np.random.default_rng(11)
    groups = [make_group(rng, size) for size in (3, 1, 20)]
    looked = np.float32(rng.normal(size=(33, 7)))
    groups[1] = replace(groups[1], person=replace(groups[1].person, second_look=looked))
    replies = (make_reply("a"), make_reply("", tries=3, order=(2, 0, 1)))
    verdicts = [
        make_verdict(groups[0], [100, np.nan, 37.25], comments=('ü"\\', "\n", "🙂"), replies=replies),
        make_verdict(groups[1], [5.5], uncertainty=np.array([0.5]), rules=("r1", "r2"), cost=0.5),
        make_verdict(groups[2], seconds=9.0),
    ]
    assert earlier_content_digest(rows_of_people([group.person for group in groups])).startswith("9ff30ab2f6291b74")
    assert earlier_content_digest(rows_of_groups(groups)).startswith("0acb5125a0be8c7b")
    assert earlier_content_digest(rows_of_verdicts(verdicts)).startswith("e5fb98b59f187039")
    assert earlier_content_digest(rows_of_groups([])).startswith("f6f232f67ff926da")
    assert earlier_content_digest(rows_of_verdicts([])).startswith("ed829ef26b8b0ce8")
    assert content_digest(rows_of_people([group.person for group in groups])).startswith("2:1fef2fbab49bed23")
    assert content_digest(rows_of_groups(groups)).startswith("2:4025ec1a756beff9")
    assert content_digest(rows_of_verdicts(verdicts)).startswith("2:d1002dbcf90896c2")
    assert content_digest(rows_of_groups([])).startswith("2:cfb1d81b7d321a4b")

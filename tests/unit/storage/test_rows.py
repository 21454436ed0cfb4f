import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, given, settings

from storage.records import STATUSES, Group, Person, Reply, Verdict
from storage.rows import (
    content_digest,
    groups_of_rows,
    people_of_rows,
    rows_of_groups,
    rows_of_people,
    rows_of_verdicts,
    verdicts_of_rows,
)
from storage.schema import TABLES, decode, encode
from tests.factories import same

words = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.floats(allow_nan=False)  # NaN may stand in arrays and scores
whole = st.integers(0, 2**31 - 1)


def floats(*shape):
    """float32 arrays with any values, NaN, infinities and negative zero among them; mostly one fill value."""
    return arrays.arrays(np.float32, shape, elements=st.floats(width=32), fill=st.just(np.float32(0.5)))


def pictures(*shape):
    return arrays.arrays(np.uint8, shape, elements=st.integers(0, 255), fill=st.just(7))


people = st.builds(
    Person,
    **{name: words for name in ("group_id", "photo", "photo_sha256")},
    **{name: whole for name in ("width", "height")},
    box=floats(4),
    detection=numbers,
    crop=floats(3),
    camera=floats(4),
    landmarks=floats(33, 4),
    world_landmarks=floats(33, 3),
    mask=pictures(64, 64),
    picture=pictures(128, 128, 3),
)


def groups_of_size(size):
    return st.builds(
        Group,
        person=people,
        model_digest=words,
        temperature=numbers,
        betas=floats(10),
        seeds=arrays.arrays(np.int64, size),
        zero_start=arrays.arrays(np.bool_, size),
        synthetic=arrays.arrays(np.bool_, size),
        latents=floats(size, 133),
        pose=floats(size, 24, 3),
        translation=floats(size, 3),
        joints=floats(size, 29, 3),
        keypoints=floats(size, 23, 3),
    )


groups = st.integers(1, 5).flatmap(groups_of_size)
replies = st.builds(
    Reply,
    words,
    words,
    words,
    words,
    prompt_tokens=whole,
    completion_tokens=whole,
    seconds=numbers,
    tries=whole,
    order=st.lists(st.integers(0, 99), max_size=5).map(tuple),
)


@st.composite
def verdict_fields(draw):
    statuses = draw(st.lists(st.sampled_from(STATUSES), min_size=1, max_size=5))
    scores = [draw(st.floats(0, 100)) if status == "ok" else np.nan for status in statuses]
    return dict(
        group_id=draw(words),
        critic="any@1",
        scores=np.array(scores, np.float64),
        statuses=tuple(statuses),
        comments=tuple(draw(words) for _ in statuses),
        seconds=draw(numbers),
        cost=draw(numbers),
        replies=tuple(draw(st.lists(replies, max_size=2))),
        uncertainty=None if np.isnan(scores).all() or draw(st.booleans()) else np.array(scores, np.float64) / 7,
    )


def through_files(tables):
    return {name: decode(encode(table).content, TABLES[name], name) for name, table in tables.items()}


def lists(records, key):
    return st.lists(records, max_size=3, unique_by=key)


@settings(max_examples=25, deadline=None)
@given(lists(people, lambda person: person.group_id))
def test_people_come_back(written):
    tables = rows_of_people(written)
    read = through_files(tables)
    assert same(people_of_rows(**read), written)
    assert content_digest(read) == content_digest(tables)


# Groups are large, and Hypothesis throws away drafts that are too large for it: by chance many in a row.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(lists(groups, lambda group: group.person.group_id))
def test_groups_come_back(written):
    tables = rows_of_groups(written)
    read = through_files(tables)
    assert same(groups_of_rows(**read), written)
    assert content_digest(read) == content_digest(tables)


@settings(max_examples=100, deadline=None)
@given(lists(verdict_fields(), lambda fields: fields["group_id"]))
def test_verdicts_come_back(drawn):
    written = [Verdict(**fields) for fields in drawn]
    tables = rows_of_verdicts(written)
    read = through_files(tables)
    assert same(verdicts_of_rows(**read, critic="any@1"), written)
    assert content_digest(read) == content_digest(tables)
    assert all((row["score"] is None) == (row["status"] != "ok") for row in read["scores"].to_pylist())

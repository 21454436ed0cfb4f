"""The parser of critics' answers: golden readings and laws."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.vlm.reply import COMMENT_LIMIT, ReplyError, parse_reply, picture_place, plain_text

TWO = '{"image_2": {"score": 88, "comment": "good"}, "image_3": {"score": 41, "comment": "bent"}}'


def read(text: str, size: int = 2) -> tuple[list[float | None], tuple[str, ...]]:
    """Scores (None for NaN) and statuses."""
    parsed = parse_reply(text, size)
    return [None if math.isnan(score) else score for score in parsed.scores], parsed.statuses


def test_the_contract():
    parsed = parse_reply(TWO, 2)
    assert parsed.scores.tolist() == [88, 41]
    assert parsed.statuses == ("ok", "ok")
    assert parsed.comments == ("good", "bent")
    assert parsed.ignored == 0


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{TWO}\n```",
        f"Here you are: {TWO} I hope {{that}} helps.",
        f'As in {{"image_2": {{"score": 1}}}}, but mine:\n{TWO}',
        f'<think>{{"image_2": {{"score": 3, "comment": "mayb</think>{TWO}',
        TWO + '\n{"note": "done"}',
        f"[{TWO}]",
        TWO.replace("image_", "image."),
        TWO.replace("image_", "Image "),
        TWO.replace("image_", " IMAGE-"),
        TWO.replace("image_", "image"),
        TWO.replace("score", "Score").replace("comment", "COMMENT"),
        TWO.replace("88", '"88"').replace("41", '" 41.0 "'),
        TWO + " " * 5000,
        "\ufeff" + TWO,
        TWO[:-1] + ",}",
        TWO.replace('"}', '",}'),
        TWO.replace('"', "'"),
        TWO.replace('"', "'").replace("'good'", "'it\\'s good'"),
        TWO.replace("88", '"88/100"').replace("41", '"41 / 100"'),
        TWO.replace("88", '"8.8/10"').replace("41", '"41%"'),
        TWO.replace("88", '"88 out of 100"').replace("41", '"2.05/5"'),
        TWO.replace('"image_2"', "image_2").replace('"score"', "score"),
        f"perhaps {TWO.replace('88', '3')} no</think>\n{TWO}",
        f"<think>{TWO.replace('88', '3')}</think>{TWO}",
        "[88, 41]",
        '{"scores": [88, 41]}',
        '{"image_2": 88, "image_3": "41"}',
        '{"2": {"score": 88}, "3": {"score": 41}}',
        f'{{"judgement": {TWO}}}',
        '[{"image": "image_2", "score": 88, "comment": "a"}, {"image": "image_3", "score": 41, "comment": "b"}]',
        '[{"image": "image_3", "score": 41}, {"image": "image_2", "score": 88},]',
        '[{"image_2": {"score": 88}}, {"image_3": {"score": 41}}]',
        '[{"score": 88, "comment": "first"}, {"score": 41, "comment": "second"}]',
        json.dumps(TWO),
    ],
)
def test_spellings_and_wrappings(text):
    assert read(text) == ([88, 41], ("ok", "ok"))


@pytest.mark.parametrize(
    "score",
    ["101", "-0.5", "NaN", "Infinity", "1e999", "9" * 400, "true", '"nan"', '"60 of 80"', '"150/100"', '"1_0"', "[9]"],
)
def test_an_unusable_score_is_unjudged_never_zero(score):
    assert read(TWO.replace("41", score)) == ([88, None], ("ok", "schema"))


def test_other_shapes_of_an_item():
    assert read('{"image_2": 88, "image_3": {"comment": "no score"}}') == ([88, None], ("ok", "schema"))
    parsed = parse_reply('{"image_2": {"score": 0}, "image_3": {"score": 100, "comment": ["x"]}}', 2)
    assert parsed.scores.tolist() == [0, 100]
    assert parsed.comments == ("", "")


def test_missing_and_extra_pictures():
    text = '{"image_1": {"score": 99}, "image_3": {"score": 41}, "image_9": {"score": 1}, "overall": "fine"}'
    parsed = parse_reply(text, 2)
    assert parsed.statuses == ("missing_item", "ok")
    assert parsed.ignored == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I'm sorry, I cannot do that.",
        TWO[:-1],
        '{"image_1": {"score": 90}}',
        '{"image_9": {"score": 90}}',
        "[88, 41, 7]",  # of which pictures?
        '[{"score": 88}]',
        '{"1": {"score": 88}, "2": {"score": 41}}',  # counted from the photograph, or not?
        f"<think>{TWO}",
        '[{"image": "image_2", "score": 1}, {"image": "image_2", "score": 2}]',
        '{"image_2": {"score": 1}, "image_2": {"score": 2}}',
        '{"image_2": {"score": 1}, "image.2": {"score": 2}}',
        '{"image_2": {"score": 1, "score": 2}}',
        '{"image_2": {"score": 1, "Score": 2}}',
        '{"image_1": {"score": 1}, "image_2": {"score": 2}}',
        '{"image_3": {"score": 1}, "image_4": {"score": 2}}',
        '{"a":' * 30_000,
        "{" * 100_000,
    ],
)
def test_no_judgement(text):
    with pytest.raises(ReplyError):
        parse_reply(text, 2)


def test_comments_are_tamed():
    hostile = "nice\x1b[31m\u202e\n\n" + "x" * 10_000
    parsed = parse_reply(json.dumps({"image_2": {"score": 5, "comment": hostile}}), 1)
    (comment,) = parsed.comments
    assert comment.startswith("nice [31m x") and len(comment) == COMMENT_LIMIT


@given(st.text(), st.integers(1, 400))
def test_plain_text_is_short_and_printable(text, limit):
    plain = plain_text(text, limit)
    assert len(plain) <= limit and plain.isprintable() and plain == plain_text(plain, limit)


@given(st.text(max_size=400), st.integers(1, 5))
def test_any_text_is_read_or_refused(text, size):
    try:
        parsed = parse_reply(text, size)
    except ReplyError:
        return
    assert parsed.scores.shape == (size,)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([f"image_{k}" for k in range(8)]), json_values, max_size=6))
def test_a_score_goes_with_ok_alone(items):
    """Whatever stands behind the keys, a status is `ok` exactly where there is a score of 0-100."""
    try:
        parsed = parse_reply(json.dumps(items), 4)
    except ReplyError:
        judged = {f"image_{place}" for place in range(2, 6)} & set(items)
        below = {"image_0", "image_1"} & set(items) and "image_5" not in items
        above = "image_6" in items and "image_2" not in items
        assert not judged or below or above
        return
    for score, status in zip(parsed.scores, parsed.statuses):
        assert (status == "ok") == (0 <= score <= 100) and (status == "ok") != math.isnan(score)


prose = st.text(st.characters(exclude_characters="{}", codec="utf-8"), max_size=60)
judgements = st.lists(st.tuples(st.integers(0, 100), st.text(max_size=30)), min_size=1, max_size=20)


@given(judgements, prose, prose, st.sampled_from(["image_", "Image.", "IMAGE ", "image"]), st.randoms())
def test_order_wrapping_and_spelling_are_free(marks, before, after, word, random):
    items = [(f"{word}{k + 2}", {"score": score, "comment": text}) for k, (score, text) in enumerate(marks)]
    random.shuffle(items)
    parsed = parse_reply(f"{before}{json.dumps(dict(items))}{after}", len(marks))
    assert np.array_equal(parsed.scores, [score for score, _ in marks])
    assert parsed.comments == tuple(plain_text(text, COMMENT_LIMIT) for _, text in marks)


@given(st.integers(0, 9999), st.sampled_from(["image_%d", "IMAGE.%d", " Image-%d ", "image%d", "image_0%d"]))
def test_labels(place, spelling):
    assert picture_place(spelling % place) == place


@pytest.mark.parametrize("label", ["", "image", "photo_2", "image_2b", "image_-2.5", "image_two", "2"])
def test_no_label(label):
    assert picture_place(label) is None

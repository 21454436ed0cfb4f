"""What a remote critic is shown: order, labels, pictures, memory."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from critique.endpoint.loopback import pictures
from critique.memory.memory import Prototype, Recalled, Rule
from critique.vlm.contact_sheet import grid_of
from critique.vlm.picture_encoder import Packing, PictureEncoder
from critique.vlm.prompt import encode, memory_parts, on_sheets, repair_messages, reply_schema, task_text
from critique.vlm.prompt import first_message as message_of
from critique.vlm.reply import ReplyError
from storage.records import DrawnGroup
from tests.factories import make_group

PNG = PictureEncoder(encoding="png")
RECALLED = Recalled(
    rules=(Rule(id="r1", text="When a knee bends backwards, take 10 off."),),
    prototypes=(
        Prototype(id="p1", rationale="Score 34: turned around.", picture=b"png", embedding=(1.0,)),
        Prototype(id="p2", rationale="Score 90: all limbs fit.", embedding=(1.0,)),
    ),
    pictures=(np.full((5, 5, 3), 200, np.uint8), None),
)


def drawn(size: int = 3) -> DrawnGroup:
    """The photograph is 7 everywhere, overlay k is 10 k + 10, its side view 10 k + 15."""
    return DrawnGroup(
        make_group(np.random.default_rng(0), size),
        np.zeros((size, 64, 64), np.uint8),
        np.zeros(size, np.float32),
        np.full((12, 20, 3), 7, np.uint8),
        tuple(np.full((12, 20, 3), 10 * k + 10, np.uint8) for k in range(size)),
        tuple(np.full((12, 8, 3), 10 * k + 15, np.uint8) for k in range(size)),
    )


def shown(message: dict) -> list[str | int]:
    """The message's parts: first line of a text, grey level of a picture's upper left corner."""
    grey = iter(int(picture[0, 0, 0]) for picture in pictures({"messages": [message]}))
    return [part["text"].splitlines()[0] if part["type"] == "text" else next(grey) for part in message["content"]]


def first_message(group, order, recalled, picture_part, views="front", prompt_order="memory_first"):
    """From drawn group and recalled memory to the message."""
    pictures = encode(group, views, picture_part)
    return message_of(pictures, order, memory_parts(recalled, picture_part), views, prompt_order)


TASK = task_text(3, "front").splitlines()[0]
PICTURES = ["image_1", 7, "image_2", 30, "image_3", 10, "image_4", 20]
MEMORY_HEAD = "MEMORY CONTEXT."


def test_task_then_photograph_then_overlays_in_the_order_given():
    message = first_message(drawn(), [2, 0, 1], Recalled(), PNG)
    assert message["role"] == "user"
    assert shown(message) == [TASK, *PICTURES]


def test_memory_may_follow_the_pictures_as_printed_in_the_paper():
    parts = shown(first_message(drawn(), [2, 0, 1], RECALLED, PNG, prompt_order="paper"))
    assert parts[:9] == [TASK, *PICTURES]
    assert parts[9].startswith(MEMORY_HEAD)
    assert parts[10:] == ["```", 200, "```"]


def test_memory_goes_first():
    parts = shown(first_message(drawn(), [2, 0, 1], RECALLED, PNG))
    assert parts[0] == TASK and parts[1].startswith(MEMORY_HEAD) and parts[5:] == PICTURES


def test_memory_is_fenced_data():
    message = first_message(drawn(), [0, 1, 2], RECALLED, PNG)
    texts = "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
    assert "```\nRULES\n- When a knee bends backwards, take 10 off.\n```" in texts
    assert "```\nPROTOTYPE EXAMPLE 2\nScore 90: all limbs fit.\n```" in texts


def test_the_task_says_what_the_contract_wants():
    task = task_text(20, "front")
    for said in ("image_1 is a photograph", "no score", "image_2 to image_21", "0", "100", "comment", "JSON"):
        assert said in task
    assert "side" not in task and "side" in task_text(20, "front+side")


def test_side_views_stand_beside_their_overlay_in_one_picture():
    message = first_message(drawn(2), [1, 0], Recalled(), PNG, views="front+side")
    photograph, first, second = pictures({"messages": [message]})
    assert photograph.shape == (12, 20, 3)
    assert first.shape == second.shape == (12, 28, 3)
    assert first[0, [0, 19, 20, 27], 0].tolist() == [20, 20, 25, 25]


@pytest.mark.parametrize(("encoding", "format"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_pictures_are_shrunk_to_the_long_side_and_never_grown(encoding, format):
    encoder = PictureEncoder(long_side=64, encoding=encoding, detail="low")
    for shape, size in (((300, 100, 3), (21, 64)), ((10, 30, 3), (30, 10))):
        part = encoder(np.full(shape, 90, np.uint8))
        head, data = part["image_url"]["url"].split(",")
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert head == f"data:image/{encoding};base64"
        assert (picture.format, picture.size) == (format, size)
        assert part["image_url"]["detail"] == "low"


def test_detail_is_sent_only_if_asked_for():
    assert set(PNG(np.zeros((4, 4, 3), np.uint8))["image_url"]) == {"url"}


@pytest.mark.parametrize("encoding", ["jpeg", "png", "webp"])
def test_no_picture_has_more_bytes_than_the_bound(encoding):
    noise = np.random.default_rng(0).integers(0, 256, (200, 120, 3), dtype=np.uint8)
    free, bound = PictureEncoder(encoding=encoding), PictureEncoder(encoding=encoding, most_bytes=4096)
    assert len(free.file(noise)) > 4096 >= len(bound.file(noise)) > 1500  # it is not made smaller than it need be
    assert bound.file(noise) == bound.file(noise)
    plain = np.full((200, 120, 3), 90, np.uint8)
    assert bound.file(plain) == free.file(plain)  # what fits stays as it is
    with pytest.raises(ValueError, match="raise max_picture_bytes"):
        PictureEncoder(encoding=encoding, most_bytes=10).file(plain)


def test_what_is_packed_is_sent_as_if_it_were_encoded_later():
    jpeg = PictureEncoder(long_side=64)
    packed = Packing(jpeg, "front+side")(drawn())
    assert packed.photograph is None and not packed.overlays and not packed.sides and len(packed.packed) == 4
    assert encode(packed, "front+side", jpeg) == encode(drawn(), "front+side", jpeg)


def test_a_contact_sheet_shows_the_overlays_in_order_with_their_numbers():
    sheets = on_sheets(drawn(), "front", PNG)
    message = message_of(sheets, [2, 0, 1], [])
    assert [part.get("text", "").splitlines()[:1] for part in message["content"][1:]] == [
        ["image_1"], [], ["image_2 to image_4"], []
    ]  # fmt: skip
    assert "contact sheet" in message["content"][0]["text"] and "image_2 to image_4;" in message["content"][0]["text"]
    sheet = pictures({"messages": [message]})[1]
    grid = grid_of(3, 12, 20, 1024)
    assert (grid.rows, grid.columns, grid.height, grid.width) == (2, 2, 12, 20) and sheet.shape == (*grid.size, 3)
    for place, grey in enumerate((30, 10, 20)):  # the lower right corner of each tile, far from its number
        y, x = grid.corner(place)
        assert (sheet[y + 11, x + 19] == grey).all() and (sheet[y, x] == 255).all()


@given(st.integers(1, 40), st.integers(8, 600), st.integers(8, 600), st.integers(256, 2048))
def test_a_grid_has_room_for_all_and_keeps_to_its_long_side(count, height, width, long_side):
    grid = grid_of(count, height, width, long_side)
    assert grid.rows * grid.columns >= count > (grid.rows - 1) * grid.columns
    assert max(grid.size) <= long_side and 1 <= grid.height <= height and 1 <= grid.width <= width


def test_missing_pictures_are_named():
    group = drawn()
    bare = DrawnGroup(group.group, group.silhouettes, group.penetration)
    with pytest.raises(ValueError, match=r"of 3 hypotheses has 0 overlays, 0 side views and no photograph"):
        first_message(bare, [0, 1, 2], Recalled(), PNG)
    without_sides = DrawnGroup(group.group, group.silhouettes, group.penetration, group.photograph, group.overlays)
    with pytest.raises(ValueError, match="0 side views"):
        first_message(without_sides, [0, 1, 2], Recalled(), PNG, views="front+side")


def test_a_repair_quotes_the_answer_and_its_fault():
    said, asked = repair_messages('{"image_2"', ReplyError("there is no object"), 4)
    assert said == {"role": "assistant", "content": '{"image_2"'}
    assert "there is no object" in asked["content"] and '"image_2" to "image_5"' in asked["content"]
    assert [message["role"] for message in repair_messages(" ", ReplyError("empty"), 4)] == ["user"]


def test_the_schema_is_plain():
    schema = reply_schema(2)["json_schema"]["schema"]
    assert schema["required"] == ["image_2", "image_3"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["image_2"]["properties"]["score"] == {"type": "integer"}

"""The remote critic over real HTTP: every outcome, every limit; neither key nor picture goes astray."""

import asyncio
import io
import json
import logging
import pickle
import socket
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from pydantic import ValidationError

from critique.endpoint.loopback import (
    Call,
    LoopbackVlm,
    ScriptedAnswer,
    bad_json,
    dropped,
    error,
    fenced,
    filtered,
    from_pixels,
    good,
    missing,
    no_choices,
    refusal,
    says,
    slow,
    truncated,
)
from critique.memory.memory import Memory
from critique.memory.rules import Rule
from critique.vlm.vlm_critic import VlmConfigError, VlmCritic, VlmSettings, name_of
from storage.records import DrawnGroup, Verdict
from tests.factories import make_group, make_person

KEY = "sk-a-secret-of-32-characters-0001"
PLAIN = {"shuffle": False, "encoding": "png", "second_chances": 0}  # the hypotheses' order, exact pixels, asked once


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def drawn(size: int = 4, seed: int = 0) -> DrawnGroup:
    """A dark photograph; overlay k whitens 10 (k + 1) of its rows, so that a lower k is more like it."""
    photograph = np.zeros((100, 60, 3), np.uint8)
    overlays = []
    for k in range(size):
        overlay = photograph.copy()
        overlay[: 10 * (k + 1)] = 255
        overlays.append(overlay)
    rng = np.random.default_rng(seed)
    return DrawnGroup(
        make_group(rng, size, make_person(rng, photo="/home/anna/secret-name.jpg")),
        np.zeros((size, 64, 64), np.uint8),
        np.zeros(size, np.float32),
        photograph,
        tuple(overlays),
        tuple(np.full((100, 20, 3), 50, np.uint8) for _ in range(size)),
    )


def settings(server: LoopbackVlm, **given) -> VlmSettings:
    return VlmSettings(base_url=server.base_url, model="loopback", **(PLAIN | given))


def judge(script, group: DrawnGroup | None = None, **given) -> tuple[Verdict, LoopbackVlm]:
    with LoopbackVlm(script) as server:
        return VlmCritic(settings(server, **given)).judge(group or drawn()), server


# Good answers.


def test_a_good_answer():
    verdict, server = judge([good([90, 41, 7, 0])], prompt_price=2.0, completion_price=10.0)
    assert verdict.scores.tolist() == [90, 41, 7, 0]
    assert set(verdict.statuses) == {"ok"}
    assert verdict.comments[1] == "picture 3"
    assert verdict.cost == pytest.approx((1000 * 2 + 200 * 10) / 1e6)
    assert verdict.seconds > 0 and len(server.calls) == 1
    (reply,) = verdict.replies
    assert json.loads(reply.text)["image_3"]["score"] == 41  # as it came
    assert (reply.status, reply.finish_reason, reply.model, reply.tries) == ("ok", "stop", "loopback", 1)
    assert (reply.prompt_tokens, reply.completion_tokens) == (1000, 200)


def test_what_is_sent():
    group = drawn(20)
    _, server = judge([good()], group, detail="high", max_tokens=777)
    (call,) = server.calls
    assert call.path == "/v1/chat/completions"
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert call.body["model"] == "loopback"
    assert (call.body["temperature"], call.body["max_tokens"]) == (0, 777)
    assert call.body["response_format"]["json_schema"]["schema"]["required"][-1] == "image_21"
    labels = [part["text"] for part in call.parts if part.get("text", "").startswith("image_")]
    assert labels == [f"image_{place}" for place in range(1, 22)]
    assert len(call.pictures) == 21
    assert np.array_equal(call.pictures[0], group.photograph)
    assert all(np.array_equal(sent, overlay) for sent, overlay in zip(call.pictures[1:], group.overlays))
    assert "secret-name" not in json.dumps(call.body)
    assert group.group.person.group_id not in json.dumps(call.body)


def test_newer_models_take_another_limit_and_no_temperature():
    _, server = judge([good()], token_limit_field="max_completion_tokens", temperature=None)
    body = server.calls[0].body
    assert body["max_completion_tokens"] == 4096 and not {"max_tokens", "temperature"} & set(body)


def test_side_views_go_into_the_same_pictures():
    _, server = judge([good()], views="front+side")
    assert [picture.shape[1] for picture in server.calls[0].pictures] == [60, 80, 80, 80, 80]


def test_shuffled_pictures_are_mapped_back():
    """The server judges by pixels alone: scores come out in the hypotheses' order only if mapped rightly."""
    group = drawn(9)
    with LoopbackVlm([from_pixels()]) as server:
        critic = VlmCritic(settings(server, shuffle=True))
        verdict = critic.judge(group)
        again = critic.judge(group)
        other = VlmCritic(settings(server, shuffle=True, seed=1)).judge(group)
    (order,) = critic.presentations(verdict.group_id, 9)
    assert sorted(order) == list(range(9)) != list(order)
    assert verdict.replies[0].order == order
    shown = [picture.mean() for picture in server.calls[0].pictures[1:]]
    assert shown == [group.overlays[index].mean() for index in order]
    assert verdict.scores == pytest.approx([100 - 10 * (k + 1) for k in range(9)], abs=0.1)
    assert verdict.comments[order[0]] == "picture 2"
    assert np.array_equal(verdict.scores, again.scores) and np.array_equal(verdict.scores, other.scores)
    assert server.calls[0].body == server.calls[1].body != server.calls[2].body


def test_scores_from_a_contact_sheet_are_mapped_back():
    group = drawn(9)
    with LoopbackVlm([from_pixels()]) as server:
        critic = VlmCritic(settings(server, shuffle=True, layout="sheet"))
        verdict = critic.judge(group)
    assert len(server.calls[0].pictures) == 2 and critic.name != VlmCritic(settings(server), ready=False).name
    assert (np.diff(verdict.scores) < 0).all()  # their own order; the numbers on the tiles cost a few points
    assert critic.about()["settings"]["layout"] == "sheet"


def test_a_critic_without_later_settings_keeps_its_version():
    plain = {"model": "m", "long_side": 1024, "encoding": "jpeg"}
    assert name_of(VlmSettings(**plain), Memory()) == "vlm-m@b207942e"  # of prompt version 3
    assert name_of(VlmSettings(**plain, max_picture_bytes=9000), Memory()) != "vlm-m@b207942e"


def test_statuses_are_mapped_back_too():
    group = drawn(5)
    with LoopbackVlm([missing(2)]) as server:
        critic = VlmCritic(settings(server, shuffle=True))
        verdict = critic.judge(group)
    first = critic.presentations(verdict.group_id, 5)[0][0]
    assert [index for index, status in enumerate(verdict.statuses) if status != "ok"] == [first]


@pytest.mark.parametrize(
    "step",
    [
        fenced(),
        good(["90", "80.0", " 70 ", "60"]),
        lambda body: says(json.dumps({f"image.{k + 2}": {"score": 90 - 10 * k} for k in range(4)}))(body),
    ],
)
def test_spellings_pass_without_a_second_call(step):
    verdict, server = judge([step])
    assert verdict.scores.tolist() == [90, 80, 70, 60] and len(server.calls) == 1


def test_missing_pictures_and_bad_scores_are_unjudged_one_by_one():
    verdict, server = judge([missing(3, 5)])
    assert len(server.calls) == 2  # what lacks is asked for once
    assert "no score from 0 to 100 for image_3, image_5" in server.calls[1].body["messages"][-1]["content"]
    assert verdict.statuses == ("ok", "missing_item", "ok", "missing_item")
    assert np.isnan(verdict.scores).tolist() == [False, True, False, True]
    verdict, server = judge([good([50, 101, "much", float("nan")])])
    assert verdict.statuses == ("ok", "schema", "schema", "schema")
    assert len(server.calls) == 2


# Answers that are mended.


def test_bad_json_is_repaired_with_the_fault_quoted():
    verdict, server = judge([bad_json(), good()])
    assert set(verdict.statuses) == {"ok"}
    assert [reply.status for reply in verdict.replies] == ["bad_json", "ok"]
    first, said, asked = server.calls[1].body["messages"]
    assert first == server.calls[0].body["messages"][0]
    assert said == {"role": "assistant", "content": verdict.replies[0].text}
    assert "no complete JSON object" in asked["content"]


def test_bad_json_thrice_is_an_abstention_with_all_replies_kept():
    verdict, server = judge([bad_json()], prompt_price=1.0)
    assert set(verdict.statuses) == {"bad_json"} and np.isnan(verdict.scores).all()
    assert len(server.calls) == len(verdict.replies) == 3
    assert verdict.cost == pytest.approx(3 * 1000 / 1e6)
    assert len(server.calls[2].body["messages"]) == 3  # the last fault alone is quoted


def test_no_usable_score_at_all_is_repaired_then_schema():
    verdict, server = judge([good([True, "a", None, -1])])
    assert verdict.statuses == ("schema",) * 4 and len(server.calls) == 3


def test_truncated_once_gets_a_doubled_cap():
    verdict, server = judge([truncated(), good()], max_tokens=100)
    assert set(verdict.statuses) == {"ok"}
    assert [call.body["max_tokens"] for call in server.calls] == [100, 200]
    assert [reply.status for reply in verdict.replies] == ["truncated", "ok"]


def test_truncated_twice_is_an_abstention():
    verdict, server = judge([truncated()], max_tokens=100)
    assert set(verdict.statuses) == {"truncated"} and len(server.calls) == 2
    assert "200 tokens" in verdict.comments[0]


def test_a_whole_answer_cut_in_its_trailing_white_space_counts():
    whole = json.dumps({f"image_{k}": {"score": 10 * k} for k in range(2, 6)})
    verdict, server = judge([says(whole + "\n" * 500, finish="length")])
    assert verdict.scores.tolist() == [20, 30, 40, 50] and len(server.calls) == 1


def refuses_schema(number: int, body: dict) -> ScriptedAnswer:
    return (error(400, "no response_format") if "response_format" in body else good())(body)


def test_a_server_without_json_schema_is_asked_without_it_from_then_on():
    with LoopbackVlm(refuses_schema) as server:
        critic = VlmCritic(settings(server))
        verdicts = [critic.judge(drawn()) for _ in range(2)]
    assert all(set(verdict.statuses) == {"ok"} for verdict in verdicts)
    assert ["response_format" in call.body for call in server.calls] == [True, False, False]
    assert verdicts[0].replies[0].tries == 2


def test_a_400_for_another_reason_leaves_the_schema_on():
    with LoopbackVlm([error(400, "cannot decode it"), error(400, "cannot decode it"), good()]) as server:
        critic = VlmCritic(settings(server))
        verdicts = [critic.judge(drawn()) for _ in range(2)]
    assert set(verdicts[0].statuses) == {"server_error"} and "cannot decode it" in verdicts[0].comments[0]
    assert set(verdicts[1].statuses) == {"ok"}
    assert ["response_format" in call.body for call in server.calls] == [True, False, True]


def test_what_a_request_beside_it_learns_is_not_laid_to_another_option():
    """The first request is still refused while a second one finds out what the server does not know."""

    def picky(number: int, body: dict) -> ScriptedAnswer:
        if number == 0:
            critic.judge(drawn(4, 9))
        return (error(400, "unknown field") if "response_format" in body else good())(body)

    with LoopbackVlm(picky) as server:
        critic = VlmCritic(settings(server, expected_scores=True))
        for seed in range(2):
            assert set(critic.judge(drawn(4, seed)).statuses) == {"ok"}
    assert "logprobs" in server.calls[-1].body and "response_format" not in server.calls[-1].body


@pytest.mark.parametrize("unknown", [{"logprobs"}, {"response_format"}, {"logprobs", "response_format"}])
@pytest.mark.parametrize("status", [400, 422])
def test_what_a_server_does_not_know_is_left_out_from_then_on(unknown, status, caplog):
    def picky(number: int, body: dict) -> ScriptedAnswer:
        return (error(status, "unknown field") if unknown & set(body) else good())(body)

    with LoopbackVlm(picky) as server:
        critic = VlmCritic(settings(server, expected_scores=True))
        verdicts = asyncio.run(critic.judge_many([drawn(4, seed) for seed in range(3)]))
        asked = len(server.calls)
        verdicts.append(critic.judge(drawn(4, 9)))
    assert all(set(verdict.statuses) == {"ok"} for verdict in verdicts)
    assert len(server.calls) == asked + 1
    known = {"logprobs", "top_logprobs", "response_format"} & set(server.calls[-1].body)
    assert known == {"logprobs": {"logprobs", "top_logprobs"}, "response_format": {"response_format"}}.get(
        "".join({"logprobs", "response_format"} - unknown), set()
    )
    assert [sum(f"takes no `{option}`" in message for message in caplog.messages) for option in sorted(unknown)] == (
        [1] * len(unknown)
    )


@pytest.mark.parametrize("passing", [error(429, retry_after=0.2), error(500), error(503), dropped()])
def test_faults_that_pass_are_retried(passing):
    verdict, server = judge([passing, good()])
    assert set(verdict.statuses) == {"ok"} and verdict.replies[0].tries == 2
    assert len(server.calls) == 2


def test_retry_after_is_obeyed():
    _, server = judge([error(429, retry_after=0.4), good()])
    assert server.calls[1].started - server.calls[0].ended >= 0.4


# Answers that fail.


@pytest.mark.parametrize(
    ("step", "status", "said", "tries"),
    [
        (refusal(), "refused", "I cannot judge people", 1),
        (filtered(), "filtered", "content filter", 1),
        (error(400, "held back", code="content_filter"), "filtered", "held back", 1),
        (error(403, "flagged"), "refused", "HTTP 403: ", 1),
        (no_choices(), "server_error", "no choice", 1),
        (lambda _: ScriptedAnswer(b"<html>gateway</html>"), "server_error", "not a chat completion", 1),
        (lambda _: ScriptedAnswer({"choices": [{"message": 3}]}), "server_error", "not a chat completion", 1),
        (error(429), "rate_limited", "HTTP 429: ", 3),
        (error(500), "server_error", "HTTP 500: ", 3),
        (dropped(), "server_error", "connection lost", 3),
    ],
)
def test_a_failure_is_an_abstention_that_says_what_happened(step, status, said, tries):
    verdict, server = judge([step])
    assert set(verdict.statuses) == {status} and np.isnan(verdict.scores).all()
    assert said in verdict.comments[0]
    assert len(server.calls) == tries == verdict.replies[-1].tries
    assert verdict.replies[-1].status == status


def test_silence_is_a_timeout():
    verdict, server = judge([slow(30, good())], read_seconds=0.2, retries=1)
    assert set(verdict.statuses) == {"timeout"} and "0.2 s" in verdict.comments[0]
    assert len(server.calls) == 2


def test_a_host_that_takes_no_connection_is_given_up_after_connect_seconds():
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # these fill the queue of those that wait to be let in
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        own = {"check_model": False, "connect_seconds": 0.2, "retries": 0, "second_chances": 0}
        verdict = VlmCritic(VlmSettings(base_url=address, model="m", **own)).judge(drawn())
    assert set(verdict.statuses) == {"timeout"} and "no connection within 0.2 s" in verdict.comments[0]


def test_the_deadline_ends_all_tries_together():
    verdict, _ = judge([slow(30, good())], deadline_seconds=0.5, retries=10)
    assert set(verdict.statuses) == {"timeout"} and verdict.replies[0].tries == 1
    assert "within 0.5 s" in verdict.comments[0]


def test_a_late_failure_keeps_the_earlier_replies():
    verdict, _ = judge([bad_json(), refusal()])
    assert [reply.status for reply in verdict.replies] == ["bad_json", "refused"]
    assert set(verdict.statuses) == {"refused"}


@pytest.mark.parametrize("code", [401, 402, 404])
def test_a_fault_of_the_set_up_stops_the_run(code):
    with pytest.raises(VlmConfigError, match=f"HTTP {code}: .*OPENAI_API_KEY"):
        judge([error(code)])


# Many groups.


def test_many_in_flight_are_bounded_and_keep_their_order():
    groups = [drawn(3, seed) for seed in range(12)]
    with LoopbackVlm([slow(0.05, good())]) as server:
        critic = VlmCritic(settings(server, max_in_flight=3))
        verdicts = asyncio.run(critic.judge_many(groups))
    assert [verdict.group_id for verdict in verdicts] == [group.group.person.group_id for group in groups]
    assert 2 <= server.peak <= 3 and len(server.calls) == 12


def test_groups_are_taken_as_places_come_free():
    taken, ahead = [], []

    def groups():
        for seed in range(6):
            taken.append(seed)
            yield drawn(2, seed)

    def step(body):
        ahead.append(len(taken) - len(server.calls))
        return good()(body)

    with LoopbackVlm([step]) as server:
        asyncio.run(VlmCritic(settings(server, max_in_flight=2)).judge_many(groups()))
    assert len(taken) == 6 and max(ahead) <= 3  # one is drawn ahead


def test_one_failed_group_does_not_harm_the_others():
    def script(number: int, body: dict) -> ScriptedAnswer:
        return (refusal() if len(body["messages"][0]["content"]) > 9 else good())(body)

    with LoopbackVlm(script) as server:
        critic = VlmCritic(settings(server))
        verdicts = asyncio.run(critic.judge_many([drawn(2), drawn(5), drawn(3)]))
    assert [verdict.statuses[0] for verdict in verdicts] == ["ok", "refused", "ok"]


def test_no_groups():
    with LoopbackVlm([good()]) as server:
        assert asyncio.run(VlmCritic(settings(server)).judge_many([])) == []


def test_undrawn_groups_are_an_error_of_the_caller():
    group = drawn()
    bare = DrawnGroup(group.group, group.silhouettes, group.penetration)
    with pytest.raises(ValueError, match="draw the pictures"):
        judge([good()], bare)


# The set-up.


def test_memory_is_shown():
    rule = Rule.named("When a foot floats, take 5 points off.", state="admitted")
    with LoopbackVlm([good()]) as server:
        critic = VlmCritic(settings(server), memory=Memory((rule,)))
        critic.judge(drawn())
        forgetful = VlmCritic(settings(server))
    assert rule.text in server.calls[0].text
    assert critic.name != forgetful.name


def test_the_name_is_a_version_of_all_that_shapes_the_answers():
    with LoopbackVlm([good()], models=["loopback", "org/Model-7B:q4"]) as server:
        base = VlmCritic(settings(server)).name
        assert VlmCritic(settings(server, retries=5, max_in_flight=1)).name == base
        for change in ({"temperature": 1.0}, {"views": "front+side"}, {"seed": 1}, {"long_side": 512}):
            assert VlmCritic(settings(server, **change)).name != base
        named = VlmCritic(VlmSettings(base_url=server.base_url, model="org/Model-7B:q4")).name
    assert named.startswith("vlm-org-Model-7B-q4@") and "/" not in named


def test_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(VlmConfigError, match="OPENAI_API_KEY is not set"):
        VlmCritic(VlmSettings(base_url="http://127.0.0.1:9/v1", model="m"))
    with pytest.raises(VlmConfigError, match="MY_KEY is not set"):
        VlmCritic(VlmSettings(base_url="http://127.0.0.1:9/v1", model="m", api_key_variable="MY_KEY"))


def test_no_address():
    with pytest.raises(VlmConfigError, match="only to a server that you name"):
        VlmCritic(VlmSettings(model="m"))


def test_the_address_may_come_from_the_environment(monkeypatch):
    with LoopbackVlm([good()]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert set(VlmCritic(VlmSettings(model="loopback")).judge(drawn()).statuses) == {"ok"}


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://host", "http://anna:pw@host/v1", "http://h/v1?k=pw"])
def test_other_addresses_are_refused_and_not_repeated(address, monkeypatch):
    with pytest.raises(ValidationError) as caught:
        VlmSettings(base_url=address)
    assert "pw" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(VlmConfigError, match="OPENAI_BASE_URL is not a plain http") as caught:
        VlmCritic(VlmSettings(model="m"))
    assert "pw" not in str(caught.value)


def test_no_model():
    with LoopbackVlm([good()]) as server, pytest.raises(VlmConfigError, match="set `model`"):
        VlmCritic(VlmSettings(base_url=server.base_url))


def test_an_unknown_model_is_refused_with_the_nearest():
    with LoopbackVlm([good()], models=["qwen-vl-32b", "other"]) as server:
        with pytest.raises(VlmConfigError, match=r"no model 'qwen-vl-32'. Did you mean 'qwen-vl-32b'\?"):
            VlmCritic(VlmSettings(base_url=server.base_url, model="qwen-vl-32"))
        with pytest.raises(VlmConfigError, match=r"It lists: other, qwen-vl-32b\."):
            VlmCritic(VlmSettings(base_url=server.base_url, model="zzz"))
        VlmCritic(VlmSettings(base_url=server.base_url, model="zzz", check_model=False))
    assert not server.calls


def test_a_tag_left_out_is_no_fault():
    with LoopbackVlm([good()], models=["vl:latest"]) as server:
        critic = VlmCritic(VlmSettings(base_url=server.base_url, model="vl"))
    assert critic.name.startswith("vlm-vl@")


def test_a_server_without_a_list_is_taken_at_its_word():
    with LoopbackVlm([good()], models=None) as server:
        assert set(VlmCritic(settings(server)).judge(drawn()).statuses) == {"ok"}


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(VlmConfigError, match="is the server running"):
            VlmCritic(VlmSettings(base_url=address, model="m"))


def test_unknown_and_impossible_settings_are_refused():
    for given in ({"modl": "m"}, {"max_in_flight": 0}, {"deadline_seconds": float("inf")}, {"views": "back"}):
        with pytest.raises(ValidationError):
            VlmSettings(**given)


# Neither key nor picture goes astray.


def quotes_the_key(status: int):
    """An HTTP error, or an answer, that quotes the key as some servers do."""
    if status == 200:
        item = {"score": 50, "comment": f"your key is {KEY}"}
        return says(json.dumps({f"image_{k}": item for k in range(2, 6)}))
    return error(status, f"Incorrect API key provided: {KEY}")


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
def test_the_key_is_in_nothing_that_we_keep_or_say(status, caplog):
    caplog.set_level(logging.DEBUG)
    with logged() as stream, LoopbackVlm([quotes_the_key(status)]) as server:
        critic = VlmCritic(settings(server))
        try:
            said = repr(critic.judge(drawn()))
        except VlmConfigError as caught:
            said = "".join(traceback.format_exception(caught))
    assert server.calls[0].headers["authorization"].endswith(KEY)  # it was sent
    kept = [said, repr(critic), repr(critic.settings), critic.settings.model_dump_json(), str(vars(critic))]
    assert KEY not in "\n".join([*kept, caplog.text, stream.getvalue()])
    assert "[key]" in said
    assert KEY.encode() not in pickle.dumps(critic)


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, with tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        yield stream
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 413, 422, 429, 500])
@pytest.mark.parametrize("step", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/batch-0", "GET /v1/files/"])
def test_the_key_is_in_nothing_that_we_keep_or_say_of_a_batch(step, status, tmp_path, caplog):
    """At each step of a batch the server answers something else, with the key in it."""
    caplog.set_level(logging.DEBUG)

    def change(call: Call, answer: ScriptedAnswer) -> ScriptedAnswer:
        quoting = quotes_the_key(status)(call.body)
        return quoting if f"{call.method} {call.path}".startswith(step) else answer

    with logged() as stream, LoopbackVlm([good()], batches=True, change=change) as server:
        own = {"batch": True, "batch_poll_seconds": 0.01, "batch_hours": 1e-5, "retries": 0}
        critic = VlmCritic(settings(server, **own), cache=tmp_path / "answers.sqlite")
        try:
            asyncio.run(critic.ask_by_batch([drawn()]))
            said = repr(critic.judge(drawn()))
        except VlmConfigError as caught:
            said = "".join(traceback.format_exception(caught))
    assert ("HTTP 401" in said) == (status == 401)
    if status != 401:  # the batch is given up, and the group is asked one by one
        assert len(server.calls) == 1 and "statuses=('ok', 'ok', 'ok', 'ok')" in said
        assert any("one by one" in record.message for record in caplog.records if record.levelname == "WARNING")
    assert any(call.headers["authorization"].endswith(KEY) for call in server.others)
    files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert KEY not in "\n".join([said, caplog.text, stream.getvalue()]) and not any(KEY.encode() in f for f in files)


def test_a_key_written_into_the_settings_is_not_repeated():
    for name in ("api_key", "api_key_variable"):
        with pytest.raises(ValidationError) as caught:
            VlmSettings(**{name: KEY})
        assert KEY not in str(caught.value)


def test_a_short_key_is_a_word_and_leaves_answers_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "score")
    verdict, _ = judge([good()])
    assert set(verdict.statuses) == {"ok"}


def test_pictures_follow_no_redirect_to_another_host():
    with LoopbackVlm([good()]) as other:

        def elsewhere(body: dict) -> ScriptedAnswer:
            return ScriptedAnswer({}, 307, {"location": f"{other.base_url}/chat/completions"})

        verdict, server = judge([elsewhere])
        assert not other.calls and not other.others
    assert set(verdict.statuses) == {"server_error"} and "HTTP 307" in verdict.comments[0]
    assert len(server.calls) == 1


def test_only_the_configured_host_is_called(monkeypatch):
    """Every name that is looked up during a run is the configured one."""
    asked = set()
    look_up = socket.getaddrinfo

    def noting(host, *rest, **named):
        asked.add(host if isinstance(host, str) else host.decode())
        return look_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    judge([error(500), good()])
    assert asked == {"127.0.0.1"}

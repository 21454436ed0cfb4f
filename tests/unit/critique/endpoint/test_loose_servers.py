"""Servers as they are found: odd bodies, refused parameters, faults of the set-up. Real HTTP on the loopback."""

import asyncio
import json
import logging
import re

import numpy as np
import pytest

from critique.endpoint.adaptation import is_quota, named_change, picture_limit
from critique.endpoint.cache import read_adaptations
from critique.endpoint.completion import CompletionError, read_completion
from critique.endpoint.loopback import LoopbackVlm, ScriptedAnswer, error, good, judged_places, pictures
from critique.scale import likely_scale
from critique.vlm.vlm_critic import VlmConfigError, VlmCritic
from critique.vlm.vlm_settings import VlmSettings
from storage.records import Verdict
from tests.vlm_cases import figures, settings

KEY = "sk-a-secret-of-32-characters-0001"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def scores(body: dict) -> dict:
    return {f"image_{k}": {"score": 100 - 10 * k, "comment": "ok"} for k in judged_places(body)}


def message(wording, finish="stop", **more):
    """A completion with any message: `told(scores)` is its content."""

    def step(body: dict) -> ScriptedAnswer:
        own = {key: value(scores(body)) if callable(value) else value for key, value in more.items()}
        content = wording(scores(body)) if callable(wording) else wording
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **own}}
        return ScriptedAnswer(
            {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 9.0, "completion_tokens": None}}
        )

    return step


def call(marks: dict) -> list[dict]:
    return [{"id": "c", "type": "function", "function": {"name": "judge", "arguments": json.dumps(marks)}}]


def with_bom(body: dict) -> ScriptedAnswer:
    raw = json.dumps(message(lambda marks: "\ufeff" + json.dumps(marks))(body).body).encode()
    return ScriptedAnswer(b"\xef\xbb\xbf" + raw)


def odd_logprobs(body: dict) -> ScriptedAnswer:
    answer = message(json.dumps)(body)
    answer.body["choices"][0]["logprobs"] = {"content": [{"no": "token"}], "token_logprobs": [-0.1]}
    return answer


READ = {
    "parts": message(lambda marks: [{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]},
                                    {"type": "text", "text": json.dumps(marks)}]),
    "two parts": message(lambda marks: [{"type": "text", "text": json.dumps(marks)[:9]}, json.dumps(marks)[9:]]),
    "an object": message(lambda marks: marks),
    "tool call": message(None, "tool_calls", tool_calls=call),
    "function call": message("", function_call=lambda marks: {"name": "judge", "arguments": marks}),
    "all in the reasoning": message(None, reasoning_content=lambda marks: json.dumps(marks)),
    "think": message(lambda marks: '<think>perhaps {"image_2": {"score": 1}} no</think>\n' + json.dumps(marks)),
    "fences": message(lambda marks: f"```json\n{json.dumps(marks)}\n```"),
    "trailing comma": message(lambda marks: json.dumps(marks)[:-1] + ",}"),
    "single quotes": message(str),
    "array": message(lambda marks: json.dumps([{"image": key, **mark} for key, mark in marks.items()])),
    "of 100": message(lambda marks: json.dumps({k: {"score": f"{m['score']}/100"} for k, m in marks.items()})),
    "of 10": message(lambda marks: json.dumps({k: {"score": f"{m['score'] / 10}/10"} for k, m in marks.items()})),
    "bom": with_bom,
    "odd logprobs": odd_logprobs,
}  # fmt: skip


@pytest.mark.parametrize("form", READ)
def test_what_has_one_meaning_is_read(form):
    with LoopbackVlm([READ[form]]) as server:
        verdict = VlmCritic(settings(server, shuffle=False, expected_scores="odd" in form)).judge(figures(4))
    assert verdict.scores.tolist() == [80, 70, 60, 50] and len(server.calls) == 1


@pytest.mark.parametrize(
    ("body", "reason", "status"),
    [
        ({"error": {"message": "model is loading", "code": 503}}, "503: model is loading", "server_error"),
        ({"error": "out of memory"}, "out of memory", "server_error"),
        ({"error": {"code": 429, "message": "rate limit"}}, "rate limit", "rate_limited"),
        ({"choices": [{"error": "upstream died", "finish_reason": "error"}]}, "upstream died", "server_error"),
        ({"object": "error", "message": "no memory left"}, "no memory left", "server_error"),
        ({"choices": []}, "no choice", "server_error"),
    ],
)  # fmt: skip
def test_an_error_with_http_200_is_a_fault_and_no_verdict(body, reason, status):
    with LoopbackVlm([lambda _: ScriptedAnswer(body)]) as server:
        verdict = VlmCritic(settings(server, second_chances=0)).judge(figures(4))
    assert verdict.pending and set(verdict.statuses) == {status} and reason in verdict.comments[0]


def test_reasoning_without_an_answer_is_refused_with_the_reason():
    step = message(None, reasoning_content="I think image_2 is best, with 90.")
    with LoopbackVlm([step]) as server:
        verdict = VlmCritic(settings(server, second_chances=0)).judge(figures(4))
    assert set(verdict.statuses) == {"bad_json"} and "all that came is reasoning" in verdict.comments[0]


def test_bodies_by_hand():
    assert read_completion('{"choices": [{"message": {"content": "x"}}], "usage": null}').prompt_tokens == 0
    for body in ("", "<html>", "[]", '{"choices": [{"message": 3}]}', '{"choices": ["x"]}', "1"):
        with pytest.raises(CompletionError, match="not a chat completion"):
            read_completion(body)


# Parameters that servers refuse: adapted, once, and said.


def refuses(key: str, words: str):
    def step(number: int, body: dict) -> ScriptedAnswer:
        return (error(400, words) if key in body else good())(body)

    return step


TEMPERATURE = "Unsupported value: 'temperature' does not support 0.0 with this model."
LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."


@pytest.mark.parametrize(
    ("field", "words"),
    [("temperature", TEMPERATURE), ("max_tokens", LIMIT), ("response_format", "json_schema is not supported")],
)
def test_a_refused_parameter_is_left_out_once_for_the_whole_run(field, words, tmp_path, caplog):
    cache = tmp_path / "answers.sqlite"
    with LoopbackVlm(refuses(field, words)) as server:
        for first in (0, 3):  # a second critic of the same run knows it
            critic = VlmCritic(settings(server), cache=cache)
            verdicts = asyncio.run(critic.judge_many([figures(3, seed) for seed in range(first, first + 3)]))
            assert all(set(verdict.statuses) == {"ok"} for verdict in verdicts)
    assert len(server.calls) == 7 and sum(field in call.body for call in server.calls) == 1
    assert len(read_adaptations(cache, critic.name)) == 1
    assert sum("from now on" in message for message in caplog.messages) == 1
    if field == "max_tokens":
        assert server.calls[-1].body["max_completion_tokens"] == 4096


def test_two_refused_parameters_are_found_one_after_the_other():
    def step(number: int, body: dict) -> ScriptedAnswer:
        if "max_tokens" in body:
            return error(400, LIMIT)(body)
        return (error(400, TEMPERATURE) if "temperature" in body else good())(body)

    with LoopbackVlm(step) as server:
        assert set(VlmCritic(settings(server)).judge(figures(3)).statuses) == {"ok"}
    assert len(server.calls) == 3 and "response_format" in server.calls[-1].body


def test_parameters_may_be_not_sent():
    own = {"temperature": "not sent", "token_limit_field": "not sent", "detail": "not sent"}
    with LoopbackVlm([good()]) as server:
        VlmCritic(settings(server, **own)).judge(figures(3))
    assert not {"temperature", "max_tokens", "max_completion_tokens"} & set(server.calls[0].body)


@pytest.mark.parametrize(("most", "shown"), [(4, 4), (3, 3)])
def test_a_group_is_shown_in_parts_where_a_server_takes_few_pictures(most, shown, tmp_path):
    def step(number: int, body: dict) -> ScriptedAnswer:
        words = f"At most {most} image(s) may be provided in one request."
        return (error(400, words) if len(pictures(body)) > most else good())(body)

    cache = tmp_path / "answers.sqlite"
    with LoopbackVlm(step) as server:
        verdicts: list[Verdict] = []
        for _ in range(2):
            verdicts += asyncio.run(VlmCritic(settings(server), cache=cache).judge_many([figures(8), figures(8, 1)]))
    assert all(set(verdict.statuses) == {"ok"} for verdict in verdicts)
    counts = [len(call.pictures) for call in server.calls]
    assert counts.count(9) == 1 and max(counts[1:]) == shown
    assert np.array_equal(verdicts[0].scores, verdicts[2].scores)  # and the second time nothing was asked


def test_one_picture_a_request_is_too_few():
    wording = r"at most 1 pictures .* two overlays at least.*limit-mm-per-prompt"
    step = error(400, "At most 1 image(s) may be provided in one request.")
    with LoopbackVlm([step]) as server, pytest.raises(VlmConfigError, match=wording):
        asyncio.run(VlmCritic(settings(server)).judge_many([figures(6, seed) for seed in range(5)]))
    assert len(server.calls) == 1


# Faults of the set-up: few requests, the server's words, the setting to change.

QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("step", "wording", "most"),
    [
        (error(429, QUOTA, "insufficient_quota"), r"exceeded your current quota.*account .* is used up", 1),
        (error(404, "The model `loopback` does not exist"), r"does not exist.*the model 'loopback' \(`model`\)", 1),
        (error(400, "model loopback not found"), r"model loopback not found.*`model`", 1),
        (error(402, "pay first"), "pay first.*account .* is used up", 1),
        (lambda _: ScriptedAnswer({"error": "Unexpected endpoint. (POST /chat)"}), "Unexpected.*`base_url`", 1),
        (lambda _: ScriptedAnswer(b"<html><body>Login</body></html>"), "Login.*is `base_url` right", 2),
        (error(400, "this is not to my taste"), "not to my taste.*change the setting", 4),
    ],
)  # fmt: skip
def test_a_fault_of_the_set_up_is_met_once_and_stops(step, wording, most):
    with LoopbackVlm([step]) as server, pytest.raises(VlmConfigError, match=f"(?s){wording}") as caught:
        asyncio.run(VlmCritic(settings(server, retries=0)).judge_many([figures(4, seed) for seed in range(8)]))
    assert len(server.calls) <= most and KEY not in str(caught.value)


def test_a_base_url_without_version_is_told():
    with LoopbackVlm([good()], models=None) as server:
        address = server.base_url.removesuffix("/v1")
        with pytest.raises(VlmConfigError, match=re.escape(f"`base_url` should probably be {address}/v1")):
            VlmCritic(VlmSettings(base_url=address, model="m")).judge(figures(3))


def test_one_request_goes_ahead_of_many():
    with LoopbackVlm([good()]) as server:
        asyncio.run(VlmCritic(settings(server, max_in_flight=8)).judge_many([figures(3, seed) for seed in range(6)]))
    first, *others = server.calls
    assert all(call.started >= first.ended for call in others)


def test_what_one_group_alone_meets_is_its_own_fault(caplog):
    caplog.set_level(logging.WARNING)

    def step(number: int, body: dict) -> ScriptedAnswer:
        return (error(400, "cannot decode it") if len(pictures(body)) == 6 else good())(body)

    with LoopbackVlm(step) as server:
        verdicts = asyncio.run(VlmCritic(settings(server)).judge_many([figures(3), figures(5), figures(4)]))
    assert [verdict.statuses[0] for verdict in verdicts] == ["ok", "refused", "ok"]
    assert "HTTP 400: cannot decode it" in verdicts[1].comments[0]


# Words, by hand.


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("At most 1 image(s) may be provided in one request.", 1),
        ("Too many images: 21 > 10", 10),
        ("The maximum number of images is 16", 16),
        ("images exceeds the limit of 5", 5),
        ("too many images in request", 0),
        ("cannot decode image", None),
        ("at most 5 tools", None),
    ],
)
def test_limits_of_pictures(words, limit):
    assert picture_limit(words) == limit


def test_words_about_the_context_are_not_about_the_limits_name():
    request = {"max_tokens": 1, "temperature": 0}
    words = "This model's maximum context length is 4096 tokens, you asked for 9000 (4096 in max_tokens)"
    assert named_change(words, request, ()) is None and named_change(LIMIT, request, ()) == "token limit"
    assert named_change(TEMPERATURE, request, ["temperature"]) is None


def test_too_fast_is_no_empty_account():
    assert is_quota(429, QUOTA) and not is_quota(429, f"{QUOTA} Please retry in 25 s, limit: 15 per minute")


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        ([7, 8.5, 3, 9, 2, 10], "0-10"),
        ([1, 2, 5, 4, 3, 2], "1-5"),
        ([0.2, 0.9, 0.4, 0.1, 0.7, 1.0], "0-1"),
        ([7, 80, 3, 9, 2, 10], None),
        ([7, 8, 9], None),  # too few to tell
        ([0] * 9, None),
        ([float("nan")] * 9, None),
    ],
)
def test_another_scale_is_noticed(given, scale):
    assert likely_scale(given) == scale

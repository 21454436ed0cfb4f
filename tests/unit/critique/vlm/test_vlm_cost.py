"""What is paid: never twice for one answer, never past the budget, by batch where there is one; and what it will be."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from critique.endpoint.cache import AnswerCache, read_ledger
from critique.endpoint.loopback import JudgingStyle, LoopbackVlm, ScriptedAnswer, bad_json, error, good, says, slow
from critique.endpoint.stream import BudgetSpent
from critique.memory.memory import Memory
from critique.memory.rules import Rule
from critique.vlm.vlm_critic import VlmConfigError, VlmCritic
from tests.factories import same
from tests.vlm_cases import figures, settings

KEY = "sk-a-secret-of-32-characters-0001"
ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def run(server, groups, cache, **given):
    return asyncio.run(VlmCritic(settings(server, **given), cache=cache).judge_many(groups))


def test_an_answer_is_paid_for_once(tmp_path):
    groups = [figures(3, seed) for seed in range(4)]
    cache = tmp_path / "answers.sqlite"
    with LoopbackVlm([good()]) as server:
        first = run(server, groups, cache, prompt_price=1.0)
        again = run(server, groups, cache, prompt_price=1.0)
        assert len(server.calls) == 4
        run(server, groups, cache, prompt_price=1.0, temperature=0.5)  # another question
        assert len(server.calls) == 8
    for one, other in zip(first, again):
        assert same([one.scores, one.cost, one.replies], [other.scores, other.cost, other.replies])


def a_pixel(group):
    overlay = group.overlays[1].copy()
    overlay[5, 5, 0] += 1
    return replace(group, overlays=(group.overlays[0], overlay, *group.overlays[2:]))


def ruled(text: str) -> Memory:
    return Memory((Rule.named(text, state="admitted"),))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"}, {"base_url": "localhost"}, {"memory": "When a foot floats, take 20 points off."},
        {"seed": 1}, {"max_tokens": 4000}, {"temperature": 0.1}, {"temperature": None}, {"structured": False},
        {"expected_scores": True}, {"detail": "low"}, {"prompt_order": "memory_first"}, {"pixel": True},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_asked_differently_is_asked_anew(tmp_path, change):
    assert answered_anew(tmp_path, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_price": 1.0, "completion_price": 2.0}, {"budget_tokens": 10**6}, {"max_in_flight": 1},
        {"retries": 0, "read_seconds": 9.0}, {"batch_price": 0.1},
    ],
    ids=str,
)  # fmt: skip
def test_what_only_costs_differently_is_found_again(tmp_path, change):
    assert not answered_anew(tmp_path, **change)


def answered_anew(folder: Path, memory="When a foot floats, take 10 points off.", pixel=False, **change) -> bool:
    """Whether a group that was judged is paid for again after a change."""
    group = figures(5)
    with LoopbackVlm([good()], models=("loopback", "other")) as server:
        first = settings(server)
        VlmCritic(first, memory=ruled("When a foot floats, take 10 points off."), cache=folder / "a").judge(group)
        if "base_url" in change:  # the same server by another name
            change = {"base_url": server.base_url.replace("127.0.0.1", change["base_url"])}
        then = VlmCritic(first.model_copy(update=change), memory=ruled(memory), cache=folder / "a")
        then.judge(a_pixel(group) if pixel else group)
    return len(server.calls) == 2


def test_repairs_are_found_again_too(tmp_path):
    with LoopbackVlm([bad_json(), good()]) as server:
        first = run(server, [figures(3)], tmp_path / "a")
        again = run(server, [figures(3)], tmp_path / "a")
        assert len(server.calls) == 2 and same(first[0].replies, again[0].replies)


def test_what_was_not_answered_is_asked_again(tmp_path):
    with LoopbackVlm([error(500), good()]) as server:
        (failed,) = run(server, [figures(3)], tmp_path / "a", retries=0, second_chances=0)
        (judged,) = run(server, [figures(3)], tmp_path / "a", retries=0, second_chances=0)
    assert set(failed.statuses) == {"server_error"} and set(judged.statuses) == {"ok"}


def test_the_ledger_sums_what_was_paid(tmp_path):
    with LoopbackVlm([good()]) as server:
        run(server, [figures(3, seed) for seed in range(3)], tmp_path / "answers.sqlite", prompt_price=2.0)
        run(server, [figures(3)], tmp_path / "answers.sqlite", prompt_price=2.0, temperature=0.5)
    ledger = read_ledger(tmp_path)
    assert sum(line.answers for line in ledger) == 4 and len(ledger) == 2
    assert sum(line.money for line in ledger) == pytest.approx(4 * 1000 * 2 / 1e6)
    assert {line.cached_tokens for line in ledger} == {1200, 400}
    assert read_ledger(tmp_path / "nowhere") == []


def test_no_key_and_no_picture_is_kept(tmp_path):
    details = says(json.dumps({f"image_{k}": {"score": 50, "comment": f"your key is {KEY}"} for k in range(2, 5)}))
    with LoopbackVlm([details]) as server:
        run(server, [figures(3)], tmp_path / "answers.sqlite")
    with AnswerCache(tmp_path / "answers.sqlite") as cache:
        (asked,) = cache._file.execute("SELECT asked FROM answers").fetchone()
        answer = cache.get(asked)
    assert answer is not None and "[key]" in answer.body
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes() and b"base64" not in file.read_bytes()


def test_a_budget_stops_cleanly_and_what_was_paid_is_used_later(tmp_path):
    groups = [figures(3, seed) for seed in range(8)]
    priced = {"prompt_price": 1000.0, "max_in_flight": 2}  # an answer costs 1
    with LoopbackVlm([slow(0.02, good())]) as server:
        with pytest.raises(BudgetSpent, match=r"budget of 4 \(money\) is used up: .* raise `budget`"):
            run(server, groups, tmp_path / "a", budget=4, **priced)
        assert 3 <= len(server.calls) <= 4
        with pytest.raises(BudgetSpent):
            run(server, groups, tmp_path / "a", budget=4, **priced)
        assert len(server.calls) <= 4
        verdicts = run(server, groups, tmp_path / "a", budget=9, **priced)
        assert len(verdicts) == len(server.calls) == 8


def test_a_budget_of_tokens_needs_no_prices(tmp_path):
    with LoopbackVlm([good()]) as server, pytest.raises(BudgetSpent, match="tokens"):
        run(server, [figures(3, seed) for seed in range(9)], tmp_path / "a", budget_tokens=3000, max_in_flight=1)
    assert len(server.calls) == 2


def test_before_the_first_answer_one_request_goes_alone(tmp_path):
    """Eight places, and a budget of one answer and a bit (the server's take 1,200 tokens each)."""
    groups = [figures(3, seed) for seed in range(12)]
    with LoopbackVlm([slow(0.05, good())]) as server, pytest.raises(BudgetSpent):
        run(server, groups, tmp_path / "a", budget_tokens=1300, max_in_flight=8)
    assert len(server.calls) == 1
    with LoopbackVlm([slow(0.05, good())]) as server, pytest.raises(BudgetSpent):
        run(server, groups, tmp_path / "b", prompt_price=1000.0, budget=5.0, max_in_flight=8)
    assert len(server.calls) == 5 and server.peak > 1  # once one is measured, many are under way


def test_what_the_first_request_must_take_at_least_is_within_the_budget(tmp_path):
    with LoopbackVlm([good()]) as server, pytest.raises(BudgetSpent, match="0 spent in this run, and about 4"):
        run(server, [figures(3)], tmp_path / "a", budget_tokens=100)
    assert not server.calls


def test_without_a_budget_all_places_are_used_behind_the_first_request(tmp_path):
    with LoopbackVlm([slow(0.3, good())]) as server:
        run(server, [figures(3, seed) for seed in range(5)], None, max_in_flight=4)
    assert server.peak == 4


def test_a_budget_of_money_without_prices_is_refused():
    with LoopbackVlm([good()]) as server, pytest.raises(ValidationError, match="a budget needs prices"):
        settings(server, budget=3.0)


# Batches.


def batched(server, groups, cache, **given):
    critic = VlmCritic(settings(server, batch=True, batch_poll_seconds=0.01, **given), cache=cache)
    came = asyncio.run(critic.ask_by_batch(groups))
    return came, asyncio.run(critic.judge_many(groups))


def test_a_batch_answers_everything_at_its_price(tmp_path):
    groups = [figures(3, seed) for seed in range(5)]
    with LoopbackVlm(JudgingStyle(), batches=True) as server:
        plain = run(server, groups, None)
        assert len(server.calls) == 5
        came, verdicts = batched(server, groups, tmp_path / "answers.sqlite", prompt_price=2.0)
        assert came == 5 == len(server.calls)  # nothing was asked one by one
        (rows,) = server.batches.values()
        assert {row["url"] for row in rows} == {"/v1/chat/completions"} and "response_format" in rows[0]["body"]
        assert batched(server, groups, tmp_path / "answers.sqlite")[0] == 0 and len(server.batches) == 1
    assert all(same(one.scores, other.scores) for one, other in zip(plain, verdicts))
    (line,) = read_ledger(tmp_path)
    assert line.money == pytest.approx(5 * 1000 * 2 / 1e6 / 2)


def test_rows_that_expired_are_asked_one_by_one(tmp_path):
    groups = [figures(3, seed) for seed in range(5)]
    with LoopbackVlm(JudgingStyle(), batches=True, expires=lambda row: row % 2 == 0) as server:
        came, verdicts = batched(server, groups, tmp_path / "a")
    assert came == 2 and len(server.calls) == 3
    assert all(set(verdict.statuses) == {"ok"} for verdict in verdicts)


def test_a_server_without_batches_is_asked_one_by_one(tmp_path):
    with LoopbackVlm(JudgingStyle()) as server:
        came, verdicts = batched(server, [figures(3)], tmp_path / "a")
    assert came == 0 and len(server.calls) == 1 and set(verdicts[0].statuses) == {"ok"}


def test_a_batch_that_was_handed_in_is_collected_and_not_paid_twice(tmp_path, monkeypatch):
    groups = [figures(3, seed) for seed in range(3)]
    with LoopbackVlm(JudgingStyle(), batches=True) as server:
        with monkeypatch.context() as patched:
            patched.setattr("critique.vlm.batch._wait", killed)
            with pytest.raises(KeyboardInterrupt):
                batched(server, groups, tmp_path / "a")
        came, _ = batched(server, groups, tmp_path / "a")
    assert came == 3 and len(server.batches) == 1 and not server.calls


def test_a_batch_that_the_server_forgot_is_handed_in_again(tmp_path):
    with LoopbackVlm(JudgingStyle(), batches=True) as server:
        critic = VlmCritic(settings(server))
        with AnswerCache(tmp_path / "a") as cache:
            cache.add_batch("batch-77", critic.name, 3)
        came, _ = batched(server, [figures(3, seed) for seed in range(2)], tmp_path / "a")
    assert came == 2 and len(server.batches) == 1 and not server.calls


def test_a_batch_is_no_larger_than_its_budget(tmp_path):
    """An answer is measured to cost 1, or 0.5 by batch; the first is asked for plainly."""
    groups = [figures(3, seed) for seed in range(9)]
    priced = {"prompt_price": 1000.0, "budget": 3.0}
    with LoopbackVlm(JudgingStyle(), batches=True) as server:
        run(server, groups[:1], tmp_path / "a", batch=True, **priced)
        with pytest.raises(BudgetSpent, match=r"budget of 3 \(money\) is used up: 3 spent"):
            batched(server, groups, tmp_path / "a", **priced)
        assert [len(rows) for rows in server.batches.values()] == [4] and len(server.calls) == 1
        came, verdicts = batched(server, groups, tmp_path / "a", prompt_price=1000.0, budget=9.0)
    assert came == 4 and len(server.calls) == 1 and all(set(verdict.statuses) == {"ok"} for verdict in verdicts)


def test_a_batch_that_fits_no_budget_is_not_handed_in(tmp_path):
    with LoopbackVlm(JudgingStyle(), batches=True) as server, pytest.raises(BudgetSpent):
        batched(server, [figures(3)], tmp_path / "a", budget_tokens=100)
    assert not server.batches and not [call for call in server.others if "files" in call.path]


def changed(path: str, answer):
    """A server whose answer at this path is another."""
    return {"batches": True, "change": lambda call, given: answer(given) if path in call.path else given}


def test_torn_rows_are_asked_one_by_one(tmp_path, caplog):
    groups = [figures(3, seed) for seed in range(4)]

    def torn(given):
        first, _, *rest = given.body.splitlines()
        return replace(given, body=b"\n".join([first[:40], b'{"custom_id": 3}', *rest]))

    with LoopbackVlm(JudgingStyle(), **changed("-out/content", torn)) as server:
        came, verdicts = batched(server, groups, tmp_path / "a")
    assert came == 2 and len(server.calls) == 2 and all(set(verdict.statuses) == {"ok"} for verdict in verdicts)
    assert any("2 rows cannot be read" in message for message in caplog.messages)


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_that_ends_badly_is_told(status, tmp_path, caplog):
    def ended(given):
        why = {"object": "list", "data": [{"code": "no", "message": f"too large for {KEY}"}]}
        return replace(given, body=given.body | {"status": status, "output_file_id": None, "errors": why})

    with LoopbackVlm(JudgingStyle(), **changed("/batches/batch-0", ended)) as server:
        came, verdicts = batched(server, [figures(3)], tmp_path / "a")
    assert came == 0 and len(server.calls) == 1 and set(verdicts[0].statuses) == {"ok"}
    (details,) = [message for message in caplog.messages if f"batch-0 {status}" in message]
    assert "too large for [key]" in details


def test_a_fault_that_passes_does_not_end_the_waiting_for_a_batch(tmp_path, caplog):
    asked = []

    def flaky(given):
        asked.append(given)
        return [error(500)({}), ScriptedAnswer(drop=True), error(429)({})][len(asked) - 1] if len(asked) < 4 else given

    with LoopbackVlm(JudgingStyle(), **changed("/batches/batch-0", flaky)) as server:
        came, _ = batched(server, [figures(3)], tmp_path / "a", retries=0)
    assert came == 1 and not server.calls
    assert sum("no word of batch" in message for message in caplog.messages) == 3


def test_a_batch_is_waited_for_so_many_hours_and_collected_by_the_next_run(tmp_path, caplog):
    def under_way(given):
        return replace(given, body=given.body | {"status": "in_progress"})

    late = changed("/batches/batch-0", under_way)
    with LoopbackVlm(JudgingStyle(), **late) as server:
        came, _ = batched(server, [figures(3)], tmp_path / "a", batch_hours=1e-5)
        assert came == 0 and len(server.calls) == 1
        server._change = lambda call, given: given  # it is done at last
        assert batched(server, [figures(3)], tmp_path / "a")[0] == 1
    assert any("not done after 1e-05 h" in message for message in caplog.messages)


def test_the_price_by_batch_is_the_settings(tmp_path):
    with LoopbackVlm(JudgingStyle(), batches=True) as server:
        batched(server, [figures(3)], tmp_path / "answers.sqlite", prompt_price=1000.0, batch_price=0.2)
    assert read_ledger(tmp_path)[0].money == pytest.approx(0.2)


async def killed(*_):
    raise KeyboardInterrupt


def test_a_batch_needs_a_cache():
    with LoopbackVlm(JudgingStyle()) as server, pytest.raises(VlmConfigError, match="cache"):
        asyncio.run(VlmCritic(settings(server, batch=True)).ask_by_batch([]))


# A run that is killed.

PROGRAM = """
import asyncio, sys
from pathlib import Path
from critique.vlm.vlm_critic import VlmCritic, VlmSettings
from tests.vlm_cases import figures
chosen = VlmSettings(base_url=sys.argv[1], model="loopback", max_in_flight=4)
critic = VlmCritic(chosen, cache=Path(sys.argv[2]))
asyncio.run(critic.judge_many(figures(3, seed) for seed in range(24)))
"""


def test_a_killed_run_pays_again_for_what_was_in_flight_alone(tmp_path):
    with LoopbackVlm([slow(0.15, good())]) as server:
        command = [sys.executable, "-c", PROGRAM, server.base_url, str(tmp_path / "a")]
        environment = os.environ | {"OPENAI_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        until = time.monotonic() + 60
        while len(server.calls) < 11 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        time.sleep(0.4)  # the server ends what it was at
        before = len(server.calls)
        assert 11 <= before < 24
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
        assert 24 <= len(server.calls) <= 24 + 4

"""Tasks outside of a flow run: plain functions, called at once or when their result is asked for."""

import errno

import pytest

from tasks.run.retrying import may_pass
from tasks.run.shard_task import in_a_run, task

CALLS: list[str] = []


@task(task_run_name="work on {shard}", retries=2, retry_delay_seconds=(5, 30))
def work(shard: str, *, times: int = 1) -> str:
    CALLS.append(shard)
    if not shard:
        raise OSError("busy")
    return shard * times


def test_a_call_is_a_call(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # nobody is there, and nobody is asked
    assert not in_a_run() and work("a", times=2) == "aa"


def test_submitted_work_is_done_when_its_result_is_asked_for():
    CALLS.clear()
    first, second = work.submit("a"), work.submit("b", times=3)
    assert CALLS == [] and second.result() == "bbb" and first.result() == "a" and CALLS == ["b", "a"]


def test_a_fault_is_raised_where_the_result_is_asked_for_and_not_tried_again():
    CALLS.clear()
    future = work.submit("")
    with pytest.raises(OSError, match="busy"):
        future.result()
    assert CALLS == [""]


def test_what_prefect_is_told():
    assert (work.retries, work.retry_delay_seconds, work.task_run_name) == (2, [5, 30], "work on {shard}")
    assert work.retry_condition_fn is not None and work.name == "work"
    assert work.retry_jitter_factor == 0.5

    @task(task_run_name="other", retries=3)
    def other() -> None:
        """Without waits of its own."""

    assert other.retry_delay_seconds == [2, 4, 8]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OSError(errno.EIO, "busy"), True),
        (ConnectionError("reset"), True),
        (OSError(errno.ENOSPC, "No space left"), False),
        (OSError(errno.EROFS, "Read-only"), False),
        (ValueError("bad settings"), False),
        (FileNotFoundError("gone"), False),
    ],
)
def test_only_what_can_pass_is_tried_again(error, again):
    class Failed:
        def result(self) -> None:
            raise error

    assert may_pass(None, None, Failed()) is again

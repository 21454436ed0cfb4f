"""`hmr-align loopback-vlm` as a user starts it, and the client's benchmark against such a server."""

import signal
import subprocess
import sys

import openai
import pytest

from tasks.benchmarks.client_benchmark import measure_client


def test_it_serves_until_ctrl_c():
    program = [sys.executable, "-c", "from flows.cli.command_line import main; main()", "loopback-vlm", "--port", "0"]
    ours = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, **ours) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        assert "test double" in server.stdout.readline()
        with openai.OpenAI(base_url=address, api_key="any") as client:
            assert [model.id for model in client.models.list()] == ["loopback"]
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0


def test_the_benchmark_of_the_client():
    rows = {row["metric"]: row for row in measure_client(0.02, 4, 100)}
    rate = rows["critic.client_rate"]
    assert rate["ideal"] == pytest.approx(200) and 0 < rate["ratio"] <= 1.1
    assert rate["ratio"] == pytest.approx(rate["value"] / 200)
    assert len(rows["critic.client_memory_growth"]["at"]) == 6 and rows["critic.encoding"]["value"] > 0

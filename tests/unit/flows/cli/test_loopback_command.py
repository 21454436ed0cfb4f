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
    found = measure_client((0.2,), in_flight=2, groups=12, processes=1, hypotheses=2, size=64)
    rows = {row["metric"]: row for row in found}
    for name in ("critic.live_0.2s", "critic.kept_0.2s"):
        rate = rows[name]
        assert rate["server"] == pytest.approx(10) and rate["ideal"] == min(10, rate["cores"])
        assert rate["ratio"] == pytest.approx(rate["value"] / rate["ideal"])
    assert all(rows[f"critic.{name}"]["value"] > 0 for name in ("server_alone", "storing", "encoding"))

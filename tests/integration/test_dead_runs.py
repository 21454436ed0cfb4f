"""What a killed run leaves on a real server, and who tidies it up."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

import flows.record.dead_runs
from flows.record.clock import seconds_ahead
from flows.record.dead_runs import TAG, free_flow_runs, free_task_runs, silent_runs
from flows.server.server import prefect_server, server_home

pytestmark = pytest.mark.slow
PROGRAM = f"""
import time
from prefect import flow, tags, task

@task
def forever():
    time.sleep(600)

@flow(name="forever", flow_run_name="killed")
def run():
    forever()

with tags("{TAG}"):
    run()
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from prefect.client.orchestration import get_client

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_HOME", str(tmp_path_factory.mktemp("home")))
        with prefect_server(), get_client(sync_client=True) as made:
            yield made


def killed(client) -> tuple:
    """The flow run and the task run of a program that was killed in its task."""
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = [one for one in client.read_task_runs() if one.state_type == "RUNNING"]
        if found:
            break
        assert program.poll() is None
        time.sleep(0.5)
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    (task_run,) = found
    return task_run.flow_run_id, task_run.id


def states(client, flow_run, task_run) -> tuple[str, str]:
    return client.read_flow_run(flow_run).state_type, client.read_task_run(task_run).state_type


def test_doctor_frees_a_silent_run_with_its_tasks(client, monkeypatch):
    run = killed(client)
    assert free_flow_runs(client) == {} and states(client, *run) == ("RUNNING", "RUNNING")  # it may be alive
    monkeypatch.setattr(flows.record.dead_runs, "SILENCE", timedelta(seconds=1))
    time.sleep(2)
    assert free_flow_runs(client) == {run[0]: "killed"}
    assert states(client, *run) == ("CRASHED", "CRASHED")


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_a_run_on_a_machine_with_another_clock_is_alive_while_it_beats(client, monkeypatch, ahead):
    """Its events bear the time of that machine; what counts is when the server got them."""
    from prefect import flow
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker
    from prefect.states import Crashed, Running

    there = datetime.now(UTC) + timedelta(seconds=ahead)
    run = client.create_flow_run(flow(name="skewed")(lambda: None), name=f"skewed {ahead}", tags=[TAG])
    client.set_flow_run_state(run.id, Running(timestamp=there), force=True)
    resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
    emit_event("prefect.flow-run.heartbeat", resource, occurred=there)
    EventsWorker.drain_all(timeout=20)
    deadline = time.monotonic() + 120
    while flows.record.dead_runs._last_heard(client, run.id) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert run.id not in silent_runs(client) and abs(seconds_ahead(client)) < 5
    monkeypatch.setattr(flows.record.dead_runs, "SILENCE", timedelta(seconds=1))
    time.sleep(2)
    assert run.id in silent_runs(client)
    client.set_flow_run_state(run.id, Crashed(), force=True)


def test_the_next_run_marks_the_tasks_of_a_crashed_one(client, monkeypatch, tmp_path):
    from prefect import flow
    from prefect.states import Crashed

    from flows.record.run_labels import labelled
    from tasks.run.settings import Run, Settings

    run = killed(client)
    client.set_flow_run_state(run[0], Crashed(message="as the automation does"), force=True)
    assert free_task_runs(client) == [] and states(client, *run) == ("CRASHED", "RUNNING")  # its end may be on its way
    monkeypatch.setattr(flows.record.dead_runs, "RECORDED", timedelta(0))

    @flow(name="next", **labelled("look"))
    def look(settings: Settings, round_number: int = 0) -> None:
        """Nothing but beginning."""

    look(Settings(run=Run(name="mine", out=tmp_path)))
    assert states(client, *run) == ("CRASHED", "CRASHED")
    (begun,) = [one for one in client.read_flow_runs() if one.name == "look mine: round 0"]
    assert set(begun.tags) == {TAG, "stage:look", "run:mine", "round:0"}


def test_a_server_that_ends_is_started_again_by_who_uses_it(client):
    """At the same address, so that the same client goes on, and with its history."""
    before = json.loads((server_home() / "server.json").read_text())
    os.killpg(before["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 240
    while (after := json.loads((server_home() / "server.json").read_text())) == before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert after["pid"] != before["pid"] and after["url"] == before["url"]
    assert "killed" in {run.name for run in client.read_flow_runs()}

"""The deployments on a real server: set up twice, compared with prefect.yaml, run by a real worker."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from critique.endpoint.loopback import LoopbackVlm, good, slow
from flows.record.dead_runs import TAG
from flows.server.deployments import DEPLOYMENTS, GPU_POOL, ON_GPU, POOL, Deployment
from flows.server.guarded_server import ENTER
from flows.server.server import Server, prefect_server, server_home
from flows.server.server_key import server_key
from flows.server.set_up import ZOMBIES, deploy, planned
from storage.group_store import GroupStore
from tasks.run.events import tell_event
from tasks.run.run_lock import held
from tasks.run.settings import load_settings
from tests.browser import driven_browser
from tests.factories import make_verdict, store_in_one_photograph

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect"]
SHOTS = os.environ.get("HMR_ALIGN_SCREENSHOTS")
"""Folder for screenshots, to be looked at by a person; none by default."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_HOME", str(tmp_path_factory.mktemp("home")))
        with prefect_server() as running:
            yield running


@pytest.fixture(scope="module")
def runs(server, tmp_path_factory) -> Path:
    """The results folder of the deployments, which are set up twice to show that this is safe."""
    folder = tmp_path_factory.mktemp("runs")
    settings = load_settings(None, {"run": {"out": str(folder)}})
    announced = planned(settings)
    assert {f"+ pool {POOL}", f"+ pool {GPU_POOL}", "+ deployment rescore/nightly"} <= set(announced)
    assert deploy(settings) == announced
    assert planned(settings) == deploy(settings) == []
    return folder


def deployed() -> dict[str, dict]:
    """What the server holds of each deployment, as far as we set it."""
    from prefect.client.orchestration import get_client

    kept = {
        "entrypoint",
        "pull_steps",
        "work_pool_name",
        "tags",
        "parameters",
        "parameter_openapi_schema",
        "path",
    }
    with get_client(sync_client=True) as client:
        flows = {flow.id: flow.name for flow in client.read_flows()}
        return {
            f"{flows[one.flow_id]}/{one.name}": {
                **one.model_dump(mode="json", include=kept),
                "schedules": [
                    (plan.slug, plan.active, plan.schedule.model_dump(mode="json")) for plan in one.schedules
                ],
                "limit": one.global_concurrency_limit and one.global_concurrency_limit.limit,
            }
            for one in client.read_deployments()
        }


def test_setting_up_twice_leaves_one_of_each(runs):
    from prefect.client.orchestration import get_client

    assert len(deployed()) == len(DEPLOYMENTS)
    with get_client(sync_client=True) as client:
        (pool,) = (one for one in client.read_work_pools() if one.name == POOL)
        assert len(client.read_work_pools()) == 2
        assert len(client.read_automations_by_name(ZOMBIES)) == 1
    assert (pool.name, pool.type) == (POOL, "process")
    environment = pool.base_job_template["variables"]["properties"]["env"]["default"]
    assert environment["HMR_ALIGN_RUNS"] == str(runs)
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    rescore = deployed()["rescore/nightly"]
    assert rescore["schedules"][0][2]["cron"] == "0 3 * * *"
    assert rescore["pull_steps"] == []


def test_what_the_settings_change_is_said_before_and_undone_after(runs):
    """Triggers and limits; and what version 0.1 left is removed."""
    from prefect.client.orchestration import get_client

    out = {"run": {"out": str(runs)}}
    plain = load_settings(None, out)
    busy = load_settings(None, out | {"deploy": {"triggers": ("photographs", "round"), "vlm_slots": 2, "gpus": 1}})
    with get_client(sync_client=True) as client:
        old = client.create_flow_from_name("score-groups")
        client.create_deployment(flow_id=old, name="rescore", tags=[TAG])
        theirs = client.create_deployment(flow_id=old, name="somebody-else-s")
        announced = planned(busy)
        assert announced == [
            "+ automation hmr-align-when-photographs",
            "+ automation hmr-align-when-round",
            f"~ pool {GPU_POOL}: limit",
            "~ limit hmr-align-vlm: limit",
            "~ deployment watch-photographs/watch: schedules",
            "- deployment score-groups/rescore",
        ]
        assert deploy(busy) == announced and planned(busy) == []
        back = deploy(plain)
        assert back[-2:] == ["- automation hmr-align-when-photographs", "- automation hmr-align-when-round"]
        assert planned(plain) == []
        client.delete_deployment(theirs)  # which was left alone


def scheduled(client, deployment: str) -> list:
    """Flow runs of a deployment that were started by an event: the server does so within seconds."""
    from prefect.client.schemas.filters import FlowRunFilter

    found, deadline = [], time.monotonic() + 60
    wanted = client.read_deployment_by_name(deployment).id
    own = FlowRunFilter.model_validate({"deployment_id": {"any_": [wanted]}})
    while not found and time.monotonic() < deadline:
        found = [one for one in client.read_flow_runs(flow_run_filter=own) if not one.auto_scheduled]
        time.sleep(0.5)
    return found


def test_events_start_deployments(runs, tmp_path):
    """New photographs start sampling; a finished round starts the benchmark of that round. No worker runs them here."""
    from prefect import flow
    from prefect.client.orchestration import get_client

    from flows.watch_photographs import watch_photographs

    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "a.jpg").write_bytes(b"whatever it holds")
    os.utime(tmp_path / "photographs" / "a.jpg", (1, 1))  # it was not copied just now
    out = {"run": {"name": "watched", "out": str(runs)}, "photographs": {"folder": str(tmp_path / "photographs")}}
    plain = load_settings(None, {"run": {"out": str(runs)}})
    deploy(load_settings(None, {"run": {"out": str(runs)}, "deploy": {"triggers": ("photographs", "round")}}))

    @flow(name="trained")
    def trained() -> None:
        tell_event("round-trained", "watched", round=3, best_step=1, reason="goes on")

    with get_client(sync_client=True) as client:
        assert watch_photographs(load_settings(None, out)) and not watch_photographs(load_settings(None, out))
        trained()
        (sampling,) = scheduled(client, "sample-groups/on-demand")
        (benchmark,) = scheduled(client, "run-benchmark/on-demand")
        assert benchmark.parameters["round_number"] == 3
        for run in (sampling, benchmark):
            client.delete_flow_run(run.id)
    deploy(plain)


def test_a_stage_of_a_deployed_run_goes_to_the_gpu_pool(runs, tmp_path, monkeypatch):
    """With a flow that is quickly done. The folder that the calling process holds is lent to the worker's."""
    from flows.record.gpu_pool import gpu_workers, on_gpu
    from flows.watch_photographs import watch_photographs

    plain = load_settings(None, {"run": {"out": str(runs)}})
    watch = Deployment("flows.watch_photographs.watch_photographs", ON_GPU, pool=GPU_POOL)
    deploy(plain, [*DEPLOYMENTS, watch])
    (tmp_path / "photographs").mkdir()
    mine = {"run": {"name": "gpu", "out": str(runs)}, "photographs": {"folder": str(tmp_path / "photographs")}}
    settings = load_settings(None, mine)
    assert gpu_workers() == 0
    environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    command = [*PREFECT, "worker", "start", "--pool", GPU_POOL, "--limit", "1"]
    worker = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not gpu_workers() and time.monotonic() < deadline:
            time.sleep(0.5)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert on_gpu(watch_photographs, settings) is False  # in a terminal: here
        monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "as-in-a-deployed-run")
        (tmp_path / "photographs" / "a.jpg").write_bytes(b"whatever it holds")
        os.utime(tmp_path / "photographs" / "a.jpg", (1, 1))
        with held(settings.run.folder):
            assert on_gpu(watch_photographs, settings) is None
        assert "a.jpg" in (settings.run.folder / "watched.json").read_text()
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    deploy(plain)


@pytest.mark.long  # what stands in it is compared with the code by test_deployments.py
def test_prefect_yaml_makes_the_same_deployments(runs, tmp_path):
    ours = deployed()
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "prefect.yaml", tmp_path / "deploy")
    command = [*PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", "deploy/prefect.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployed() == ours


def test_a_worker_runs_a_deployment_to_the_end(server: Server, runs, tmp_path):
    from prefect.client.orchestration import get_client

    store_in_one_photograph(runs / "default", 2)  # without groups, rescoring fails, as it should
    environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "2"}
    command = [*PREFECT, "worker", "start", "--pool", POOL, "--limit", "1"]
    worker = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        done = subprocess.run(
            [*PREFECT, "deployment", "run", "rescore/nightly", "--watch"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
        )
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    assert done.returncode == 0, done.stdout + done.stderr
    with get_client(sync_client=True) as client:
        nightly = client.read_deployment_by_name("rescore/nightly").id
        ended = [run.state_type for run in client.read_flow_runs() if run.deployment_id == nightly]
    assert [state for state in ended if state != "SCHEDULED"] == ["COMPLETED"]
    assert list((runs / "default" / "store" / "scores").rglob("*.parquet"))
    assert list(tmp_path.iterdir()) == []  # nothing was written where the worker stands


@pytest.fixture(scope="module")
def worker(runs, tmp_path_factory) -> Iterator[subprocess.Popen]:
    """`hmr-align worker`, in a folder in which it should leave nothing."""
    folder = tmp_path_factory.mktemp("worker")
    environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1", "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "any"}
    command = [sys.executable, "-m", "flows.cli.command_line", "worker", "--limit", "1"]
    started = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
    yield started
    if started.poll() is None:
        started.terminate()
        started.wait(60)
    assert list(folder.iterdir()) == []


@pytest.mark.long  # the pages are Prefect's: whether they come in time is not ours
def test_a_browser_starts_a_deployment_and_opens_its_report(server: Server, runs, worker):
    """By the link that logs in, then by clicks; the report is what `rescore` says of a critic that judged before."""
    from prefect.client.orchestration import get_client

    there = runs / "default" / "store"
    store = GroupStore(there) if there.exists() else store_in_one_photograph(runs / "default", 2)
    older = [make_verdict(group, [90, 10, 20, 30], "evidence@1") for group in store.read_groups("round0", "0")]
    store.write_verdicts("round0", "evidence@1", "default", "0", older)
    with get_client(sync_client=True) as client, driven_browser() as browser:
        deployment = client.read_deployment_by_name("rescore/on-demand").id
        page, said = browser.new_page(viewport={"width": 1280, "height": 900}), []
        page.set_default_timeout(120_000)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{server.url}{ENTER}#{server_key(server_home())}")
        page.wait_for_url(re.compile("dashboard"))
        page.wait_for_load_state("networkidle")
        page.goto(f"{server.url}/v2/deployments/deployment/{deployment}")
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Quick run").click()
        page.get_by_role("dialog").get_by_role("button", name="Run", exact=True).click()
        run = ended(client, deployment)
        assert run.state_name == "Completed" and run.name.startswith("rescore default: evidence@")
        page.goto(f"{server.url}/v2/runs/flow-run/{run.id}?tab=Artifacts")
        page.get_by_text("drift-report").first.wait_for()
        shoot(page, "run")
        from prefect.client.schemas.filters import ArtifactFilter

        wanted = ArtifactFilter.model_validate({"flow_run_id": {"any_": [str(run.id)]}})
        (artifact,) = [one for one in client.read_artifacts(artifact_filter=wanted) if one.key == "drift-report"]
        page.goto(f"{server.url}/v2/artifacts/artifact/{artifact.id}")
        link = page.get_by_role("link", name="Open the report").first
        link.wait_for()
        shoot(page, "artifact")
        said.clear()  # pages of Prefect's ask its API for what is not there; ours tell no error
        page.goto(str(link.get_attribute("href")))
        assert "Where they disagree most" in page.inner_text("main")
        pictures = page.locator("img")
        assert pictures.count() >= 3 and pictures.evaluate_all("all => all.every(one => one.naturalWidth > 0)")
        shoot(page, "report")
    assert said == []
    assert list((runs / "default" / "store" / "scores").rglob("*.parquet"))


def ended(client, deployment):
    """The one run of a deployment, once it has ended."""
    from prefect.client.schemas.filters import FlowRunFilter

    own = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        for run in client.read_flow_runs(flow_run_filter=own):
            if run.state and run.state.is_final():
                return run
        time.sleep(0.5)
    raise AssertionError("the run has not ended")


def shoot(page, name: str) -> None:
    """Keep a picture of the page, if somebody wants to see it."""
    if SHOTS:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def test_a_worker_told_to_end_drains_and_the_next_run_goes_on(runs, worker, monkeypatch):
    """No half shard, none asked about twice, the reason in the run's state, the folder free."""
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment

    from flows.stages.score_groups import score_groups

    monkeypatch.setenv("OPENAI_API_KEY", "any")
    shards = 5
    store = store_in_one_photograph(runs / "drained", shards, shards)
    with LoopbackVlm([slow(1.0, good([90, 80, 70, 60]))]) as asked, get_client(sync_client=True) as client:
        critic = {"name": "vlm", "vlm": {"model": "loopback", "base_url": asked.base_url, "max_in_flight": 1}}
        mine = {"run": {"name": "drained", "out": str(runs)}, "overlay": {"size": 64}, "critic": critic}
        run = run_deployment("score-groups/on-demand", parameters={"settings": mine}, timeout=0)
        deadline = time.monotonic() + 120
        while len(asked.calls) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        worker.terminate()
        assert worker.wait(60) == 128 + signal.SIGTERM
        state = client.read_flow_run(run.id).state
        assert (state.type.value, state.message) == (
            "CRASHED",
            "ended by SIGTERM; start it again, finished shards are kept",
        )
        (critic_name,) = store.all_critics()
        assert 1 <= len(store.verdict_shards("round0", critic_name)) < shards and store.verify() == []
        with held(runs / "drained"):
            pass
        assert score_groups.fn(load_settings(None, mine))["scored"] == 4 * shards
        assert len(asked.calls) == shards and len(store.verdict_shards("round0", critic_name)) == shards

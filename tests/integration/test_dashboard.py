"""The dashboard in a browser: log in by the printed link, start a deployment, watch it end, open its report."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.server.guarded_server import ENTER
from flows.server.server import prefect_server, server_home
from flows.server.server_key import server_key
from tasks.run.settings import load_settings
from tests.factories import make_verdict, store_in_one_photograph

pytestmark = pytest.mark.slow
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOTS = os.environ.get("HMR_ALIGN_SCREENSHOTS")
"""Folder for screenshots, to be looked at by a person; none by default."""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A server with all deployments, a worker, and a run that an older critic has judged."""
    from flows.server.deployments import POOL
    from flows.server.set_up import deploy

    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "runs").mkdir()
    store = store_in_one_photograph(folder / "runs" / "default", 2)
    groups = store.read_groups("round0", "0")
    older = [make_verdict(group, [90, 10, 20, 30], "evidence@1") for group in groups]
    store.write_verdicts("round0", "evidence@1", "default", "0", older)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_HOME", str(folder / "home"))
        with prefect_server() as server:
            deploy(load_settings(None, {"run": {"out": str(folder / "runs")}}))
            command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--limit", "1"]
            environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1"}
            worker = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
            try:
                yield server
            finally:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_deployment_is_started_and_its_report_opened(started):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    from prefect.client.orchestration import get_client

    said: list[str] = []
    with get_client(sync_client=True) as client, sync_api.sync_playwright() as playwright:
        deployment = client.read_deployment_by_name("rescore/on-demand").id
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(f"{started.url}{ENTER}#{server_key(server_home())}")
        page.wait_for_url(re.compile("dashboard"))
        page.goto(f"{started.url}/deployments/deployment/{deployment}")
        page.get_by_role("button", name="Run", exact=True).first.click()
        page.get_by_text("Quick run").first.click()
        run = ended_run(client, deployment)
        assert run.state_name == "Completed" and run.name.startswith("rescore default: evidence@")
        page.goto(f"{started.url}/runs/flow-run/{run.id}?tab=Artifacts")
        page.get_by_text("drift-report").first.wait_for()
        shoot(page, "run")
        (artifact,) = [one for one in artifacts(client, run.id) if one.key == "drift-report"]
        page.goto(f"{started.url}/artifacts/artifact/{artifact.id}")
        link = page.get_by_role("link", name="Open the report")
        link.wait_for()
        shoot(page, "artifact")
        ours = len(said)
        page.goto(str(link.get_attribute("href")))
        assert "Where they disagree most" in page.inner_text("main")
        assert page.locator("img").count() >= 3
        assert said[ours:] == []  # the report's own page
        shoot(page, "report")
        browser.close()
    assert not [text for text in said if "reports/" in text]


def ended_run(client, deployment):
    """The one flow run of a deployment, once it has ended."""
    from prefect.client.schemas.filters import FlowRunFilter

    own = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        for run in client.read_flow_runs(flow_run_filter=own):
            if run.state and run.state.is_final():
                return run
        time.sleep(1)
    raise AssertionError("the run has not ended")


def artifacts(client, run):
    from prefect.client.schemas.filters import ArtifactFilter

    wanted = ArtifactFilter.model_validate({"flow_run_id": {"any_": [str(run)]}})
    return client.read_artifacts(artifact_filter=wanted)


def shoot(page, name: str) -> None:
    """Keep a picture of the page, if somebody wants to see it."""
    if SHOTS:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(SHOTS) / f"{name}.png")

"""`rescore` on a real server with a scripted VLM: who must agree, what is spent and told, and that no key is kept."""

import os
import threading
import time

import pytest

from critique.endpoint.loopback import LoopbackVlm, good
from flows.record import approval
from flows.server.server import prefect_server, server_home
from storage.group_store import GroupStore
from tasks.run.settings import Settings
from tests.factories import store_in_one_photograph

pytestmark = pytest.mark.slow
KEY = "sk-nobody-may-read-this"
PEOPLE = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setattr(approval, "POLL", 1)
        with prefect_server():
            yield


@pytest.fixture(scope="module")
def run(server, tmp_path_factory):
    """A run that `evidence` has judged."""
    from flows.stages.score_groups import score_groups

    folder = tmp_path_factory.mktemp("runs")
    store_in_one_photograph(folder / "mine", PEOPLE)
    score_groups(settings(folder, {"name": "evidence"}))
    return folder


def settings(folder, critic, **rescore) -> Settings:
    return Settings.model_validate(
        {"run": {"name": "mine", "out": folder}, "overlay": {"size": 64}, "critic": critic, "rescore": rescore}
    )


def vlm(server: LoopbackVlm, seed: int) -> dict:
    """Another seed is another version of the critic."""
    own = {
        "model": "loopback",
        "seed": seed,
        "base_url": server.base_url,
        "prompt_price": 100.0,
        "completion_price": 100.0,
    }
    return {"name": "vlm", "vlm": own | {"max_in_flight": 1}}


def answer(client, approve: bool) -> None:
    """What the dashboard sends when somebody presses Resume and fills in the form, as soon as a run waits for it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        waiting = [one for one in client.read_flow_runs() if one.state_type == "PAUSED"]
        if waiting:
            client.resume_flow_run(waiting[0].id, run_input={"approve": approve, "why": "the plan is right"})
            return
        time.sleep(0.3)


def events(client, name: str, critic: str) -> list[dict]:
    """Payloads of our events about a critic, which the server stores within seconds."""
    from prefect.events.filters import EventFilter

    wanted = EventFilter.model_validate({"event": {"name": [f"hmr-align.{name}"]}})
    deadline = time.monotonic() + 30
    found: list[dict] = []
    while not found and time.monotonic() < deadline:
        told = [one.payload for one in client.read_events(filter=wanted, limit=50).events]
        found = [one for one in told if one["critic"].startswith(critic)] or found
        time.sleep(0.5)
    return found


def test_money_needs_somebody_who_agrees(run):
    from prefect.client.orchestration import get_client

    from flows.rescore import NOT_APPROVED, rescore

    with LoopbackVlm([good([90, 80, 70, 60])]) as server, get_client(sync_client=True) as client:
        critic = vlm(server, 1)
        state = rescore(settings(run, critic, approval_minutes=0.01), return_state=True)
        assert state.name == NOT_APPROVED and "spend about" in (state.message or "")
        assert state.result()["scored"] == 0 and not server.calls  # nobody answered: nothing was sent
        for approve, scored in ((False, 0), (True, 4 * PEOPLE)):
            helper = threading.Thread(target=answer, args=(client, approve))
            helper.start()
            found = rescore(settings(run, critic, approval_minutes=1.0), return_state=True)
            helper.join()
            assert found.result()["scored"] == scored == 4 * len(server.calls), found
        assert found.result()["money"] > 0
        (name,) = [one for one in GroupStore(run / "mine" / "store").all_critics() if one.startswith("vlm-")]
        assert (run / "mine" / "rescored" / name / "report.html").exists()
        again = rescore(settings(run, critic))  # nothing lacks a verdict: nobody is asked, nothing is sent
        assert again["scored"] == 0 and len(server.calls) == PEOPLE
        assert "correlation" not in again  # and no event tells the same thing every night
        (told,) = events(client, "rescored", name)
        assert told["critic"] == name and told["against"].startswith("evidence@")


def test_a_budget_is_kept_and_the_rest_is_for_the_next_night(run):
    from flows.rescore import rescore

    with LoopbackVlm([good([90, 80, 70, 60])]) as server:
        own = settings(run, vlm(server, 2), approve_above=None, order="uncertain")
        whole = rescore(own, budget=1e-9)
        assert whole["scored"] == 0 and not server.calls
        one = rescore(own, where=f"round0/{first_group(run)}")
        assert one["scored"] == 4 and len(server.calls) == 1
        rest = rescore(own.model_copy(update={"rescore": own.rescore.model_copy(update={"groups": 1})}))
        assert rest["scored"] == 4 and len(server.calls) == 2


def first_group(run) -> str:
    return next(iter(GroupStore(run / "mine" / "store").hypotheses_of("round0", "0")))


def test_versions_that_disagree_send_an_event(run):
    from prefect.client.orchestration import get_client

    from flows.rescore import rescore

    found = rescore(settings(run, {"name": "shuffled"}, warn_below=1.0, against=evidence(run)))
    assert found["correlation"] < 1
    with get_client(sync_client=True) as client:
        (told,) = events(client, "drift", "shuffled")
    assert told["against"] == evidence(run) and told["correlation"] == pytest.approx(found["correlation"])


def evidence(run) -> str:
    return next(one for one in GroupStore(run / "mine" / "store").all_critics() if one.startswith("evidence@"))


def test_the_key_is_nowhere(run):
    """Parameters, logs, artifacts and events are in the server's database; answers and verdicts in the run's folder."""
    assert os.environ["OPENAI_API_KEY"] == KEY
    files = [path for folder in (server_home(), run) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10 and any(path.name.endswith(".db") for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []

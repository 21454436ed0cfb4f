"""What a vision-language critic is sent, shown before by `critique --show-request` and afterwards by the viewer.

Both are the very bytes that a server received, and no key is needed or written.
"""

import base64
import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from critique.endpoint.loopback import LoopbackVlm, error, from_pixels, good
from critique.memory.memory import Memory
from critique.memory.prototypes import Prototype
from critique.memory.rules import Rule
from storage.group_store import GroupStore
from tasks.critics.rebuilt_request import rebuilt_requests
from tasks.critics.remembering import save_memory
from tasks.critics.shown_request import show_requests, summary_lines
from tasks.rendering import render_shard
from tasks.run.settings import Settings, SettingsError, load_settings
from tasks.scoring import make_critic, score_shard
from tasks.viewer.server import ViewedRun, application
from tests.factories import store_in_one_photograph

KEY = "sk-a-secret-of-32-characters-0001"


@pytest.fixture
def run(tmp_path):
    """The folder of a run with one group of four."""
    store_in_one_photograph(tmp_path / "run", 1)
    return tmp_path / "run"


def chosen(run, server: LoopbackVlm, **vlm) -> Settings:
    own = {"base_url": server.base_url, "model": "loopback", "retries": 0, "prompt_price": 2.0} | vlm
    flags = {"run": {"out": str(run.parent), "name": "run"}, "critic": {"name": "vlm", "vlm": own}}
    return load_settings(None, flags | {"overlay": {"backend": "numba", "size": 64}})


def only_group(run) -> str:
    return next(iter(GroupStore(run / "store").hypotheses_of("round0", "0")))


def judge(run, settings: Settings) -> dict[str, int]:
    return score_shard.fn("0", "round0", "r", run / "store", None, settings.critic, settings.overlay, 0)


@pytest.mark.parametrize(
    "vlm",
    [
        {},
        {"encoding": "webp", "views": "front+side", "max_picture_bytes": 4096},
        {"layout": "sheet"},
        {"mode": "pairs", "encoding": "png", "max_in_flight": 1},
    ],
    ids=str,
)
def test_what_is_shown_is_what_is_sent(run, monkeypatch, vlm):
    with LoopbackVlm([from_pixels()]) as server:
        settings = chosen(run, server, **vlm)
        shown = show_requests(settings, only_group(run))  # there is no key yet
        bodies = [(shown.folder / f"request_{k + 1}.json").read_bytes() for k in range(len(shown.requests))]
        assert not server.calls and not server.others
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert judge(run, settings)["scored"] == 4
    assert sorted(call.content for call in server.calls) == sorted(bodies)
    first = next(call for call in server.calls if call.content == bodies[0])
    files = [(shown.folder / name).read_bytes() for name in shown.requests[0].files]
    assert len(files) == len(first.pictures) and all(file in map(_bytes, first.parts) for file in files)
    assert KEY not in "".join(path.read_text("latin-1") for path in shown.folder.iterdir())
    text = "\n".join(summary_lines(shown))
    assert "You are an expert" in text and f"<{shown.requests[0].files[0]}>" in text
    assert str(shown.folder) in text and "Nothing was sent" in text and shown.requests[0].money > 0


def _bytes(part: dict) -> bytes:
    return base64.b64decode(part["image_url"]["url"].split(",", 1)[1]) if part["type"] == "image_url" else b""


def test_what_the_server_refused_is_not_shown(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with LoopbackVlm(
        lambda n, body: (error(400, "response_format?") if "response_format" in body else good())(body)
    ) as (server):
        settings = chosen(run, server)
        judge(run, settings)
        shown = show_requests(settings, only_group(run))
    assert (shown.folder / "request_1.json").read_bytes() == server.calls[-1].content
    assert "response_format" not in json.loads(server.calls[-1].content)


def test_what_cannot_be_shown_says_why(run):
    with LoopbackVlm([good()]) as server:
        settings = chosen(run, server)
        with pytest.raises(SettingsError, match=rf"no group 'nobody'; there is for example {only_group(run)}"):
            show_requests(settings, "nobody")
        other = load_settings(None, {"run": {"out": str(run.parent), "name": "run"}})
        with pytest.raises(SettingsError, match="critic 'evidence' sends no request"):
            show_requests(other, only_group(run))


def test_kept_and_drawn_pictures_are_sent_alike(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with LoopbackVlm([from_pixels()]) as server:
        settings = chosen(run, server)
        critic = make_critic(settings.critic, 0, folder=run)
        drawn = show_requests(settings, only_group(run))
        body = (drawn.folder / "request_1.json").read_bytes()
        sight = critic.sight  # type: ignore[attr-defined]
        assert render_shard.fn("0", "round0", run / "store", None, settings.overlay, sight, [critic.name]) == 1
        kept = show_requests(settings, only_group(run))
        assert len(list((run / "store" / "pictures").rglob("*.zip"))) == 1
        assert (kept.folder / "request_1.json").read_bytes() == body
        judge(run, settings)
    (verdict,) = GroupStore(run / "store").read_verdicts("round0", critic.name, "0")
    assert server.calls[0].content == body and not np.isnan(verdict.scores).any()


def test_the_viewer_shows_the_request_that_was_sent_with_rules_prototypes_and_the_whole_answer(
    run, monkeypatch, tmp_path
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    group = GroupStore(run / "store").read_groups("round0", "0")[0]
    where = f"0/round0/{group.person.group_id}"
    rule = Rule.named("When a foot floats, take 10 points off.", tags=("foot_contact", "scale"), state="admitted")
    embedding = tuple(Memory().embed(group.person).tolist())
    shown = Prototype(id="p-1", rationale="Score 34: the left knee bends backwards.", score=34, embedding=embedding)
    save_memory(tmp_path / "memory", Memory(rules=(rule,), prototypes=(shown,)), None)
    with LoopbackVlm([from_pixels()]) as server:
        settings = chosen(run, server, memory=str(tmp_path / "memory"), mode="pairs", max_in_flight=1)
        (run / "settings.json").write_text(json.dumps({"settings": settings.model_dump(mode="json")}))
        assert judge(run, settings)["scored"] == 4
    kept = sorted(path.name for path in run.iterdir())
    viewed = ViewedRun(run)
    client = TestClient(application([viewed]))
    (critic,) = viewed.gallery.critics
    verdict = client.get(f"/api/group/{where}").json()["critics"][critic]
    assert verdict["servers"] == [critic] and verdict["rules"] == [{"id": rule.id, "text": rule.text}]
    sent = {call.content: call for call in server.calls}
    for number in range(len(server.calls)):
        asked = {"critic": critic, "number": number}
        found = client.get(f"/api/asked/{where}", params=asked).json()
        body = client.get(f"/api/asked/{where}", params=asked | {"file": 1}).content
        pictures = [part["picture"] for part in found["messages"][0]["parts"] if "picture" in part]
        assert found["proved"] and found["count"] == len(server.calls)
        assert pictures == [part["image_url"]["url"] for part in sent[body].parts if part["type"] == "image_url"]
        assert found["answer"] and json.loads(found["answer"])["choices"]
        assert found["memory"]["rules"][0]["text"] == rule.text and KEY not in body.decode() + json.dumps(found)
        assert found["memory"]["prototypes"][0]["rationale"] == shown.rationale
    assert sorted(path.name for path in run.iterdir()) == kept  # it was looked at, no more
    assert client.get(f"/api/asked/{where}?critic=evidence").status_code == 404
    record = viewed.store.critic_description(critic)
    assert record is not None
    other = settings.overlay.model_copy(update={"opacity": 1.0})  # other pictures are another request: it is not proved
    assert [one.answer for one in rebuilt_requests(record, group, run, None, other).requests] == [None] * len(sent)
    older = record | {"prompt_version": 1, "critic": "vlm-loopback@00000000"}
    with pytest.raises(SettingsError, match="in the words of version 1"):
        rebuilt_requests(older, group, run, None, settings.overlay)

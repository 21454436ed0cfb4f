"""Names of critics that nobody asked: those under which their verdicts are stored."""

import pytest

from critique.endpoint.loopback import LoopbackVlm, good
from storage.memory_store import MemoryStore
from tasks.critics.critic_names import stored_name
from tasks.run.settings import CriticSection, SettingsError
from tasks.scoring import make_critic

PANEL = {"members": {"vlm": 2.0, "physics": 1.0, "oracle": 0.5}, "combine": "rank"}


@pytest.mark.parametrize("name", ["vlm", "panel", "evidence", "scorer", "oracle", "shuffled"])
@pytest.mark.parametrize("with_memory", [False, True])
def test_it_is_the_critics_own_name_without_key_and_server(tmp_path, monkeypatch, name, with_memory):
    vlm = {"model": "loopback", "repeats": 3}
    if with_memory:
        MemoryStore(tmp_path / "memory").write({"rules": [], "prototypes": [], "events": []}, None)
        vlm["memory"] = str(tmp_path / "memory")
    section = CriticSection(name=name, vlm=vlm, panel=PANEL)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    named = stored_name(section, 3)
    with LoopbackVlm([good()]) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert named == make_critic(section, 3, truth=lambda group: group.latents).name


@pytest.mark.parametrize("members", [{}, {"panel": 1.0, "vlm": 1.0}, {"nobody": 1.0}, {"vlm": 1.0, "nobody": 1.0}])
def test_a_critic_that_cannot_be_is_refused(members):
    with pytest.raises(SettingsError):
        stored_name(CriticSection(name="panel", panel={"members": members}), 0)

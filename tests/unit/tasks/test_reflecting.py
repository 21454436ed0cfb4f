"""Reflection as a stage: sealed labels, a real critic on studio people, versions of the memory; export and import."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from critique.endpoint.loopback import JudgingStyle, LoopbackVlm, agreement
from critique.endpoint.loopback_auditor import Auditing, overlooking_feet
from critique.memory.memory import Memory, MemoryStoreError
from critique.memory.rules import Rule
from critique.vlm.vlm_settings import VlmSettings
from hmr.studio.studio import SealedLabelsError
from storage.group_store import GroupStore
from storage.schema import StoreError
from tasks.critics.remembering import (
    embedder_of,
    export_memory,
    import_memory,
    load_memory,
    newest,
    save_memory,
    vlm_critic,
)
from tasks.finding import PhotographShard, find_shard
from tasks.photographs import studio_photographs
from tasks.reflecting import labelled_errors, reflect_on, reflecting_critic
from tasks.run.settings import CriticSection, OverlaySection, Reflect, Sample, SettingsError
from tasks.sampling import body, sample_shard
from tests.factories import make_group, make_person

RULE = Rule.named("When a foot floats, take 5 points off.", tags=("foot_contact", "scale"), state="admitted")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "word")


@pytest.mark.parametrize("split", ["wild", "test", "easy_test"])
def test_sealed_labels_stay_sealed(split):
    rng = np.random.default_rng(0)
    group = make_group(rng, 2, make_person(rng, photo=f"/photographs/{split}-000003.png"))
    with pytest.raises(SealedLabelsError, match="sealed from reflection"):
        labelled_errors(body(None), split, [group])


def test_a_photograph_of_another_split_is_refused():
    rng = np.random.default_rng(0)
    group = make_group(rng, 2, make_person(rng, photo="/photographs/wild-000003.png"))
    with pytest.raises(SettingsError, match="no photograph of the split 'val'"):
        labelled_errors(body(None), "val", [group])


def test_a_critic_without_rules_cannot_reflect():
    with pytest.raises(SettingsError, match="takes no rules"):
        reflecting_critic(CriticSection(name="evidence"))


def test_two_sessions_on_studio_people_and_frozen_judging_after_them(tmp_path):
    """Pictures, requests, labels and stores are real; the second session starts from the first one's memory."""
    photographs = studio_photographs.fn("easy_val", 7, tmp_path / "photographs")
    shard = PhotographShard(
        "easy_val-0000", tuple((path, path.stem) for path in sorted(photographs.iterdir())), thorough=False
    )
    store = tmp_path / "store"
    find_shard.fn(shard, store, None, 1.25)
    sample_shard.fn(shard.name, "gen", store, "default", None, Sample(hypotheses=4, temperature=6.0), 0)
    reflect = Reflect(split="easy_val", explore=2, gate=5, check=0, audits=2, candidates=1, resamples=50)
    overlay = OverlaySection(backend="numba", size=96)
    memory = tmp_path / "memory"
    with LoopbackVlm(Auditing(JudgingStyle(look=overlooking_feet(agreement)))) as server:
        vlm = {"base_url": server.base_url, "model": "loopback"}
        section = CriticSection(name="vlm", vlm=vlm)

        def session():
            return reflect_on.fn("gen", store, None, section, reflect, overlay, memory, tmp_path / "answers.sqlite")

        first = session()
        asked = len(server.calls)
        second = session()
        assert (first.version, second.version) == ("1", "2")
        assert -1 <= first.numbers["explore_srcc"] <= 1 and asked >= 2
        kept = load_memory(memory)
        with Image.open(io.BytesIO(kept.prototypes[0].picture)) as picture:
            assert picture.size == (256, 256)
        critic = vlm_critic(VlmSettings(**vlm, memory=memory, encoding="png"))
        server.calls.clear()
        drawn = _drawn(store, overlay)
        asyncio.run(critic.judge_many([drawn]))
        shown = kept.recall(drawn.group.person).prototypes
        assert shown and all(prototype.rationale in server.calls[0].text for prototype in shown)
    assert newest(memory) == "2"  # judging wrote nothing


def _drawn(store, overlay):
    from hmr.rendering.renderers import open_renderer
    from tasks.rendering import draw_group

    group = GroupStore(store).read_groups("gen", "easy_val-0000")[0]
    return draw_group(body(None), group, renderer=open_renderer("numba"), size=overlay.size)


def test_export_and_import_are_a_round_trip(tmp_path):
    save_memory(tmp_path / "one", Memory((RULE,)), None)
    file = export_memory(tmp_path / "one", tmp_path / "written")
    assert "take 5 points off" in file.read_text()
    assert import_memory(tmp_path / "two", file, "now", trust=True) == ("1", 1, 0)
    assert load_memory(tmp_path / "two").rules == (RULE,)
    assert import_memory(tmp_path / "two", file, "now") == ("1", 0, 0)  # nothing new: no new version
    import_memory(tmp_path / "three", file, "now")
    assert [rule.state for rule in load_memory(tmp_path / "three").rules] == ["candidate"]
    file.write_text(file.read_text().replace("take 5 points off", "ignore all else"))
    with pytest.raises(MemoryStoreError, match="no effect on the score"):
        import_memory(tmp_path / "two", file, "now")


def test_a_critic_with_a_memory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="there is no memory here"):
        vlm_critic(VlmSettings(base_url="http://127.0.0.1:9/v1", model="m", memory=tmp_path / "gone"))


def test_the_embedder_follows_the_settings():
    chosen = VlmSettings(base_url="http://127.0.0.1:9/v1", recall={"embedder": "endpoint:org/clip"})
    assert embedder_of(chosen).base_url == "http://127.0.0.1:9/v1"

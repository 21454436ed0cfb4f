"""ScoreNet as a critic: named by its weights, shown 256 px of each photograph, refused with the mend where it lacks."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import torch

import tasks.critics.scorenet
from critique.critic import Critic
from hmr.models.checkpoint import SCORE_FORMAT
from hmr.models.compute import Compute
from hmr.models.weights_file import CheckpointError, save_weights
from hmr.published.scorenet import ScoreModel
from storage.records import DrawnGroup, Group
from tasks.benchmarking import choosing_critic
from tasks.critics.scorenet import scorenet_critic, scorenet_scores
from tasks.groups.pictures import pictures
from tasks.run.settings import CriticSection, PanelSettings, ScoreNetSettings, SettingsError, load_settings
from tasks.scoring import make_critic
from tests.factories import make_group, make_person


class SmallJudge(torch.nn.Module):
    """In place of the network: likes hypotheses whose first number is near the picture's mean red."""

    picture_side = 256

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def score(self, picture: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        assert picture.dtype == torch.uint8 and picture.shape[1:] == (256, 256, 3)
        self.seen.append(len(picture))
        return -(latents[..., 0] - picture[..., 0].float().mean((1, 2))[:, None] / 255).abs()


def studio_group(scene: int, size: int = 4) -> Group:
    rng = np.random.default_rng(scene)
    person = make_person(rng, photo="", photo_sha256="", group_id=f"val-{scene:06d}", crop=np.float32([160, 160, 240]))
    return make_group(rng, size, person)


def drawn(group: Group) -> DrawnGroup:
    return DrawnGroup(group, np.zeros((len(group), 64, 64), np.uint8), np.zeros(len(group), np.float32))


def test_raw_scores_are_of_each_persons_own_picture_and_hypotheses():
    groups = [studio_group(0), studio_group(1), studio_group(2, size=6), studio_group(3)]
    judge = SmallJudge()
    found = scorenet_scores(judge, Compute(), groups)
    assert judge.seen == [2, 1, 1]  # groups of one size go together
    for group, raw in zip(groups, found):
        red = pictures([group.person], 256)[0, ..., 0].astype(float).mean() / 255
        np.testing.assert_allclose(raw, -np.abs(group.latents[:, 0] - red), atol=1e-5)


def test_the_name_is_of_the_weights_and_the_best_is_said_to_be(monkeypatch):
    monkeypatch.setattr(tasks.critics.scorenet, "judge", lambda path: (SmallJudge(), "89abcdef01234567"))
    critic = make_critic(CriticSection(name="scorenet", scorenet=ScoreNetSettings(checkpoint="scorenet.pth")), seed=0)
    assert isinstance(critic, Critic) and critic.name == "scorenet@89abcdef" and not critic.needs_pictures
    group = studio_group(0)
    verdict = critic.judge(drawn(group))
    raw = scorenet_scores(SmallJudge(), Compute(), [group])[0]
    assert verdict.critic == critic.name and verdict.comments[int(raw.argmax())] == "best of 4"
    assert verdict.scores.argmax() == raw.argmax()


def test_the_file_is_asked_for_and_must_be_there(tmp_path):
    with pytest.raises(SettingsError, match=r"^\[critic.scorenet\] needs the key 'checkpoint'.*scorenet.pth"):
        make_critic(CriticSection(name="scorenet"), seed=0)
    absent = tmp_path / "absent.pth"
    with pytest.raises(CheckpointError, match=r"absent\.pth"):
        scorenet_critic(ScoreNetSettings(checkpoint=absent))


def test_its_settings_are_closed_and_its_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.toml"
    file.write_text('[critic]\nname = "scorenet"\nscorenet = { checkpoint = "s.pth", precision = "bf16" }')
    settings = load_settings(file).critic.scorenet
    assert (settings.checkpoint, settings.precision) == (tmp_path / "s.pth", "bf16")
    file.write_text('[critic]\nscorenet = { checkpont = "s.pth" }')
    with pytest.raises(SettingsError, match=r"\[critic.scorenet\] has no key 'checkpont'. Did you mean 'checkpoint'\?"):
        load_settings(file)


def test_it_chooses_in_the_benchmark_when_it_is_the_runs_critic():
    for name, chosen in {"scorenet": "scorenet", "evidence": "evidence", "vlm": "vlm", "oracle": "evidence"}.items():
        assert choosing_critic(CriticSection(name=name)).name == chosen
    asks = CriticSection(name="panel", panel=PanelSettings(members={"evidence": 1.0, "vlm": 1.0}))
    assert choosing_critic(asks).name == "panel"
    assert choosing_critic(asks, drawn_people=True).name == "evidence"  # nobody pays for drawn people unasked
    assert choosing_critic(asks, "vlm", drawn_people=True).name == "vlm"


@pytest.mark.slow
def test_the_real_network_judges_from_a_file(tmp_path):
    torch.manual_seed(0)
    model = ScoreModel().eval()
    path = tmp_path / "scorenet.safetensors"
    save_weights(model, path, SCORE_FORMAT, {"provenance": {}})
    critic = make_critic(CriticSection(name="scorenet", scorenet=ScoreNetSettings(checkpoint=path, device="cpu")), 0)
    assert critic.name == f"scorenet@{model.digest()[:8]}"
    groups = [studio_group(0, size=3), studio_group(1, size=3)]
    groups[1] = replace(groups[1], latents=np.where(np.arange(3)[:, None] == 1, np.nan, groups[1].latents))
    verdicts = asyncio.run(critic.judge_many(map(drawn, groups)))
    seen = torch.from_numpy(pictures([g.person for g in groups], 256))
    raw = model.score(seen, torch.from_numpy(np.stack([g.latents for g in groups]))).numpy()
    assert np.isfinite(raw[0]).all() and len(set(raw[0])) == 3
    np.testing.assert_array_equal(np.argsort(verdicts[0].scores), np.argsort(raw[0]))
    assert verdicts[1].statuses == ("ok", "abstained", "ok")

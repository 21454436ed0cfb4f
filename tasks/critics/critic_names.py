"""The name and version under which a critic's verdicts are stored, found without asking its server."""

from pathlib import Path

from critique.judge.cascade import CascadeCritic
from critique.noisy import NoisyCritic
from critique.panel import Member, PanelCritic
from critique.scripted import ScriptedCritic
from critique.shuffled import ShuffledCritic
from critique.vlm.vlm_critic import name_of
from critique.vlm.vlm_settings import VlmSettings
from storage.records import DrawnGroup, Verdict
from tasks.critics.judges import cascade_judge
from tasks.critics.remembering import memory_of
from tasks.run.settings import CriticSection, SettingsError, validate
from tasks.scoring import make_critic


def stored_name(section: CriticSection, seed: int, run: Path | None = None, gen: str | None = None) -> str:
    """The name that `make_critic` would give the critic; training and plans only read its verdicts and need no key or
    server.

    run: folder of the run, whose version of the memory counts; gen: the generation that is judged, which matters to a
    cascade, whose judge learns on; without it the newest judge counts. Raises SettingsError for a critic that does not
    exist.
    """
    if section.name == "vlm":
        vlm = validate(VlmSettings, section.vlm, "settings", "critic.vlm")
        return name_of(vlm, memory_of(vlm, run))
    if section.name == "shuffled":
        inner = stored_name(section.named(section.shuffled.of), seed, run, gen)
        return ShuffledCritic(ScriptedCritic(_judges_nothing, inner), seed).name
    if section.name == "noisy":
        inner = stored_name(section.named(section.noisy.of), seed, run)
        return NoisyCritic(ScriptedCritic(_judges_nothing, inner), section.noisy.noise, section.noisy.seed).name
    if section.name == "cascade":
        teacher = stored_name(section.named(section.cascade.teacher), seed, run)
        return CascadeCritic(cascade_judge(section.cascade, run, gen), teacher).name
    if section.asks_server and "panel" not in section.judges:
        members = (
            Member(ScriptedCritic(_judges_nothing, stored_name(section.named(name), seed, run)), weight)
            for name, weight in section.panel.members.items()
        )
        return PanelCritic(tuple(members), section.panel.combine).name
    return make_critic(section, seed, truth=lambda group: group.latents).name


def _judges_nothing(group: DrawnGroup) -> Verdict:
    raise SettingsError(f"{group.group.person.group_id}: a critic that was only named judges nobody")

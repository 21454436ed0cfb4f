"""The critic `cascade`: the teacher's verdict on the groups that it was asked about, the judge's on all others."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from critique.judge.distilled import DistilledCritic
from critique.judge.network import Judge
from storage.records import DrawnGroup, Verdict


@dataclass(frozen=True)
class CascadeCritic:
    """Critic: asks nobody itself. `answers` are the teacher's stored verdicts on this generation, by group id."""

    network: Judge
    teacher: str  # its name and version
    answers: Mapping[str, Verdict] = field(default_factory=dict)
    needs_pictures: bool = False

    @property
    def name(self) -> str:
        """ "cascade@" and a digest of the judge's weights and the teacher's version."""
        details = f"{self.network.digest} {self.teacher}"
        return f"cascade@{hashlib.sha256(details.encode()).hexdigest()[:8]}"

    def judge(self, group: DrawnGroup) -> Verdict:
        """The teacher's verdict under our name if it scored a hypothesis, else the judge's."""
        answer = self.answers.get(group.group.person.group_id)
        if answer is not None and "ok" in answer.statuses and len(answer.scores) == len(group.group):
            return replace(answer, critic=self.name, replies=(), seconds=0.0, cost=0.0)
        return replace(DistilledCritic(self.network).judge(group), critic=self.name)

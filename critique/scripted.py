"""A critic that answers with a function of your own: for tests and dry runs, never for training."""

from collections.abc import Callable
from dataclasses import dataclass

from storage.records import DrawnGroup, Verdict


@dataclass(frozen=True)
class ScriptedCritic:
    """Returns `answer(group)` as it is."""

    answer: Callable[[DrawnGroup], Verdict]
    name: str = "scripted@1"
    needs_pictures: bool = False

    def judge(self, group: DrawnGroup) -> Verdict:
        """What `answer` returns for the group."""
        return self.answer(group)

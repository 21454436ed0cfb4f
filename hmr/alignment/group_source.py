"""Where training takes its groups from: all scores at once, people and hypotheses row by row."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hmr.diffusion.condition import Condition, Observation

__all__ = ["GroupBatch", "GroupSource", "ScoredGroups"]


class GroupBatch(NamedTuple):
    """A few groups; n images, g hypotheses."""

    condition: Condition | Observation  # of the n images; observations where the encoder is trained too
    latents: Float[Tensor, "n g 133"]

    def to(self, device: torch.device) -> "GroupBatch":
        condition = self.condition
        moved = (
            condition.to(device)
            if isinstance(condition, Condition)
            else Observation(*(part.to(device) for part in condition))
        )
        return GroupBatch(moved, self.latents.to(device))

    def part(self, groups: slice, hypotheses: slice = slice(None)) -> "GroupBatch":
        """Some of the groups, and of their hypotheses."""
        rows = torch.arange(len(self.latents), device=self.latents.device)[groups]
        return GroupBatch(self.condition.select(rows), self.latents[groups, hypotheses])


@runtime_checkable
class GroupSource(Protocol):
    """Groups with their scores; may be larger than memory but for the scores."""

    @property
    def scores(self) -> Float[Tensor, "n g"]:
        """0-100, NaN = abstained."""
        ...

    @property
    def uncertainty(self) -> Float[Tensor, "n g"] | None:
        """Standard errors of the scores in points, NaN = not known."""
        ...

    @property
    def shards(self) -> Sequence[int]:
        """How many rows in turn are read together; they add up to n."""
        ...

    @property
    def window(self) -> int:
        """How many shards the source keeps at hand."""
        ...

    def fetch(self, rows: Int[Tensor, " some"]) -> GroupBatch:
        """The groups of some rows, in their order, on the CPU."""
        ...


class ScoredGroups(NamedTuple):
    """A source in memory; n images, g hypotheses."""

    condition: Condition | Observation  # of the n images
    latents: Float[Tensor, "n g 133"]
    scores: Float[Tensor, "n g"]
    uncertainty: Float[Tensor, "n g"] | None = None

    @property
    def shards(self) -> Sequence[int]:
        return (len(self.latents),)

    @property
    def window(self) -> int:
        return 1

    def fetch(self, rows: Int[Tensor, " some"]) -> GroupBatch:
        return GroupBatch(self.condition.select(rows), self.latents[rows])

"""Where training takes its groups from: all scores at once, people and hypotheses row by row."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hmr.diffusion.condition import Condition, Observation

__all__ = ["GroupBatch", "GroupSource", "ScoredGroups"]


class GroupBatch(NamedTuple):
    """A few groups; n images, g hypotheses each. Latents: diffused vectors, laid out as in `hmr.diffusion.latent`."""

    condition: Condition | Observation  # of the n images; observations where the encoder is trained too
    latents: Float[Tensor, "n g 133"]

    def to(self, device: torch.device) -> "GroupBatch":
        """The same groups on another device."""
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
    """Groups with their scores. Only the scores must fit into memory; the groups may be larger."""

    @property
    def scores(self) -> Float[Tensor, "n g"]:
        """Scores of n images with g hypotheses each, 0-100, NaN = abstained."""
        ...

    @property
    def uncertainty(self) -> Float[Tensor, "n g"] | None:
        """Standard errors of the scores in points, NaN = not known."""
        ...

    @property
    def shards(self) -> Sequence[int]:
        """Sizes of the runs of rows that are read together, in their order; they add up to n."""
        ...

    @property
    def window(self) -> int:
        """How many shards the source keeps in memory."""
        ...

    def fetch(self, rows: Int[Tensor, " some"]) -> GroupBatch:
        """The groups of some rows, in the order of `rows`, on the CPU; latents as in `GroupBatch`."""
        ...


class ScoredGroups(NamedTuple):
    """A source in memory; n images, g hypotheses."""

    condition: Condition | Observation  # of the n images
    latents: Float[Tensor, "n g 133"]
    scores: Float[Tensor, "n g"]
    uncertainty: Float[Tensor, "n g"] | None = None

    @property
    def shards(self) -> Sequence[int]:
        """One shard, since everything is in memory."""
        return (len(self.latents),)

    @property
    def window(self) -> int:
        """The one shard is always in memory."""
        return 1

    def fetch(self, rows: Int[Tensor, " some"]) -> GroupBatch:
        """The groups of some rows, in the order of `rows`; latents (some, g, 133) as in `GroupBatch`."""
        return GroupBatch(self.condition.select(rows), self.latents[rows])

"""The published network ScoreNet as a critic: it sees each photograph again, cropped as in its training."""

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from critique.learned import LearnedCritic
from hmr.models.checkpoint import load_score_model
from hmr.models.compute import Compute
from hmr.published.scorenet import ScoreModel
from storage.records import Group
from tasks.groups.pictures import pictures
from tasks.run.devices import compute_for
from tasks.run.settings import ScoreNetSettings, SettingsError

BATCH = 8
"""People judged at once."""


def scorenet_critic(settings: ScoreNetSettings) -> LearnedCritic:
    """The critic, named "scorenet@" and the first 8 hex digits of the weights' digest.

    Raises SettingsError without a checkpoint, CheckpointError for one that cannot be used.
    """
    if settings.checkpoint is None:
        raise SettingsError(
            "[critic.scorenet] needs the key 'checkpoint': the file of a ScoreNet, as in "
            '[critic] scorenet = { checkpoint = "scorenet.pth" }'
        )
    model, digest = judge(settings.checkpoint)
    return LearnedCritic(partial(scorenet_scores, model, compute_for(settings)), f"scorenet@{digest[:8]}", batch=BATCH)


@lru_cache(maxsize=1)
def judge(checkpoint: Path) -> tuple[ScoreModel, str]:
    """The model, one per process, and the digest of its weights."""
    model = load_score_model(checkpoint)
    return model, model.digest()


def scorenet_scores(model: ScoreModel, compute: Compute, groups: Sequence[Group]) -> list[NDArray[np.float64]]:
    """Raw scores (G,) of each group, unbounded, higher is better; not finite where the network's are not."""
    model.to(compute.device)
    seen = torch.from_numpy(pictures([group.person for group in groups], model.picture_side))
    found: list[NDArray[np.float64]] = []
    for _, alike in groupby(groups, key=len):  # groups of one size go through the network together
        latents = torch.from_numpy(np.stack([group.latents for group in alike]))
        rows = slice(len(found), len(found) + len(latents))
        with compute.autocast():
            raw = model.score(seen[rows].to(compute.device), latents.to(compute.device))
        found += list(raw.double().cpu().numpy())
    return found

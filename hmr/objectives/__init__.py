"""Training objectives: from noise errors and advantages of whole groups to one loss. Torch only.

    settings = preset("stable")
    advantages = group_advantages(scores, **settings.advantage.model_dump())
    errors = noise_errors(policy, noise, reference, heads=settings.heads)
    loss, diagnostics = alignment_loss(errors, advantages, settings)

where one (t, eps) is drawn per group (`draws.py`) and `policy`, `reference` are the noise predicted for it.
Each objective is one file with one function that follows the protocol in `objective.py`: it sees how each
hypothesis' error changed against the reference model, and gives one number per image and head. Kappa, anchor
and head weights are added to any of them by `loss.py`.

To add one: write `<name>.py` beside `linear.py`, add it to `OBJECTIVES` in `loss.py` and to the names in
`settings.py` (to `NEEDS_REFERENCE` too, if its gradient depends on the reference), and give it a hand-worked
test.
"""

from hmr.objectives.draws import draw_noise, draw_timesteps, step_weights
from hmr.objectives.errors import GroupErrors, noise_errors
from hmr.objectives.loss import OBJECTIVES, AlignmentLoss, alignment_loss, beta_advice
from hmr.objectives.settings import PRESETS, Head, ObjectiveSettings, preset

__all__ = [
    "OBJECTIVES",
    "PRESETS",
    "AlignmentLoss",
    "GroupErrors",
    "Head",
    "ObjectiveSettings",
    "alignment_loss",
    "beta_advice",
    "draw_noise",
    "draw_timesteps",
    "noise_errors",
    "preset",
    "step_weights",
]

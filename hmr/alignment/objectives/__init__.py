"""Training objectives: from noise errors and advantages of whole groups to one loss. Torch only.

    settings = preset("stable")
    advantages = group_advantages(scores, **settings.advantage.model_dump())
    steps, noise = draw_steps_and_noise(settings, generator, latents.shape, device)
    errors = noise_errors(policy, noise, reference, heads=settings.heads)
    loss, diagnostics = alignment_loss(errors.weighted(step_weights(settings, steps, ...)), advantages, settings)

where `policy` and `reference` are the noise that both models predict for the same x_t. The reference is run only if
needed: `settings.needs_reference` says whether the gradient depends on it.

Each objective is one file with one function that follows the protocol in `objective.py`: it sees how each
hypothesis' error changed against the reference model, and gives one number per image and head. Kappa, anchor
and head weights are added to any of them by `loss.py`. Named settings with the source of each number: `presets/`.

| file | learns from | bounded below |
|---|---|---|
| `linear` | the group, in proportion to A: the paper's Eq. 6 | only with kappa > beta max(-A) |
| `log_sigmoid` | the same, fading once the group is in order: DGPO | yes |
| `pairwise`, `plackett_luce` | pairs; the whole ranking | yes |
| `ratio` | probability ratios, with PPO's clip if set | yes |
| `nft` | the group, linear around the reference | yes: it needs kappa |
| `positive_only`, `awr`, `best_of_group` | winners; all, by exp(A / tau); the best few as labels | yes |

Shared: `draws` (noise level and noise), `errors` (of a policy and its reference), `step_weights`, `diagnostics`.

To add one: write `<name>.py` beside `linear.py`, add it to `OBJECTIVES` in `loss.py` and to the names in
`settings.py` (to `NEEDS_REFERENCE` too, if its gradient depends on the reference), and give it a hand-worked
test.
"""

from hmr.alignment.objectives.diagnostics import ADVISED_AT, advice_after, beta_advice
from hmr.alignment.objectives.draws import Draws, draw_steps_and_noise
from hmr.alignment.objectives.errors import GroupErrors, centred_noise, noise_errors
from hmr.alignment.objectives.loss import OBJECTIVES, AlignmentLoss, alignment_loss
from hmr.alignment.objectives.presets import PRESETS, preset, trainer_settings
from hmr.alignment.objectives.settings import Head, ObjectiveSettings
from hmr.alignment.objectives.step_weights import step_weights

__all__ = [
    "ADVISED_AT",
    "OBJECTIVES",
    "PRESETS",
    "AlignmentLoss",
    "Draws",
    "GroupErrors",
    "Head",
    "ObjectiveSettings",
    "advice_after",
    "alignment_loss",
    "beta_advice",
    "centred_noise",
    "draw_steps_and_noise",
    "noise_errors",
    "preset",
    "step_weights",
    "trainer_settings",
]

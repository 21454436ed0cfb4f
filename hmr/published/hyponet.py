"""HypoNet, the noise predictor of ScoreHypo, ADHMR and GPA-HMR, at published size (28,343,173 parameters).

52 tokens (29 joints, 23 twists) pass six transformer blocks that read the image's features; the network predicts
the noise as its input plus a change. Source: ScoreHypo (Xu et al., CVPR 2024), written from its description.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hmr.diffusion.condition import Condition
from hmr.published.attention import WIDTH, Block, ImageContext, MaskedLinear, initialise, sinusoid
from hmr.published.token_graph import ATTENTION_REACH, JOINTS, linear_mask
from hmr.published.token_network import OF_JOINTS, OF_TWISTS, TokenNetwork

TIME_CHANNELS = 128


class HypoNet(TokenNetwork):
    """Noise predictor behind the protocol `NoisePredictor`.

    Reads from a condition's context: `global` (image, 512, 8, 8), the map that all tokens attend to, and `local`
    (image, 52, 256), the features at each token's place; `keys` and `values` too, where `prepare` has put them.
    Dropout acts only in train() mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear_final_j = MaskedLinear(linear_mask(OF_JOINTS, 3, WIDTH))
        self.linear_final_t = MaskedLinear(linear_mask(OF_TWISTS, 2, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in ATTENTION_REACH)
        self.temb_dense = nn.ModuleList([nn.Linear(TIME_CHANNELS, WIDTH), nn.Linear(WIDTH, WIDTH)])
        initialise(self)

    def prepare(self, condition: Condition) -> Condition:
        """The condition with keys and values of its global map for every block, (image, block, head, 64, 64) each.

        Sampling calls it once: the map is then projected once per image instead of at each network call.
        """
        made = self._remember(condition)
        keys, values = (torch.stack(parts, 1) for parts in zip(*made))
        return replace(condition, context={**condition.context, "keys": keys, "values": values})

    def forward(
        self,
        latents: Float[Tensor, "image hypothesis 133"],
        steps: Int[Tensor, "image hypothesis"],
        condition: Condition,
    ) -> Float[Tensor, "image hypothesis 133"]:
        """The noise (standard normal scale) in the latents at these steps, 0-999; one condition per image."""
        size = latents.shape[1]
        flat = latents.flatten(0, 1)
        local = condition.context["local"][:, None].expand(-1, size, -1, -1).flatten(0, 1)
        x = self.tokens(flat, local) + self._time(steps.flatten())[:, None]
        for block, context, seen in zip(self.blocks, self._contexts(condition), self.seen):
            x = block(x, context, self.code, seen)
        changes = [self.linear_final_j(x[:, :JOINTS].flatten(1)), self.linear_final_t(x[:, JOINTS:].flatten(1))]
        return (flat + torch.cat(changes, 1)).unflatten(0, latents.shape[:2])

    def _contexts(self, condition: Condition) -> list[ImageContext]:
        context = condition.context
        if "keys" in context:
            return [ImageContext(k, v) for k, v in zip(context["keys"].unbind(1), context["values"].unbind(1))]
        return self._remember(condition)

    def _remember(self, condition: Condition) -> list[ImageContext]:
        cells = condition.context["global"].flatten(2).transpose(1, 2)
        return [block.remember(cells, self.cell_code) for block in self.blocks]  # type: ignore[operator]

    def _time(self, steps: Tensor) -> Tensor:
        first, second = self.temb_dense
        return nn.functional.silu(second(nn.functional.silu(first(sinusoid(steps, TIME_CHANNELS)))))

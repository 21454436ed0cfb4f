"""ScoreNet, the published judge of hypotheses (53,447,937 parameters), with an encoder of its own.

Source: ScoreHypo (Xu et al., CVPR 2024). One unbounded score per hypothesis, higher is better; it was trained on
pairs, where sigmoid(5 (s_i - s_k)) is the probability that hypothesis i has the lower error.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hmr.diffusion.latent import JOINT_DIMS
from hmr.diffusion.noise_schedule import DATA_SCALE
from hmr.models.weights_file import weights_digest
from hmr.published.attention import WIDTH, Block, initialise
from hmr.published.hrnet import HRNetCondition, sample_local
from hmr.published.token_graph import ATTENTION_REACH, JOINTS, TOKENS
from hmr.published.token_network import TokenNetwork


class ScoreNet(TokenNetwork):
    """Scores of hypotheses from the image's maps; blocks as in HypoNet, without time."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_mlp = nn.Sequential(
            nn.Linear(TOKENS * WIDTH, 1024),
            nn.GroupNorm(32, 1024),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.25),
            nn.Linear(1024, 1),
        )
        self.blocks = nn.ModuleList(Block(norms_first=False) for _ in ATTENTION_REACH)
        initialise(self)

    def forward(
        self,
        latents: Float[Tensor, "image hypothesis 133"],
        global_map: Float[Tensor, "image 512 8 8"],
        local_map: Float[Tensor, "image 256 64 64"],
    ) -> Float[Tensor, "image hypothesis"]:
        """Unbounded scores, higher = better; local features are read at each hypothesis' own joints."""
        places = latents[..., :JOINT_DIMS].unflatten(-1, (JOINTS, 3))[..., :2] / DATA_SCALE
        local = sample_local(local_map, places).flatten(0, 1)
        x = self.tokens(latents.flatten(0, 1) / DATA_SCALE, local)
        cells = global_map.flatten(2).transpose(1, 2)
        for block, seen in zip(self.blocks, self.seen):
            x = block(x, block.remember(cells, self.cell_code), self.code, seen)  # type: ignore[operator]
        return self.linear_mlp(x.flatten(1)).unflatten(0, latents.shape[:2])[..., 0]


class ScoreModel(nn.Module):
    """ScoreNet and its encoder."""

    picture_side = 256

    def __init__(self) -> None:
        super().__init__()
        self.encoder = HRNetCondition(betas=False)
        self.network = ScoreNet()

    @torch.no_grad()
    def score(
        self, picture: UInt8[Tensor, "image 256 256 3"], latents: Float[Tensor, "image hypothesis 133"]
    ) -> Float[Tensor, "image hypothesis"]:
        """Unbounded scores of the hypotheses of some people, higher = better (call eval() first)."""
        return self.network(latents, *self.encoder.maps(picture))

    def digest(self) -> str:
        """First 16 hex digits of the sha256 of all weights, by name."""
        return weights_digest(self)

"""ScoreNet, the published judge of hypotheses (53,447,937 parameters), with an encoder of its own.

Source: ScoreHypo (Xu et al., CVPR 2024). One unbounded score per hypothesis, higher is better; it was trained on
pairs, sigmoid(5 (s_i - s_k)) being the chance that hypothesis i has the lower error.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hmr.base_model import weights_digest
from hmr.latent import JOINT_DIMS, TWIST_DIMS
from hmr.noise_schedule import DATA_SCALE
from hmr.published.attention import WIDTH, Block, MaskedLinear, grid_code, initialise, sinusoid, start_tokens
from hmr.published.hrnet import HRNetCondition, sample_local
from hmr.published.hyponet import JOINT_CHANNELS, MAP_SIDE
from hmr.published.token_graph import ATTENTION_REACH, JOINTS, TOKENS, TWISTS, linear_mask, within


class ScoreNet(nn.Module):
    """Scores of hypotheses from the image's maps; blocks as in HypoNet, without time."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_start_j = MaskedLinear(linear_mask(slice(0, JOINTS), JOINT_CHANNELS, 3))
        self.bn_start_j = nn.GroupNorm(32, JOINTS * JOINT_CHANNELS)
        self.linear_start_t = MaskedLinear(linear_mask(slice(JOINTS, TOKENS), JOINT_CHANNELS, 2))
        self.bn_start_t = nn.GroupNorm(32, TWISTS * JOINT_CHANNELS)
        self.linear_mlp = nn.Sequential(
            nn.Linear(TOKENS * WIDTH, 1024),
            nn.GroupNorm(32, 1024),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.25),
            nn.Linear(1024, 1),
        )
        self.blocks = nn.ModuleList(Block(norms_first=False) for _ in ATTENTION_REACH)
        self.code: Tensor
        self.cell_code: Tensor
        self.seen: Tensor
        self.register_buffer("code", sinusoid(torch.arange(TOKENS), WIDTH), persistent=False)
        self.register_buffer("cell_code", grid_code(WIDTH, MAP_SIDE), persistent=False)
        self.register_buffer("seen", torch.stack([within(k) for k in ATTENTION_REACH]), persistent=False)
        initialise(self)

    def forward(
        self,
        latents: Float[Tensor, "image hypothesis 133"],
        global_map: Float[Tensor, "image 512 8 8"],
        local_map: Float[Tensor, "image 256 64 64"],
    ) -> Float[Tensor, "image hypothesis"]:
        """Scores; local features are read at the hypothesis' own joints."""
        places = latents[..., :JOINT_DIMS].unflatten(-1, (JOINTS, 3))[..., :2] / DATA_SCALE
        local = sample_local(local_map, places).flatten(0, 1)
        joints, twists = (latents.flatten(0, 1) / DATA_SCALE).split([JOINT_DIMS, TWIST_DIMS], -1)
        tokens = torch.cat(
            [
                start_tokens(self.linear_start_j, self.bn_start_j, joints, JOINTS),
                start_tokens(self.linear_start_t, self.bn_start_t, twists, TWISTS),
            ],
            1,
        )
        x = torch.cat([tokens, local], -1)
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
        """Raw scores of the hypotheses of some people (call eval() first)."""
        return self.network(latents, *self.encoder.maps(picture))

    def digest(self) -> str:
        """First 16 hex digits of the sha256 of all weights, by name."""
        return weights_digest(self)

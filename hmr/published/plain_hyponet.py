"""HypoNet's sampling written plainly, as the baseline that the sampler's speed is measured against.

Step by step as the network is described: for each of the M hypotheses its own copy of the image's
features, projected again at every network call; position codes and masks built in every call; attention as
matrix products and a softmax. Tests check that its numbers are those of `HypoNet`.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hmr.diffusion.condition import Condition
from hmr.diffusion.noise_schedule import alpha_bars, sampler_steps
from hmr.published.attention import HEADS, WIDTH, grid_code, sinusoid
from hmr.published.hyponet import TIME_CHANNELS, HypoNet
from hmr.published.token_graph import ATTENTION_REACH, JOINTS, TOKENS, adjacency, linear_mask, within
from hmr.published.token_network import JOINT_CHANNELS, MAP_SIDE


@torch.no_grad()
def sample_plainly(
    network: HypoNet, condition: Condition, noise: Float[Tensor, "image hypothesis 133"], calls: int = 4
) -> Float[Tensor, "image hypothesis 133"]:
    """x0 by DDIM (eta 0) from start noise."""
    size = noise.shape[1]
    weights: dict[str, Tensor] = dict(network.named_parameters())
    global_map = condition.context["global"].repeat_interleave(size, 0)
    local = condition.context["local"].repeat_interleave(size, 0)
    table = alpha_bars().to(noise.device)
    visited = [*sampler_steps(calls), -1]
    latents = noise.flatten(0, 1)
    for step, after in pairwise(visited):
        predicted = predict_plainly(weights, latents, step, global_map, local)
        kept = table[step]
        kept_after = table[after] if after >= 0 else torch.ones_like(kept)
        clean = (latents - (1 - kept).sqrt() * predicted) / kept.sqrt()
        latents = kept_after.sqrt() * clean + (1 - kept_after).sqrt() * predicted
    return latents.unflatten(0, noise.shape[:2])


def predict_plainly(
    weights: dict[str, Tensor],
    latents: Float[Tensor, "b 133"],
    step: int,
    global_map: Float[Tensor, "b 512 8 8"],
    local: Float[Tensor, "b 52 256"],
) -> Float[Tensor, "b 133"]:
    """The noise in latents at one step, each row with image features of its own."""
    device = latents.device
    parts = {
        "j": (slice(0, JOINTS), 3, latents[:, : 3 * JOINTS]),
        "t": (slice(JOINTS, TOKENS), 2, latents[:, 3 * JOINTS :]),
    }
    tokens = []
    for name, (chosen, numbers, values) in parts.items():
        adjacency.cache_clear()
        within.cache_clear()
        mask = linear_mask(chosen, JOINT_CHANNELS, numbers).to(device)
        raised = functional.linear(
            values, weights[f"linear_start_{name}.weight"] * mask, weights[f"linear_start_{name}.bias"]
        )
        raised = functional.group_norm(raised, 32, weights[f"bn_start_{name}.weight"], weights[f"bn_start_{name}.bias"])
        tokens.append(functional.leaky_relu(raised, 0.2).unflatten(1, (-1, JOINT_CHANNELS)))
    x = torch.cat([torch.cat(tokens, 1), local], -1)
    time = sinusoid(torch.full((len(latents),), float(step), device=device), TIME_CHANNELS)
    for layer in ("temb_dense.0", "temb_dense.1"):
        time = functional.silu(functional.linear(time, weights[f"{layer}.weight"], weights[f"{layer}.bias"]))
    x = x + time[:, None]
    cells = global_map.flatten(2).transpose(1, 2)
    for index, reach in enumerate(ATTENTION_REACH):
        block = {n.removeprefix(f"blocks.{index}."): w for n, w in weights.items() if n.startswith(f"blocks.{index}.")}
        code = sinusoid(torch.arange(TOKENS, device=device), WIDTH)
        cell_code = grid_code(WIDTH, MAP_SIDE).to(device)
        adjacency.cache_clear()
        within.cache_clear()
        seen = within(reach).to(device)
        normed = _norm(x, block, "norm1")
        x = x + _attend(block, "self_attn", normed + code, normed + code, normed, seen)
        normed = _norm(x, block, "norm2")
        x = x + _attend(block, "multihead_attn", normed + code, cells + cell_code, cells, None)
        raised = torch.relu(functional.linear(_norm(x, block, "norm3"), block["linear1.weight"], block["linear1.bias"]))
        x = x + functional.linear(raised, block["linear2.weight"], block["linear2.bias"])
    changes = []
    for name, (chosen, numbers, _) in parts.items():
        mask = linear_mask(chosen, numbers, WIDTH).to(device)
        changes.append(
            functional.linear(
                x[:, chosen].flatten(1),
                weights[f"linear_final_{name}.weight"] * mask,
                weights[f"linear_final_{name}.bias"],
            )
        )
    return latents + torch.cat(changes, 1)


def _norm(x: Tensor, block: dict[str, Tensor], name: str) -> Tensor:
    return functional.layer_norm(x, (WIDTH,), block[f"{name}.weight"], block[f"{name}.bias"])


def _attend(
    block: dict[str, Tensor], name: str, queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None
) -> Tensor:
    weight, bias = block[f"{name}.in_proj_weight"].chunk(3), block[f"{name}.in_proj_bias"].chunk(3)
    q, k, v = (
        functional.linear(x, w, b).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for x, w, b in zip((queries, keys, values), weight, bias)
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
    if seen is not None:
        scores = scores.masked_fill(~seen, -torch.inf)
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    return functional.linear(mixed, block[f"{name}.out_proj.weight"], block[f"{name}.out_proj.bias"])

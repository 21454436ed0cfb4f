"""Weights and inputs of the published networks' golden file, made from names as its README tells."""

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "golden"


def recipe_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """The weight of that name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    if name.endswith("running_var"):
        return torch.from_numpy(np.asarray(0.5 + rng.random(shape), np.float32))
    z = rng.standard_normal(shape).astype(np.float32)
    if name.endswith("running_mean"):
        z = 0.1 * z
    elif name.endswith("init_shape"):
        z = 0.3 * z
    elif len(shape) >= 2:
        z = z / np.sqrt(np.prod(shape[1:]))
    else:
        z = 1 + 0.1 * z if name.endswith("weight") else 0.05 * z
    return torch.from_numpy(np.asarray(z, np.float32))


def recipe_input(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
    """The input of that name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return torch.from_numpy((scale * rng.standard_normal(shape)).astype(np.float32))


def with_recipe_weights(network: nn.Module) -> nn.Module:
    """The network in eval mode with recipe weights under its own names."""
    network.load_state_dict({n: recipe_weight(n, tuple(t.shape)) for n, t in network.state_dict().items()})
    return network.eval()


def official_names(network: str) -> dict[str, list[int]]:
    """Names and shapes of the official state dict, in order: `hyponet`, `hrnet_cond` or `scorenet`."""
    return json.loads((FOLDER / f"{network}_keys.json").read_text())


@cache
def outputs() -> dict[str, NDArray]:
    """What the original networks answered."""
    with np.load(FOLDER / "hyponet_golden.npz") as kept:
        return dict(kept)


def deviation(found: Tensor, name: str) -> float:
    """Largest difference from the golden array, in its standard deviations."""
    wanted = outputs()[name]
    return float(np.abs(found.detach().double().numpy() - wanted).max() / wanted.std())

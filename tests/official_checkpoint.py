"""Writes fake official checkpoints: the names, the order and the clutter of ScoreHypo's and ADHMR's own files.

    entries = official_entries("hyponet", network_shapes("hyponet"), condition_shapes("hyponet"))
    entries["model"].pop("temb_dense.0.bias")
    write(entries, tmp_path / "ckpt.pth")

The averaged weights follow the recipe of the golden file, so that a network that is loaded with them must answer
as `golden/hyponet_golden.npz` says; the raw weights are half of them.
"""

import pickle
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.golden_networks import official_names, recipe_weight

LAYOUTS = {
    "hyponet": ("model", "model_cond", "ema", "ema_cond"),
    "scorenet": ("model_score", "model_score_cond", "ema_score", "ema_score_cond"),
}
Shapes = Mapping[str, tuple[int, ...]]


def network_shapes(kind: str) -> Shapes:
    """Names and shapes of HypoNet ("hyponet") or ScoreNet ("scorenet"), in the official order."""
    return _shapes(kind)


def condition_shapes(kind: str) -> Shapes:
    """Names and shapes of the image encoder beside that network; ScoreNet's has no betas."""
    shapes = _shapes("hrnet_cond")
    return {n: s for n, s in shapes.items() if kind == "hyponet" or not n.startswith(("init_shape", "pred_beta"))}


def recipe(shapes: Shapes) -> dict[str, Tensor]:
    """Weights of the golden file, by name."""
    return {name: recipe_weight(name, shape) for name, shape in shapes.items()}


def official_entries(kind: str, network: Shapes, condition: Shapes, *, lora: bool = False) -> dict[str, Any]:
    """The dict of an official file. lora: every attention of the network has low-rank factors too."""
    layout = LAYOUTS[kind]
    entries: dict[str, Any] = {}
    for name, ema, shapes in zip(layout[:2], layout[2:], (_with_lora(network) if lora else network, condition)):
        averages = recipe(shapes)
        entries[name] = {key: tensor / 2 if _averaged(key) else tensor for key, tensor in averages.items()}
        shadow = [tensor for key, tensor in averages.items() if _averaged(key)]
        entries[ema] = {"decay": 0.9999, "num_updates": 40000, "shadow_params": shadow}
    entries |= {name: _optimizer() for name in ("optimizer", "optimizer_cond")} | {"epoch": 29, "step": 120000}
    if kind == "hyponet":
        entries |= {"min_mpjpe_h36m": np.float64(41.5), "min_mpjpe_pw3d": np.float32(72.25)}
    return entries


def write(entries: Any, path: Path) -> Path:
    """Save as the authors' torch 1.12 and numpy 1 do: numpy numbers go by the old name of their module."""
    torch.save(entries, path, pickle_module=types.SimpleNamespace(Pickler=_OldNames, __name__="pickle"))
    return path


def _shapes(network: str) -> Shapes:
    return {name: tuple(shape) for name, shape in official_names(network).items()}


def _averaged(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked", "init_shape"))


def _with_lora(shapes: Shapes) -> Shapes:
    more: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        more[name] = shape
        if name.endswith("attn.out_proj.bias"):
            attention = name.removesuffix(".out_proj.bias")
            rows, columns = shapes[f"{attention}.in_proj_weight"]
            more |= {f"{attention}.lora_proj.lora_a": (rows, 4), f"{attention}.lora_proj.lora_b": (4, columns)}
    return more


def _optimizer() -> dict[str, Any]:
    state = {"step": torch.tensor(120000.0), "exp_avg": torch.zeros(7), "exp_avg_sq": torch.ones(7)}
    group = {"lr": 5e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, "params": [0]}
    return {"state": {0: state}, "param_groups": [group]}


class _OldNames(pickle._Pickler):
    def save_global(self, obj: Any, name: str | None = None) -> None:
        if getattr(obj, "__module__", None) == "numpy._core.multiarray":
            self.write(f"cnumpy.core.multiarray\n{obj.__name__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)

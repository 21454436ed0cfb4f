"""Weights on disk: safetensors, tensors only and no code, whose metadata say what they are and where they came from."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from storage.finished_file import write_bytes

SHIPPED = ("lab", "default")
"""Names of the bases in `hmr/assets`."""

OFFICIAL_SUFFIXES = (".pth", ".pt", ".tar", ".ckpt")
"""Files of the published models' own releases."""


class CheckpointError(ValueError):
    """A weights file cannot be used; the message says what, where and how to fix it."""


def weights_digest(module: nn.Module) -> str:
    """First 16 hex digits of the sha256 of a module's weights, by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def save_weights(module: nn.Module, path: Path, file_format: str, about: dict[str, Any], *, half: bool = False) -> None:
    """Write a module's weights as safetensors with metadata, replacing the file in one step. half: as float16."""
    tensors = {
        name: (t.detach().half() if half and t.is_floating_point() else t.detach()).cpu().contiguous()
        for name, t in module.state_dict().items()
    }
    metadata = {"format": file_format, **{name: json.dumps(value) for name, value in about.items()}}
    write_bytes(path, save(tensors, metadata=metadata))


def read_weights(path: Path, file_format: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and weights by name of a file that `save_weights` wrote.

    Raises CheckpointError if the file is missing, is not whole, or has another format than `file_format`.
    """
    if not path.is_file():
        raise CheckpointError(
            f"no weights at {path}: give the path of a file that `hmr-align` wrote, an official checkpoint "
            f"({', '.join(OFFICIAL_SUFFIXES)}), or one of {', '.join(SHIPPED)}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): write or copy it again") from None
    if metadata.get("format") != file_format:
        raise CheckpointError(
            f"{path} holds '{metadata.get('format', 'weights of unknown make')}', not '{file_format}': "
            "it was not written by this project, or is of another kind"
        )
    return {name: json.loads(value) for name, value in metadata.items() if name != "format"}, tensors


def fill(module: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    """Copy weights into a module by name, in place.

    Raises CheckpointError, with the file `where` and the first fault, if names or shapes are not exactly the module's.
    """
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors or name not in expected:
            raise CheckpointError(f"{where}: tensor '{name}' is {'missing' if name in expected else 'unknown'}")
        if tensors[name].shape != expected[name].shape:
            raise CheckpointError(
                f"{where}: tensor '{name}' has shape {tuple(tensors[name].shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
    module.load_state_dict({n: t.to(expected[n].dtype) for n, t in tensors.items()})

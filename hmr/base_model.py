"""A base model: a condition encoder and a noise predictor, with a digest and a file format of their own.

Files are safetensors: tensors only, no code. Their metadata hold the architecture and where the weights came from.
"""

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hmr.condition import Condition, CropEncoder, Observation
from hmr.noise_predictor import ResidualMlp

SHIPPED = ("lab", "default")
FORMAT = "hmr-align/base-model/1"


class CheckpointError(ValueError):
    """A weights file cannot be used; the message says what, where and the mend."""


class BaseModel(nn.Module):
    """The embedded base: `CropEncoder` and `ResidualMlp`."""

    def __init__(self, architecture: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.architecture = {"encoder": {}, "predictor": {}, **(architecture or {})}
        self.encoder = CropEncoder(**self.architecture["encoder"])
        self.predictor = ResidualMlp(**self.architecture["predictor"])

    @torch.no_grad()
    def observe(self, observation: Observation, batch: int = 256) -> Condition:
        """The condition of many people, encoded in batches with the encoder as it stands (call eval() first)."""
        parts = [
            self.encoder(Observation(*(p[i : i + batch] for p in observation)))
            for i in range(0, len(observation.picture), batch)
        ]
        names = parts[0].memory if parts else {}
        return Condition(
            torch.cat([p.betas for p in parts]), {n: torch.cat([p.memory[n] for p in parts]) for n in names}
        )

    def digest(self) -> str:
        """First 16 hex digits of the sha256 of all weights, by name."""
        total = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            total.update(name.encode())
            total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:16]


def save_model(model: BaseModel, path: Path, provenance: dict[str, Any], *, half: bool = False) -> None:
    """Write weights and metadata, replacing the file in one step. half: floats as float16, for shipping."""
    tensors = {
        name: (t.detach().half() if half and t.is_floating_point() else t.detach()).cpu().contiguous()
        for name, t in model.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "architecture": json.dumps(model.architecture),
        "provenance": json.dumps(provenance),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    save_file(tensors, unfinished, metadata=metadata)
    unfinished.replace(path)


def load_model(name_or_path: str | Path) -> BaseModel:
    """A shipped base by name (`lab`, `default`), or one from a file; in eval mode, float32, on the CPU."""
    if str(name_or_path) in SHIPPED:
        with resources.as_file(resources.files("hmr") / "assets" / f"base_{name_or_path}.safetensors") as path:
            return _read(path)
    return _read(Path(name_or_path))


def provenance_of(path: Path) -> dict[str, Any]:
    """Where the weights in a file came from."""
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("provenance", "{}"))


def _read(path: Path) -> BaseModel:
    if not path.is_file():
        raise CheckpointError(
            f"no weights at {path}: give the path of a file that `hmr-align` wrote, or one of {', '.join(SHIPPED)}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): write or copy it again") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} holds '{metadata.get('format', 'weights of unknown make')}', not '{FORMAT}': "
            "it was not written by this project, or by another version of it"
        )
    model = BaseModel(json.loads(metadata["architecture"]))
    expected = model.state_dict()
    for name in expected.keys() | tensors.keys():
        if name not in tensors or name not in expected:
            raise CheckpointError(f"{path}: tensor '{name}' is {'missing' if name in expected else 'unknown'}")
        if tensors[name].shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: tensor '{name}' has shape {tuple(tensors[name].shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
    model.load_state_dict({n: t.to(expected[n].dtype) for n, t in tensors.items()})
    return model.eval()

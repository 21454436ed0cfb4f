"""A base model: a condition encoder and a noise predictor, with a digest and a file format of their own.

Two networks stand behind the same protocols: the embedded one, and the published one (HRNet-W48 and HypoNet).
Files are safetensors: tensors only, no code. Their metadata hold the architecture and where the weights came from.
"""

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hmr.condition import Condition, CropEncoder, LandmarkEncoder, Observation
from hmr.latent import Decoding
from hmr.noise_predictor import ResidualMlp
from hmr.published.hrnet import HRNetCondition
from hmr.published.hyponet import HypoNet
from hmr.sampler import PUBLISHED, WHOLE_SPREAD, SamplerSettings
from storage.finished_file import write_bytes

SHIPPED = ("lab", "default")
FORMAT = "hmr-align/base-model/1"
OFFICIAL_SUFFIXES = (".pth", ".pt", ".tar", ".ckpt")
"""Files of the published models' own releases."""


class CheckpointError(ValueError):
    """A weights file cannot be used; the message says what, where and the mend."""


class Network(NamedTuple):
    """One kind of base model."""

    encoder: type[nn.Module]
    predictor: type[nn.Module]
    decoding: Decoding  # how its diffused vectors become bodies
    sampler: SamplerSettings  # what its groups are drawn with, unless asked otherwise
    batch: int  # people encoded at once


NETWORKS = {
    "embedded": Network(CropEncoder, ResidualMlp, Decoding("hip_line"), PUBLISHED, 256),  # of version 0.1
    "landmarks": Network(LandmarkEncoder, ResidualMlp, Decoding("hip_line", rounds=1), WHOLE_SPREAD, 1024),
    "hyponet": Network(HRNetCondition, HypoNet, Decoding("hip_mean"), PUBLISHED, 8),
}


class BaseModel(nn.Module):
    """An encoder and a noise predictor of one network.

    architecture: {"network": a name of NETWORKS, "encoder": its arguments, "predictor": its arguments, "sampler": what
    is other than in the network's sampler}.
    """

    def __init__(self, architecture: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.architecture = {"network": "embedded", "encoder": {}, "predictor": {}, **(architecture or {})}
        self.network = NETWORKS[self.architecture["network"]]
        self.encoder = self.network.encoder(**self.architecture["encoder"])
        self.predictor = self.network.predictor(**self.architecture["predictor"])

    @property
    def picture_side(self) -> int:
        """Side of the pictures that the encoder reads, px."""
        return self.encoder.picture_side  # type: ignore[return-value]

    @property
    def decoding(self) -> Decoding:
        """How this network's diffused vectors become bodies."""
        return self.network.decoding

    @property
    def sampler(self) -> SamplerSettings:
        """What this model's groups are drawn with, unless asked otherwise."""
        return replace(self.network.sampler, **self.architecture.get("sampler", {}))

    @torch.no_grad()
    def observe(self, observation: Observation, batch: int | None = None) -> Condition:
        """The condition of many people, encoded in batches with the encoder as it stands (call eval() first)."""
        device = next(self.encoder.parameters()).device
        size = batch or self.network.batch
        parts = [
            self.encoder(Observation(*(p[i : i + size].to(device) for p in observation)))
            for i in range(0, len(observation.picture), size)
        ]
        names = parts[0].memory if parts else {}
        return Condition(
            torch.cat([p.betas for p in parts]), {n: torch.cat([p.memory[n] for p in parts]) for n in names}
        )

    def digest(self) -> str:
        """First 16 hex digits of the sha256 of all weights, by name."""
        return weights_digest(self)


def weights_digest(module: nn.Module) -> str:
    """First 16 hex digits of the sha256 of a module's weights, by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def save_model(model: BaseModel, path: Path, provenance: dict[str, Any], *, half: bool = False) -> None:
    """Write weights and metadata, replacing the file in one step. half: floats as float16, for shipping."""
    save_weights(model, path, FORMAT, {"architecture": model.architecture, "provenance": provenance}, half=half)


def load_model(name_or_path: str | Path) -> BaseModel:
    """A shipped base by name (`lab`, `default`), or one from a file; in eval mode, float32, on the CPU.

    A file is of our own format, or an official checkpoint of ScoreHypo or ADHMR (its averaged weights are taken).
    """
    if str(name_or_path) in SHIPPED:
        with resources.as_file(resources.files("hmr") / "assets" / f"base_{name_or_path}.safetensors") as path:
            return _read(path)
    if Path(name_or_path).suffix in OFFICIAL_SUFFIXES:
        from hmr.published.checkpoint import load_scorehypo

        return load_scorehypo(Path(name_or_path))
    return _read(Path(name_or_path))


def provenance_of(path: Path) -> dict[str, Any]:
    """Where the weights in a file came from."""
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("provenance", "{}"))


def save_weights(module: nn.Module, path: Path, file_format: str, about: dict[str, Any], *, half: bool = False) -> None:
    """A module's weights as safetensors with metadata, replacing the file in one step."""
    tensors = {
        name: (t.detach().half() if half and t.is_floating_point() else t.detach()).cpu().contiguous()
        for name, t in module.state_dict().items()
    }
    metadata = {"format": file_format, **{name: json.dumps(value) for name, value in about.items()}}
    write_bytes(path, save(tensors, metadata=metadata))


def read_weights(path: Path, file_format: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a file that `save_weights` wrote; raises CheckpointError."""
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
    """Put named tensors into a module, which must have exactly these; raises CheckpointError naming the first fault."""
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


def _read(path: Path) -> BaseModel:
    about, tensors = read_weights(path, FORMAT)
    network = about["architecture"].get("network", "embedded")
    if network not in NETWORKS:
        raise CheckpointError(f"{path} holds a network '{network}'; there are {', '.join(NETWORKS)}")
    model = BaseModel(about["architecture"])
    fill(model, tensors, path)
    return model.eval()

"""A base model: a condition encoder and a noise predictor, with a digest and a file format of their own.

Two networks follow the same protocols: the embedded one, and the published one (HRNet-W48 and HypoNet).
Files are safetensors: tensors only, no code. Their metadata hold the architecture and where the weights came from.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from hmr.diffusion.condition import Condition, CropEncoder, LandmarkEncoder, Observation
from hmr.diffusion.latent import Decoding
from hmr.diffusion.noise_predictor import ResidualMlp
from hmr.diffusion.sampler import PUBLISHED, WHOLE_SPREAD, SamplerSettings
from hmr.models.weights_file import save_weights, weights_digest
from hmr.published.hrnet import HRNetCondition
from hmr.published.hyponet import HypoNet

FORMAT = "hmr-align/base-model/1"


class Network(NamedTuple):
    """One kind of base model."""

    encoder: type[nn.Module]
    predictor: type[nn.Module]
    decoding: Decoding  # how its diffused vectors become bodies
    sampler: SamplerSettings  # for its groups, unless other settings are given
    batch: int  # people encoded at once


NETWORKS = {
    "embedded": Network(CropEncoder, ResidualMlp, Decoding("hip_line"), PUBLISHED, 256),  # of version 0.1
    "landmarks": Network(LandmarkEncoder, ResidualMlp, Decoding("hip_line", rounds=1), WHOLE_SPREAD, 1024),
    "hyponet": Network(HRNetCondition, HypoNet, Decoding("hip_mean"), PUBLISHED, 8),
}


class HmrModel(nn.Module):
    """An encoder and a noise predictor of one network.

    architecture: {"network": a name of NETWORKS, "encoder": its arguments, "predictor": its arguments, "sampler": the
    settings that differ from the network's sampler}.
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
        """How this network's diffused vectors are turned into bodies."""
        return self.network.decoding

    @property
    def sampler(self) -> SamplerSettings:
        """The sampler settings for this model's groups, unless others are given."""
        return replace(self.network.sampler, **self.architecture.get("sampler", {}))

    @torch.no_grad()
    def observe(self, observation: Observation, batch: int | None = None) -> Condition:
        """The condition of many people, encoded in batches, in the encoder's present mode (call eval() first)."""
        device = next(self.encoder.parameters()).device
        size = batch or self.network.batch
        parts = [
            self.encoder(Observation(*(p[i : i + size].to(device) for p in observation)))
            for i in range(0, len(observation.picture), size)
        ]
        names = parts[0].context if parts else {}
        return Condition(
            torch.cat([p.betas for p in parts]), {n: torch.cat([p.context[n] for p in parts]) for n in names}
        )

    def digest(self) -> str:
        """First 16 hex digits of the sha256 of all weights, by name."""
        return weights_digest(self)


def save_model(model: HmrModel, path: Path, provenance: dict[str, Any], *, half: bool = False) -> None:
    """Write weights and metadata, replacing the file in one step. half: floats as float16, for shipping."""
    save_weights(model, path, FORMAT, {"architecture": model.architecture, "provenance": provenance}, half=half)

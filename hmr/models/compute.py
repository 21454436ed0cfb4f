"""Where networks run and how exactly: device, bfloat16, compilation. Inputs and outputs are float32."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hmr.diffusion.condition import Condition, Observation
from hmr.models.base_model import HmrModel


class CompileError(ValueError):
    """A network cannot be compiled here; the message says why and how to fix it."""


@dataclass(frozen=True)
class Compute:
    """How networks are run. Weights, seeds and the sampler's own arithmetic stay float32."""

    device: Literal["cpu", "cuda"] = "cpu"
    bf16: bool = False  # matrix products and convolutions in bfloat16, by torch.autocast; x0 moves by 1 % at most
    compiled: bool = False  # the noise predictor by torch.compile; on a GPU it then runs as a CUDA graph

    def autocast(self) -> torch.autocast:
        """The context in which networks run: bfloat16 where it is safe if `bf16` is set, else no change."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)


class PlacedPredictor:
    """A noise predictor on the device of `compute`: moves the network there; its output is there too, in float32.

    Raises CompileError at the first call if the network is to be compiled and cannot be.
    """

    def __init__(self, network: nn.Module, compute: Compute) -> None:
        self.compute = compute
        self.network = network.to(compute.device)
        self.run = _compiled(self.network, compute.device) if compute.compiled else self.network

    def prepare(self, condition: Condition) -> Condition:
        """The condition with what the network can compute once for all its calls; unchanged if it has no `prepare`."""
        prepare = getattr(self.network, "prepare", None)
        if prepare is None:
            return condition
        with self.compute.autocast():
            return prepare(condition)

    def __call__(
        self,
        latents: Float[Tensor, "image hypothesis 133"],
        steps: Int[Tensor, "image hypothesis"],
        condition: Condition,
    ) -> Float[Tensor, "image hypothesis 133"]:
        with self.compute.autocast():
            predicted = self.run(latents, steps, condition)
        return predicted.to(torch.float32, copy=True)  # a CUDA graph writes its next answer over this one


def _compiled(network: nn.Module, device: str) -> Callable[..., Tensor]:
    """The network by torch.compile, as a CUDA graph on a GPU; raises CompileError when called if that fails."""
    from torch._dynamo.exc import TorchDynamoException  # more than a second to import

    compiled = torch.compile(network, mode="reduce-overhead" if device == "cuda" else "default")

    def run(*arguments: object) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        try:
            return compiled(*arguments)
        except TorchDynamoException as error:
            raise CompileError(
                f"the network cannot be compiled for {device} here ({str(error).splitlines()[0]}): "
                "install a C++ compiler (g++; on a GPU triton too), or set [sample] compile = false"
            ) from error

    return run


def encode(base: HmrModel, seen: Observation, compute: Compute) -> Condition:
    """The condition of many people, float32 on the CPU; the encoder stays on the device of `compute`."""
    base.encoder.to(compute.device)
    with compute.autocast():
        details = base.observe(seen)
    return Condition(details.betas.float().cpu(), {name: part.float().cpu() for name, part in details.context.items()})

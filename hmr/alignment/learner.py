"""What is trained: a copy of a model's noise predictor, and optionally of its encoder, with optional adapters."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hmr.alignment.train_settings import ENCODER_SHARE, TrainSettings
from hmr.diffusion.condition import Condition, Observation
from hmr.models.base_model import HmrModel

__all__ = ["AdapterError", "Learner", "frozen", "learner", "trained_model", "weights_to_train"]


class AdapterError(ValueError):
    """Adapters cannot be put on this network, or not here; the message says why and how to fix it."""


class Learner(nn.Module):
    """Predicts noise for groups of people, given as a condition, or as an observation for an encoder of its own.

    In eval mode at all times: with dropout the policy would differ from its reference before the first step, and
    fine-tuning has too few batches to move the statistics of batch norms.
    """

    def __init__(self, predictor: nn.Module, encoder: nn.Module | None, precision: str) -> None:
        super().__init__()
        self.predictor = predictor
        self.encoder = encoder
        self.precision = precision
        self.eval()

    def forward(
        self,
        condition: Condition | Observation,
        latents: Float[Tensor, "image hypothesis 133"],
        steps: Int[Tensor, "image hypothesis"],
    ) -> Float[Tensor, "image hypothesis 133"]:
        """Predicted noise (standard normal scale) of noisy latents (image, hypothesis, 133) at steps 0-999."""
        condition = condition if isinstance(condition, Condition) else self.encode(condition)
        return self.predictor(latents, steps, condition)

    def encode(self, seen: Observation) -> Condition:
        """The condition in float32; the encoder runs in bfloat16 if the settings ask for it.

        Raises ValueError if this learner has no encoder.
        """
        if self.encoder is None:
            raise ValueError("a learner without an encoder takes conditions, and was given observations")
        with torch.autocast(seen.landmarks.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            made = self.encoder(seen)
        return Condition(made.betas.float(), {name: part.float() for name, part in made.context.items()})


def frozen(model: HmrModel, settings: TrainSettings) -> Learner:
    """The reference: an untrainable copy of the model, with its own encoder if the policy's encoder is trained."""
    encoder = copy.deepcopy(model.encoder) if settings.train_encoder else None
    made = Learner(copy.deepcopy(model.predictor), encoder, settings.encoder_precision)
    return made.requires_grad_(False)


def learner(model: HmrModel, settings: TrainSettings) -> Learner:
    """The policy at its start: the same function as the reference, with weights that can be trained.

    Raises AdapterError if the settings have LoRA adapters and peft is missing or no layer takes them, or if they have
    activation checkpointing and the encoder has no such mode.
    """
    made = frozen(model, settings).requires_grad_(True)
    if settings.lora_rank:
        _add_adapters(made.predictor, settings)
    if settings.checkpoint_activations and made.encoder is not None:
        if not hasattr(made.encoder, "checkpointing"):
            raise AdapterError(
                f"checkpoint_activations: {type(made.encoder).__name__} has no such mode; it is for HRNet. Leave it out"
            )
        made.encoder.checkpointing = True  # type: ignore[assignment]
    return made


def weights_to_train(policy: Learner, settings: TrainSettings) -> list[tuple[list[nn.Parameter], float]]:
    """Lists of parameters, each with its learning rate: the predictor's, then the encoder's if it is trained."""
    groups = [([p for p in policy.predictor.parameters() if p.requires_grad], settings.learning_rate)]
    if policy.encoder is not None:
        rate = settings.encoder_learning_rate or ENCODER_SHARE * settings.learning_rate
        groups.append((list(policy.encoder.parameters()), rate))
    return groups


def trained_model(model: HmrModel, policy: Learner) -> HmrModel:
    """The model with a copy of the policy's weights, adapters merged; an encoder that was not trained is shared."""
    result = copy.copy(model)
    result._modules = dict(model._modules)
    result.predictor = _merged(copy.deepcopy(policy.predictor)).eval()
    if policy.encoder is not None:
        result.encoder = copy.deepcopy(policy.encoder).eval()
    return result


def _add_adapters(predictor: nn.Module, settings: TrainSettings) -> None:
    """LoRA (Hu et al. 2021, arXiv:2106.09685) on every plain linear layer; only the adapters are trained then."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise AdapterError("lora_rank > 0 needs peft: pip install 'hmr-align[lora]', or set lora_rank = 0") from None
    # The product of two dense factors would not keep the zeros of a masked layer.
    names = [n for n, m in predictor.named_modules() if isinstance(m, nn.Linear) and not hasattr(m, "mask")]
    if not names:
        raise AdapterError(f"lora_rank > 0: {type(predictor).__name__} has no linear layer that takes an adapter")
    config = LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules=names, lora_dropout=0.0, bias="none"
    )  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        inject_adapter_in_model(config, predictor)
    for name, parameter in predictor.named_parameters():
        parameter.requires_grad_("lora_" in name)


def _merged(predictor: nn.Module) -> nn.Module:
    """The network with each adapter added to the layer that it sits on; in place."""
    adapted = [name for name, module in predictor.named_modules() if hasattr(module, "get_base_layer")]
    for name in adapted:
        layer = predictor.get_submodule(name)
        layer.merge()  # type: ignore[operator]
        parent, _, own = name.rpartition(".")
        setattr(predictor.get_submodule(parent), own, layer.get_base_layer())  # type: ignore[operator]
    return predictor

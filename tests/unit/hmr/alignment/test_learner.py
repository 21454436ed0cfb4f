import pytest
import torch
from torch import nn

from hmr.alignment.learner import AdapterError, frozen, learner, trained_model
from hmr.alignment.train_settings import TrainSettings
from hmr.diffusion.condition import Condition, Observation
from hmr.models.base_model import HmrModel
from hmr.published.attention import FastLinear, MaskedLinear
from hmr.published.hrnet import HRNetCondition


class Masked(nn.Module):
    """A predictor with one layer of each kind that the published networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.start = MaskedLinear(torch.eye(133))
        self.wide = FastLinear(133, 16)
        self.final = nn.Linear(16, 133)

    def forward(self, latents, steps, condition):
        return self.final(torch.tanh(self.wide(self.start(latents))))


@pytest.fixture
def model() -> HmrModel:
    torch.manual_seed(0)
    small = {
        "encoder": {"image": False, "width": 8, "features": 8},
        "predictor": {"width": 8, "blocks": 1, "features": 8},
    }
    made = HmrModel(small).eval()
    made.predictor = Masked()
    return made


TOLD = Condition(torch.zeros(2, 10), {})


def test_adapters_start_as_the_reference_spare_masked_layers_and_merge_into_the_same_function(model):
    pytest.importorskip("peft")
    settings = TrainSettings(lora_rank=2)
    policy, reference = learner(model, settings), frozen(model, settings)
    latents, steps = torch.randn(2, 3, 133), torch.zeros(2, 3, dtype=torch.long)
    assert policy(TOLD, latents, steps).equal(reference(TOLD, latents, steps))
    trained = {name for name, weight in policy.predictor.named_parameters() if weight.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"wide", "final"}
    with torch.no_grad():
        for name, weight in policy.predictor.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.1)
    merged = trained_model(model, policy)
    assert merged.predictor.state_dict().keys() == model.predictor.state_dict().keys()
    torch.testing.assert_close(merged.predictor(latents, steps, TOLD), policy(TOLD, latents, steps))
    assert not torch.allclose(merged.predictor(latents, steps, TOLD), reference(TOLD, latents, steps))


def test_a_network_without_a_plain_linear_layer_takes_no_adapter(model):
    pytest.importorskip("peft")
    model.predictor = MaskedLinear(torch.eye(133))
    with pytest.raises(AdapterError, match="MaskedLinear has no linear layer"):
        learner(model, TrainSettings(lora_rank=2))


def test_checkpointing_is_for_encoders_that_know_it(model):
    with pytest.raises(AdapterError, match="CropEncoder has no such mode"):
        learner(model, TrainSettings(train_encoder=True, checkpoint_activations=True))


@pytest.mark.slow
def test_checkpointing_leaves_the_gradients_of_hrnet_as_they_are():
    torch.manual_seed(0)
    encoder = HRNetCondition().eval()
    picture = torch.randint(256, (1, 256, 256, 3), dtype=torch.uint8)
    seen = Observation(picture, torch.zeros(1, 64, 64, dtype=torch.uint8), torch.zeros(1, 33, 4), torch.zeros(1, 33, 3))
    gradients, kept = [], []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    for checkpointing in (False, True):
        encoder.checkpointing = checkpointing
        kept.clear()
        encoder.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            context = encoder(seen).context
        sum(part.square().mean() for part in context.values()).backward()
        gradients.append(({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}, sum(kept)))
    (plain, much), (again, little) = gradients
    assert plain.keys() == again.keys() and all(plain[name].equal(again[name]) for name in plain)
    assert little < much / 3

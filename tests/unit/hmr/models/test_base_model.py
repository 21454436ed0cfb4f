import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from hmr.diffusion.condition import Observation
from hmr.diffusion.mirror import mirror_observation
from hmr.models.base_model import FORMAT, HmrModel, save_model
from hmr.models.model_file import load_model, provenance_of
from hmr.models.weights_file import SHIPPED, CheckpointError, save_weights

SMALL = {
    "encoder": {"image": False, "width": 16, "features": 16},
    "predictor": {"width": 32, "blocks": 1, "features": 16},
}


def people(count: int, side: int = 128) -> Observation:
    generator = torch.Generator().manual_seed(0)
    return Observation(
        torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=generator),
        torch.randint(0, 256, (count, 64, 64), dtype=torch.uint8, generator=generator),
        torch.randn(count, 33, 4, generator=generator),
        torch.randn(count, 33, 3, generator=generator),
    )


@pytest.fixture
def model() -> HmrModel:
    torch.manual_seed(0)
    return HmrModel(SMALL).eval()


def test_what_is_saved_comes_back(model, tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(model, path, {"made": "here"})
    again = load_model(path)
    assert again.digest() == model.digest()
    assert provenance_of(path) == {"made": "here"}


def test_half_precision_is_close(model, tmp_path):
    save_model(model, tmp_path / "m.safetensors", {}, half=True)
    again = load_model(tmp_path / "m.safetensors")
    assert_close(
        again.observe(people(2)).context["mean"], model.observe(people(2)).context["mean"], atol=0.05, rtol=0.01
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bases_load_and_answer(name):
    details = load_model(name).observe(people(3))
    assert details.context["mean"].shape == (3, 133) and details.betas.isfinite().all()


def test_shipped_bases_take_at_most_24_mb():
    from importlib import resources

    folder = resources.files("hmr") / "assets"
    sizes = [len((folder / f"base_{name}.safetensors").read_bytes()) for name in SHIPPED]
    assert sum(sizes) <= 24 * 2**20


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bases_read_no_more_than_they_say(name):
    """`default`: all landmarks, no pixel. `lab`: where 13 joints are in the picture, nothing else."""
    model, seen = load_model(name), people(4)
    details = model.observe(seen).context["mean"]
    assert model.observe(seen._replace(picture=255 - seen.picture, mask=255 - seen.mask)).context["mean"].equal(details)
    deeper = seen.landmarks.clone()
    deeper[..., 2:] += 0.1
    for other in (seen._replace(world=seen.world + 0.1), seen._replace(landmarks=deeper)):
        assert model.observe(other).context["mean"].equal(details) == (name == "lab")
    moved = seen.landmarks.clone()
    moved[:, 15, 0] += 0.1  # the left wrist
    assert not model.observe(seen._replace(landmarks=moved)).context["mean"].equal(details)


def test_an_encoder_says_how_sure_it_is():
    """Where a limb is not seen, its joints are spread wider."""
    model, seen = load_model("default"), people(1)
    calm = seen._replace(landmarks=seen.landmarks.clone())
    calm.landmarks[..., :2], calm.landmarks[..., 3] = calm.landmarks[..., :2].clamp(-0.8, 0.8), 0.98
    hidden = calm._replace(landmarks=calm.landmarks.clone())
    hidden.landmarks[:, [15, 17, 19, 21], 3] = 0.05
    wide = model.observe(hidden).context["spread"] / model.observe(calm).context["spread"]
    assert wide[0, 3 * 20] > 1.1 and wide[0, 3 * 20 + 1] > 1.1  # u and v of the left wrist


def test_bases_of_version_0_1_are_still_read(tmp_path):
    old = HmrModel({"encoder": {"width": 16, "features": 16}, "predictor": {"width": 32, "blocks": 1, "features": 16}})
    save_model(old, tmp_path / "old.safetensors", {})
    assert load_model(tmp_path / "old.safetensors").observe(people(2)).context["mean"].shape == (2, 133)


def test_batches_do_not_matter(model):
    seen = people(5)
    two, five = (model.observe(seen, batch=size).context["mean"] for size in (2, 5))
    assert_close(two, five, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("side", [128, 256])
def test_mirroring_people_twice_is_nothing(side):
    seen, which = people(3, side), torch.tensor([True, False, True])
    once = mirror_observation(seen, which).picture
    assert_close(once[:2], torch.stack([seen.picture[0].flip(1), seen.picture[1]]))
    for a, b in zip(mirror_observation(mirror_observation(seen, which), which), seen):
        assert_close(a, b)


def test_files_that_are_no_model_say_so(tmp_path, model):
    with pytest.raises(CheckpointError, match="no weights at"):
        load_model(tmp_path / "absent.safetensors")
    broken = tmp_path / "broken.safetensors"
    save_model(model, broken, {})
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_model(broken)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="weights of unknown make"):
        load_model(foreign)


def test_a_network_of_a_later_version_is_named(tmp_path, model):
    path = tmp_path / "later.safetensors"
    save_weights(model, path, FORMAT, {"architecture": {**SMALL, "network": "hyper"}})
    with pytest.raises(CheckpointError, match=r"later.safetensors holds a network 'hyper'; there are embedded"):
        load_model(path)


def test_missing_and_misshapen_tensors_are_named(tmp_path, model):
    import json

    from hmr.models.base_model import FORMAT

    meta = {"format": FORMAT, "architecture": json.dumps(model.architecture), "provenance": "{}"}
    tensors = dict(model.state_dict())
    tensors["predictor.start.bias"] = torch.zeros(3)
    save_file(tensors, tmp_path / "shape.safetensors", metadata=meta)
    with pytest.raises(CheckpointError, match=r"'predictor.start.bias' has shape \(3,\), expected \(32,\)"):
        load_model(tmp_path / "shape.safetensors")
    del tensors["predictor.start.bias"]
    save_file(tensors, tmp_path / "missing.safetensors", metadata=meta)
    with pytest.raises(CheckpointError, match=r"'predictor\.start\.bias' is missing"):
        load_model(tmp_path / "missing.safetensors")

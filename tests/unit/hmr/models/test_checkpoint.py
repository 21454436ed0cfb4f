import hashlib
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.testing import assert_close
from typer.testing import CliRunner

from flows.cli.command_line import app
from hmr.diffusion.condition import Condition
from hmr.models import checkpoint
from hmr.models.base_model import HmrModel, save_model
from hmr.models.checkpoint import (
    Expected,
    load_score_model,
    load_scorehypo,
    read_official,
    write_official,
)
from hmr.models.conversion import convert
from hmr.models.model_file import provenance_of
from hmr.models.weights_file import CheckpointError
from hmr.published.scorenet import ScoreModel
from hmr.published.token_graph import adjacency, within
from tests.golden_networks import deviation, recipe_input
from tests.official_checkpoint import (
    LAYOUTS,
    Shapes,
    condition_shapes,
    network_shapes,
    official_entries,
    recipe,
    write,
)

NETWORK = {
    "start.weight": (4, 3),
    "start.bias": (4,),
    "blocks.0.self_attn.in_proj_weight": (6, 2),
    "blocks.0.self_attn.in_proj_bias": (6,),
    "blocks.0.self_attn.out_proj.weight": (2, 2),
    "blocks.0.self_attn.out_proj.bias": (2,),
}
CONDITION = {
    "init_shape": (10,),
    "conv.weight": (2, 3, 1, 1),
    "bn.weight": (2,),
    "bn.bias": (2,),
    "bn.running_mean": (2,),
    "bn.running_var": (2,),
    "bn.num_batches_tracked": (),
}
KINDS = list(LAYOUTS)


def without_data(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.fixture
def small(monkeypatch) -> None:
    """Networks of a few numbers in place of the published ones."""
    expected = Expected(without_data(NETWORK), without_data(CONDITION))
    monkeypatch.setattr(checkpoint, "_expected", lambda kind: expected)


def small_entries(kind: str = "hyponet", *, lora: bool = False) -> dict:
    return official_entries(kind, NETWORK, CONDITION, lora=lora)


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return list(found) == list(wanted) and all(torch.equal(found[name], wanted[name]) for name in wanted)


# --- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_averages_get_their_names_back_and_buffers_stay(small, tmp_path, kind):
    found = read_official(write(small_entries(kind), tmp_path / "ckpt.pth"))
    assert found.kind == kind
    assert same(found.network, recipe(NETWORK))
    assert same(found.condition, recipe(CONDITION))
    assert found.provenance["weights"] == "ema"
    assert (found.provenance["ema_decay"], found.provenance["ema_num_updates"]) == (0.9999, 40000)


@pytest.mark.parametrize("kind", KINDS)
def test_raw_weights_on_request(small, tmp_path, kind):
    found = read_official(write(small_entries(kind), tmp_path / "ckpt.pth"), use_ema=False)
    halved = {name: tensor if "running" in name else tensor / 2 for name, tensor in recipe(CONDITION).items()}
    assert same(found.network, {name: tensor / 2 for name, tensor in recipe(NETWORK).items()})
    assert same(found.condition, halved | {"init_shape": recipe(CONDITION)["init_shape"]})
    assert found.provenance["weights"] == "raw" and "ema_decay" not in found.provenance


def test_numbers_are_kept_as_provenance_also_those_of_numpy(small, tmp_path):
    known = read_official(write(small_entries(), tmp_path / "ckpt.pth")).provenance
    assert (known["file"], known["epoch"], known["step"]) == ("ckpt.pth", 29, 120000)
    assert (known["min_mpjpe_h36m"], known["min_mpjpe_pw3d"]) == (41.5, 72.25)
    assert type(known["min_mpjpe_h36m"]) is float
    torch.save(small_entries(), tmp_path / "new.pth")  # numpy 2 names its module anew
    assert read_official(tmp_path / "new.pth").provenance["min_mpjpe_pw3d"] == 72.25


def test_numpy_numbers_are_saved_by_their_old_name(tmp_path):
    with zipfile.ZipFile(write(small_entries(), tmp_path / "ckpt.pth")) as file:
        pickled = file.read("ckpt/data.pkl")
    assert b"numpy.core.multiarray" in pickled and b"numpy._core" not in pickled


def test_averages_follow_the_order_of_the_file(small, tmp_path):
    shuffled = dict(reversed(NETWORK.items()))
    found = read_official(write(official_entries("hyponet", shuffled, CONDITION), tmp_path / "ckpt.pth"))
    assert same(found.network, recipe(NETWORK))


def test_lora_is_folded_in(small, tmp_path):
    path = write(small_entries(lora=True), tmp_path / "ckpt.pth")
    attention = "blocks.0.self_attn"
    factors = recipe({f"{attention}.lora_proj.lora_a": (6, 4), f"{attention}.lora_proj.lora_b": (4, 2)})
    change = torch.einsum("ir,rj->ij", *factors.values()) / 2  # sqrt of rank 4
    wanted = recipe(NETWORK)
    wanted[f"{attention}.in_proj_weight"] += change
    found = read_official(path)
    assert found.provenance["lora_folded"] == 1
    assert list(found.network) == list(NETWORK)
    assert_close(found.network, wanted, atol=1e-7, rtol=1e-6)
    raw = read_official(path, use_ema=False).network[f"{attention}.in_proj_weight"]
    assert_close(raw, recipe(NETWORK)[f"{attention}.in_proj_weight"] / 2 + change / 4, atol=1e-7, rtol=1e-6)


def test_the_prefix_of_a_data_parallel_wrapper_is_taken_off(small, tmp_path):
    entries = small_entries()
    for name in ("model", "model_cond"):
        entries[name] = {f"module.{key}": tensor for key, tensor in entries[name].items()}
    assert same(read_official(write(entries, tmp_path / "ckpt.pth")).network, recipe(NETWORK))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_cast_and_said(small, tmp_path, dtype):
    entries = small_entries()
    entries["model"]["start.weight"] = entries["model"]["start.weight"].to(dtype)
    entries["model_cond"]["bn.running_var"] = entries["model_cond"]["bn.running_var"].to(dtype)
    found = read_official(write(entries, tmp_path / "ckpt.pth"), use_ema=False)
    assert found.provenance["cast_to_float32"] == {str(dtype): 2}
    assert found.network["start.weight"].dtype == torch.float32
    assert torch.equal(found.network["start.weight"], entries["model"]["start.weight"].float())


def test_what_is_read_does_not_hang_on_the_file(small, tmp_path):
    path = write(small_entries(), tmp_path / "ckpt.pth")
    found = read_official(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert same(found.network, recipe(NETWORK))


# --- what is refused --------------------------------------------------------------------------------------------


def drop(entries):
    del entries["model"]["start.bias"]


def add(entries):
    entries["model_cond"]["head.weight"] = torch.zeros(1)


def bend(entries):
    entries["model"]["start.weight"] = torch.zeros(5, 3)


def several(entries):
    drop(entries), bend(entries)
    entries["model"] |= {f"extra.{i}": torch.zeros(1) for i in range(5)}


def half_a_lora(entries):
    entries["model"]["blocks.0.self_attn.lora_proj.lora_a"] = torch.zeros(6, 4)


def foreign_rank(entries):
    entries["model"]["blocks.0.self_attn.lora_proj.lora_a"] = torch.zeros(6, 8)
    entries["model"]["blocks.0.self_attn.lora_proj.lora_b"] = torch.zeros(8, 2)


def break_training(entries):
    entries["ema"]["shadow_params"][1][2] = torch.nan


def count(entries):
    entries["ema"]["shadow_params"][0] = torch.ones(4, 3, dtype=torch.int32)


def average_a_counter(entries):
    entries["model_cond"]["bn.num_batches_tracked"] = torch.tensor(3.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop, r"'model' does not fit: missing 'start.bias'\."),
        (add, r"'model_cond' does not fit: unknown 'head.weight'\."),
        (bend, r"'model' does not fit: 'start.weight' has shape \(5, 3\), expected \(4, 3\)\."),
        (several, r"missing 'start.bias'; unknown 'extra.0', 'extra.1', 'extra.2' and 2 more; 'start.weight' has"),
        (half_a_lora, "missing 'blocks.0.self_attn.lora_proj.lora_b'"),
        (
            foreign_rank,
            r"lora_a' has shape \(6, 8\), expected \(6, 4\); .*lora_b' has shape \(8, 2\)",
        ),
        (break_training, "'model': 'start.bias' is not finite everywhere"),
        (count, "'model': 'start.weight' has type torch.int32, expected torch.float32"),
        (average_a_counter, "'bn.num_batches_tracked' has type torch.float32, expected torch.int64"),
        (lambda entries: entries.pop("model_cond"), "'model_cond' is missing: the file is only a part"),
        (lambda entries: entries.update(model=[1]), "'model' is not a dict of tensors"),
        (lambda entries: entries["model"].update({"start.bias": 3}), "'model' is not a dict of tensors"),
    ],
)
def test_weights_that_do_not_fit_are_named(small, tmp_path, change, says):
    entries = small_entries()
    change(entries)
    with pytest.raises(CheckpointError, match=says):
        read_official(write(entries, tmp_path / "ckpt.pth"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ema: ema["shadow_params"].pop(), "'ema' lists 5 averages of 6 parameters"),
        (lambda ema: ema["shadow_params"].append(torch.zeros(1)), "'ema' lists 7 averages of 6 parameters"),
        (lambda ema: ema["shadow_params"].reverse(), r"average 0 has shape \(2,\), where 'start.weight' has \(4, 3\)"),
        (lambda ema: ema.pop("shadow_params"), "'ema' has no list of tensors 'shadow_params'"),
        (lambda ema: ema.update(shadow_params=[1.0]), "'ema' has no list of tensors 'shadow_params'"),
    ],
)  # fmt: skip
def test_averages_that_do_not_fit_are_refused_and_raw_weights_still_load(small, tmp_path, change, says):
    entries = small_entries()
    change(entries["ema"])
    path = write(entries, tmp_path / "ckpt.pth")
    with pytest.raises(CheckpointError, match=f"{says}.*--raw"):
        read_official(path)
    assert read_official(path, use_ema=False).network.keys() == NETWORK.keys()


@pytest.mark.parametrize("ema", ["ema", "ema_cond"])
def test_a_file_without_averages_says_how_to_go_on(small, tmp_path, ema):
    entries = small_entries()
    del entries[ema]
    with pytest.raises(CheckpointError, match=f"'{ema}' is missing, so there are no averaged weights: .*--raw"):
        read_official(write(entries, tmp_path / "ckpt.pth"))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"network": {"module.encoder.a": 1, "module.score_net.b": 2}}, "is ADHMR's HMR-Scorer"),
        ({"state_dict": {}, "meta": {}}, r"holds 'state_dict', 'meta': it is no checkpoint of HypoNet"),
        ({}, "holds nothing: it is no checkpoint"),
        ([torch.zeros(1)], "holds a list, but a checkpoint is a dict"),
    ],
)  # fmt: skip
def test_files_of_something_else_are_told_apart(tmp_path, entries, says):
    with pytest.raises(CheckpointError, match=says):
        read_official(write(entries, tmp_path / "other.pth"))


class Trap:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "sprung")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_with_code_is_not_run(tmp_path, zipped):
    path, sprung = tmp_path / "ckpt.pth", tmp_path / "sprung"
    torch.save({**small_entries(), "cfg": Trap(sprung)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"asks to run Python code \(.*\), which no official checkpoint does"):
        read_official(path)
    assert not sprung.exists()
    torch.load(path, weights_only=False)
    assert sprung.exists()  # it was armed


def test_a_truncated_file_is_said_to_be_so(tmp_path):
    path = write(small_entries(), tmp_path / "ckpt.pth")
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 10, 100):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="is not a whole checkpoint: it is cut short"):
            read_official(path)


def test_other_files_are_no_checkpoints(tmp_path):
    path = tmp_path / "file.pth"
    for content in (b"", b"<html>quota exceeded</html>", pickle.dumps({"a": np.zeros(3)}), bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"file\.pth is not a checkpoint: torch\.save did not write it"):
            read_official(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="another kind of file"):
        read_official(path)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_official(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_official(tmp_path)


# --- writing ----------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**31), kind=st.sampled_from(KINDS), scale=st.sampled_from([1e-42, 1.0, 1e30]))
def test_what_is_written_is_read_again_bit_for_bit(tmp_path_factory, seed, kind, scale):
    generator = torch.Generator().manual_seed(seed)
    network, condition = (
        {name: scale * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for shapes in (NETWORK, {**CONDITION, "bn.bias": (2,)})
    )
    condition["bn.num_batches_tracked"] = torch.tensor(seed)
    path = tmp_path_factory.mktemp("written") / "out" / "ckpt.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "_expected", lambda kind: Expected(without_data(NETWORK), without_data(CONDITION)))
        write_official(path, kind, network, condition, {"epoch": 7, "from": "abc"})
        for use_ema in (True, False):
            found = read_official(path, use_ema)
            assert found.kind == kind
            assert same(found.network, network) and same(found.condition, condition)
            assert found.provenance["epoch"] == 7
            assert found.provenance["exported_from"] == {"epoch": 7, "from": "abc"}
    assert [file.name for file in path.parent.iterdir()] == ["ckpt.pth"]


def test_the_written_file_has_the_official_layout(small, tmp_path):
    path, official = tmp_path / "ours.pth", torch.load(write(small_entries(), tmp_path / "a.pth"), weights_only=False)
    write_official(path, "hyponet", recipe(dict(reversed(NETWORK.items()))), recipe(CONDITION), {})
    ours = torch.load(path, weights_only=True)
    assert official.keys() - ours.keys() == {"min_mpjpe_h36m", "min_mpjpe_pw3d"}  # not known of these weights
    assert list(ours["model"]) == list(official["model"]) and list(ours["model_cond"]) == list(official["model_cond"])
    for name in ("ema", "ema_cond"):
        assert ours[name].keys() == official[name].keys()
        assert_close(ours[name]["shadow_params"], official[name]["shadow_params"], atol=0, rtol=0)


def test_weights_that_do_not_fit_are_not_written(small, tmp_path):
    network = recipe(NETWORK)
    del network["start.bias"]
    with pytest.raises(CheckpointError, match=r"weights for .*ckpt\.pth: 'model' does not fit: missing 'start\.bias'"):
        write_official(tmp_path / "ckpt.pth", "hyponet", network, recipe(CONDITION), {})
    assert not list(tmp_path.iterdir())


# --- models and conversion --------------------------------------------------------------------------------------


class SmallScoreModel(ScoreModel):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.encoder, self.network = nn.BatchNorm2d(3), nn.Linear(2, 1)


@pytest.fixture
def small_score_model(monkeypatch) -> None:
    made = SmallScoreModel()
    expected = Expected(made.network.state_dict(), made.encoder.state_dict())
    monkeypatch.setattr(checkpoint, "ScoreModel", SmallScoreModel)
    monkeypatch.setattr(checkpoint, "_expected", lambda kind: expected)


def test_a_score_model_there_and_back(small_score_model, tmp_path):
    shapes = [{name: tuple(t.shape) for name, t in part.items()} for part in checkpoint._expected("scorenet")]
    path = write(official_entries("scorenet", *shapes), tmp_path / "score.pth")
    ours, again = tmp_path / "score.safetensors", tmp_path / "again.pth"
    details = [convert(path, ours), convert(ours, again)]
    digest = load_score_model(path).digest()
    assert details[0] == f"{ours}: ScoreNet, ema weights of score.pth, digest {digest}"
    assert details[1] == f"{again}: ScoreNet in the official layout, from score.safetensors, digest {digest}"
    assert provenance_of(ours)["epoch"] == 29
    for file in (path, ours, again):
        model = load_score_model(file)
        assert not model.training
        assert same(dict(model.network.state_dict()), recipe(shapes[0]))
        assert same(dict(model.encoder.state_dict()), recipe(shapes[1]))


def test_a_network_of_the_other_kind_is_refused(small, tmp_path):
    path = write(small_entries("scorenet"), tmp_path / "score.pth")
    with pytest.raises(CheckpointError, match="holds ScoreNet, not HypoNet"):
        load_scorehypo(path)
    with pytest.raises(CheckpointError, match="holds HypoNet, not ScoreNet"):
        load_score_model(write(small_entries(), tmp_path / "hypo.pth"))


def test_a_base_model_is_no_score_model(tmp_path):
    save_model(HmrModel({"predictor": {"width": 32, "blocks": 1}}), tmp_path / "base.safetensors", {})
    with pytest.raises(CheckpointError, match="not 'hmr-align/score-model/1'"):
        load_score_model(tmp_path / "base.safetensors")
    with pytest.raises(CheckpointError, match="holds the embedded network"):
        convert(tmp_path / "base.safetensors", tmp_path / "out.pth")


def test_conversions_that_make_no_sense(tmp_path):
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match="is there already"):
        convert(tmp_path / "ckpt.pth", there)
    assert there.read_bytes() == b"precious"
    for source, target in (("a.pth", "b.pth"), ("a.safetensors", "b.safetensors"), ("a.pth", "b"), ("a.zip", "b.pth")):
        with pytest.raises(CheckpointError, match="is no conversion: an official checkpoint"):
            convert(tmp_path / source, tmp_path / target)
    with pytest.raises(CheckpointError, match="is not a whole safetensors file"):
        convert(there, tmp_path / "out.pth")
    with pytest.raises(CheckpointError, match="no weights at"):
        convert(tmp_path / "absent.safetensors", tmp_path / "out.pth")


@pytest.mark.parametrize("kind", KINDS)
def test_our_networks_have_the_official_names_shapes_and_order(kind):
    adjacency.cache_clear(), within.cache_clear()
    expected = checkpoint._expected(kind)
    for part, shapes in zip(expected, (network_shapes(kind), condition_shapes(kind))):
        assert [(name, tuple(tensor.shape)) for name, tensor in part.items()] == list(shapes.items())
        assert {tensor.device.type for tensor in part.values()} == {"meta"}
    assert within(1).device.type == "cpu"  # what is kept for all networks has data


# --- full size --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_checkpoint_answers_as_the_original_networks(official_file):
    """Averages matched with a wrong name would show here: the golden outputs are those of the averages."""
    model = load_scorehypo(official_file)
    assert not model.training
    context = {
        "global": recipe_input("ctx.global", (2, 512, 8, 8), 1),
        "local": recipe_input("ctx.local", (2, 52, 256), 1),
    }
    latents = torch.cat([recipe_input("xinj", (2, 87), 20), recipe_input("xint", (2, 46), 20)], 1)[:, None]
    with torch.no_grad():
        noise = model.predictor(latents, torch.tensor([[3], [721]]), Condition(torch.zeros(2, 10), context))[:, 0]
        lowest, _ = model.encoder.features(recipe_input("img", (1, 3, 256, 256), 1))
        global_map = model.encoder.fmap_layer(lowest)
    for found, name in ((noise[:, :87], "a_j"), (noise[:, 87:], "a_t"), (global_map, "h_global")):
        assert deviation(found, name) < 1e-4
    assert torch.equal(model.encoder.init_shape, recipe({"init_shape": (10,)})["init_shape"])


@pytest.mark.slow
def test_a_full_checkpoint_there_and_back_through_the_command(official_file, tmp_path):
    ours, again = tmp_path / "ours.safetensors", tmp_path / "again.pth"
    details = [
        CliRunner().invoke(app, ["convert", str(source), str(target)], catch_exceptions=False).output
        for source, target in ((official_file, ours), (ours, again))
    ]
    assert details[0].split()[-1] == details[1].split()[-1]  # the digest of all weights, as read and as read again
    found, converted, made = read_official(again), load_file(ours), provenance_of(ours)
    again.unlink(), ours.unlink()
    assert len(converted) == len(found.network) + len(found.condition)
    for part, weights in (("predictor", found.network), ("encoder", found.condition)):
        assert all(torch.equal(tensor, converted[f"{part}.{name}"]) for name, tensor in weights.items())
    assert found.provenance["exported_from"] == made
    with official_file.open("rb") as file:
        assert made["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    assert made["weights"] == "ema"

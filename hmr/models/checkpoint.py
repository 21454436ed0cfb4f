"""Checkpoints of ScoreHypo, ADHMR and GPA-HMR: read, written, and converted to our own format and back.

An official file is one dict that `torch.save` wrote: the tensors of a network and of its image encoder by name,
their moving averages (EMA) as lists without names, and the state of the optimizers. No code in a file is ever run:
only tensors and plain numbers are read, and every name and shape is checked.
"""

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmr.models.base_model import HmrModel
from hmr.models.weights_file import CheckpointError, fill, read_weights
from hmr.published.hrnet import HRNetCondition
from hmr.published.hyponet import HypoNet
from hmr.published.scorenet import ScoreModel, ScoreNet
from hmr.published.token_graph import ATTENTION_REACH, LINEAR_REACH, within
from storage.finished_file import finished_file

Kind = Literal["hyponet", "scorenet"]
SCORE_FORMAT = "hmr-align/score-model/1"
SUFFIX = ".safetensors"
LORA_RANK = 4
PUBLISHED_DECAY = 0.9999


class OfficialCheckpoint(NamedTuple):
    """Weights by their official names, in their official order: float32, on the CPU, LoRA folded in."""

    kind: Kind
    network: dict[str, Tensor]
    condition: dict[str, Tensor]
    provenance: dict[str, Any]


class Expected(NamedTuple):
    """The tensors that the two dicts of a file must hold: without data (device meta), in the official order."""

    network: dict[str, Tensor]
    condition: dict[str, Tensor]


class Layout(NamedTuple):
    """Names of the entries of an official file."""

    network: str
    condition: str
    ema: str
    ema_condition: str


LAYOUTS: dict[Kind, Layout] = {
    "hyponet": Layout("model", "model_cond", "ema", "ema_cond"),
    "scorenet": Layout("model_score", "model_score_cond", "ema_score", "ema_score_cond"),
}
TITLES: dict[Kind, str] = {"hyponet": "HypoNet", "scorenet": "ScoreNet"}
RECORDS = ("epoch", "step", "min_mpjpe_h36m", "min_mpjpe_pw3d")
"""Numbers of an official file that are kept as provenance."""
EXPORTED = "hmr_align"
"""Entry of the files that we write: the provenance of what was exported."""
NOT_AVERAGED = {"running_mean", "running_var", "num_batches_tracked", "init_shape"}
"""Last parts of the names of buffers, which are in the dicts but not in the lists of averages."""


def read_official(path: str | Path, use_ema: bool = True) -> OfficialCheckpoint:
    """The weights of a HypoNet or ScoreNet file: their averages, as in the published evaluation, or the raw ones.

    The averages are in the order of the parameters, which is the order of the file's own dict without the
    buffers; buffers are taken as they are. LoRA factors a (1536, 4) and b (4, 512) are folded into the weight
    beside them, W + a b / sqrt(4). Raises CheckpointError if anything does not fit exactly.
    """
    path = Path(path)
    entries = _load(path)
    kind = _kind(path, entries)
    layout, expected = LAYOUTS[kind], _expected(kind)
    ema, ema_condition = (layout.ema, layout.ema_condition) if use_ema else (None, None)
    network = _stored(path, entries, layout.network, ema, expected.network)
    condition = _stored(path, entries, layout.condition, ema_condition, expected.condition)
    provenance = {
        "file": path.name,
        "sha256": _sha256(path),
        "weights": "ema" if use_ema else "raw",
        **({f"ema_{name}": _number(entries[layout.ema].get(name)) for name in ("decay", "num_updates")} if ema else {}),
        **{name: _number(entries[name]) for name in RECORDS if name in entries},
        "lora_folded": sum(name.endswith("lora_a") for name in network),
        "cast_to_float32": _foreign_types([*network.values(), *condition.values()]),
    }
    if isinstance(entries.get(EXPORTED), dict):
        provenance["exported_from"] = entries[EXPORTED]
    return OfficialCheckpoint(
        kind,
        _ready(f"{path}: '{layout.network}'", network, expected.network),
        _ready(f"{path}: '{layout.condition}'", condition, expected.condition),
        provenance,
    )


def write_official(
    path: str | Path,
    kind: Kind,
    network: Mapping[str, Tensor],
    condition: Mapping[str, Tensor],
    provenance: dict[str, Any],
) -> None:
    """Write weights in the official layout, replacing the file in one step; read again, they are the same bits.

    There is one set of weights, so the averages equal the raw weights. Optimizers are left empty: the file serves
    to evaluate and to start a training, not to resume one.
    """
    path = Path(path)
    layout, expected = LAYOUTS[kind], _expected(kind)
    entries: dict[str, Any] = {}
    for name, ema, weights, want in (
        (layout.network, layout.ema, network, expected.network),
        (layout.condition, layout.ema_condition, condition, expected.condition),
    ):
        _check(f"the weights for {path}: '{name}'", weights, want)
        entries[name] = {key: weights[key].detach().cpu().contiguous() for key in want}
        entries[ema] = {
            "decay": provenance.get("ema_decay") or PUBLISHED_DECAY,
            "num_updates": provenance.get("ema_num_updates") or 0,
            "shadow_params": [tensor for key, tensor in entries[name].items() if _averaged(key)],
        }
    optimizers = ("optimizer", "optimizer_cond") if kind == "hyponet" else ()
    entries |= {name: {} for name in optimizers} | {"epoch": 0, "step": 0}
    entries |= {name: provenance[name] for name in RECORDS if provenance.get(name) is not None}
    entries[EXPORTED] = provenance
    with finished_file(path) as unfinished, unfinished.open("wb") as file:  # given a path, torch writes its name too
        torch.save(entries, file)


def load_scorehypo(path: str | Path, use_ema: bool = True) -> HmrModel:
    """HypoNet and its image encoder from an official file; in eval mode, float32, on the CPU.

    Raises CheckpointError if the file cannot be read, is of another kind or does not fit.
    """
    return base_model_of(_of_kind(Path(path), "hyponet", use_ema), Path(path))


def load_score_model(path: str | Path, use_ema: bool = True) -> ScoreModel:
    """ScoreNet and its image encoder from an official file or from ours; in eval mode, float32, on the CPU.

    Raises CheckpointError if the file cannot be read, is of another kind or does not fit.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        return score_model_of(_of_kind(path, "scorenet", use_ema), path)
    model = ScoreModel()
    fill(model, read_weights(path, SCORE_FORMAT)[1], path)
    return model.eval()


def _expected(kind: Kind) -> Expected:
    """The tensors of our own networks of that kind."""
    for steps in {*ATTENTION_REACH, LINEAR_REACH}:
        within(steps)  # kept once it is made, so it must not be made on the meta device
    with torch.device("meta"):
        if kind == "hyponet":
            return Expected(HypoNet().state_dict(), HRNetCondition().state_dict())
        return Expected(ScoreNet().state_dict(), HRNetCondition(betas=False).state_dict())


def _load(path: Path) -> dict[str, Any]:
    """The dict in a file; tensors of a zip file stay there until they are used, so optimizers take no memory."""
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the path of a file that you have")
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    try:
        with torch.serialization.safe_globals(_numpy_numbers()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd files; the error has the details
            entries = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a broken file can fail anywhere in the reader
        raise CheckpointError(_unreadable(path, error, zipped)) from None
    if not isinstance(entries, dict):
        raise CheckpointError(f"{path} holds a {type(entries).__name__}, but a checkpoint is a dict: take another file")
    return entries


def _numpy_numbers() -> list[Any]:
    """Types that torch's reader must allow: the best errors were saved as numpy numbers."""
    scalar: Any = np.float64(0).__reduce__()[0]
    named = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]  # before and since numpy 2
    return [*named, np.dtype, *(type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8"))]


def _unreadable(path: Path, error: Exception, zipped: bool) -> str:
    if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return (
            f"{path} asks to run Python code ({code[1]}), which no official checkpoint does, and was not read: "
            "get it again from its authors; if you wrote it, keep tensors and numbers alone in it"
        )
    if zipped:
        return f"{path} is not a whole checkpoint: it is cut short, damaged or another kind of file; get it again"
    return f"{path} is not a checkpoint: torch.save did not write it, or it is cut short; take another file"


def _kind(path: Path, entries: dict[str, Any]) -> Kind:
    for kind, layout in LAYOUTS.items():
        if layout.network in entries:
            return kind
    network = entries.get("network")
    if isinstance(network, dict) and any("score_net." in str(name) for name in network):
        raise CheckpointError(
            f"{path} is ADHMR's HMR-Scorer, which reads the features of another network (SMPLer-X): only HypoNet and "
            "ScoreNet run here; ScoreNet or the evidence critic can score in its place"
        )
    raise CheckpointError(
        f"{path} holds {_some(entries)}: it is no checkpoint of HypoNet ('model', 'model_cond') or of ScoreNet "
        "('model_score', 'model_score_cond')"
    )


def _of_kind(path: Path, kind: Kind, use_ema: bool) -> OfficialCheckpoint:
    official = read_official(path, use_ema)
    if official.kind != kind:
        raise CheckpointError(f"{path} holds {TITLES[official.kind]}, not {TITLES[kind]}: take the other file")
    return official


def _stored(
    path: Path, entries: dict[str, Any], name: str, ema: str | None, expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of a dict as they are there, LoRA factors too, or their averages where `ema` names them."""
    where = f"{path}: '{name}'"
    weights = entries.get(name)
    if name not in entries:
        raise CheckpointError(f"{where} is missing: the file is only a part of a checkpoint; take another one")
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in weights.items()
    ):
        raise CheckpointError(f"{where} is not a dict of tensors by name: take another file")
    if all(key.startswith("module.") for key in weights):  # saved from inside a data-parallel wrapper
        weights = {key.removeprefix("module."): tensor for key, tensor in weights.items()}
    _check(where, weights, _with_lora(expected, weights))
    if ema is None:
        return dict(weights)
    return weights | _averages(f"{path}: '{ema}'", entries.get(ema), {k: t for k, t in weights.items() if _averaged(k)})


def _averages(where: str, average: Any, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Averages by the names of the parameters that they belong to."""
    fix = "take the raw weights instead, with `hmr-align convert FILE OUT.safetensors --raw` (use_ema=False)"
    if average is None:
        raise CheckpointError(f"{where} is missing, so there are no averaged weights: {fix}")
    listed = average.get("shadow_params") if isinstance(average, dict) else None
    if not isinstance(listed, list) or not all(isinstance(tensor, Tensor) for tensor in listed):
        raise CheckpointError(f"{where} has no list of tensors 'shadow_params': {fix}")
    if len(listed) != len(parameters):
        raise CheckpointError(
            f"{where} lists {len(listed)} averages of {len(parameters)} parameters; without names they can only be "
            f"matched if all are there: {fix}"
        )
    for place, ((name, parameter), tensor) in enumerate(zip(parameters.items(), listed)):
        if tensor.shape != parameter.shape:
            raise CheckpointError(
                f"{where}: average {place} has shape {tuple(tensor.shape)}, where '{name}' has "
                f"{tuple(parameter.shape)}: {fix}"
            )
    return dict(zip(parameters, listed))


def _with_lora(expected: Mapping[str, Tensor], found: Iterable[str]) -> dict[str, Tensor]:
    """The expected tensors, with both LoRA factors of each attention that has one of them in the file."""
    more = {}
    for attention in {name.partition(".lora_proj.")[0] for name in found if ".lora_proj." in name}:
        weight = expected.get(f"{attention}.in_proj_weight")
        if weight is not None:
            rows, columns = weight.shape
            more[f"{attention}.lora_proj.lora_a"] = weight.new_empty(rows, LORA_RANK)
            more[f"{attention}.lora_proj.lora_b"] = weight.new_empty(LORA_RANK, columns)
    return {**expected, **more}


def _ready(where: str, stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in memory of our own, in the types and the order expected; finite; LoRA folded in."""
    weights = {}
    for name, tensor in stored.items():
        counter = name.endswith("num_batches_tracked")
        if tensor.is_floating_point() == counter:
            raise CheckpointError(
                f"{where}: '{name}' has type {tensor.dtype}, expected {torch.int64 if counter else torch.float32}"
            )
        weights[name] = tensor.detach().to(torch.int64 if counter else torch.float32, copy=True).contiguous()
        if not torch.stack(weights[name].aminmax()).isfinite().all():
            raise CheckpointError(f"{where}: '{name}' is not finite everywhere: the training broke; take another file")
    for name in [name for name in weights if name.endswith(".lora_proj.lora_a")]:
        attention = name.removesuffix(".lora_proj.lora_a")
        change = weights[name] @ weights[f"{attention}.lora_proj.lora_b"] / LORA_RANK**0.5
        weights[f"{attention}.in_proj_weight"] += change
    return {name: weights[name] for name in expected}


def _check(where: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Every name and shape, in one message."""
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    misshapen = [
        f"'{name}' has shape {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    faults = [
        *([f"missing {_some(missing)}"] if missing else []),
        *([f"unknown {_some(unknown)}"] if unknown else []),
        *misshapen[:3],
    ]
    if faults:
        raise CheckpointError(
            f"{where} does not fit: {'; '.join(faults)}. Only networks of the published size can be loaded"
        )


def _some(names: Iterable[Any], most: int = 3) -> str:
    names = list(names)
    listed = ", ".join(f"'{name}'" for name in names[:most]) or "nothing"
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")


def _averaged(name: str) -> bool:
    return name.rpartition(".")[2] not in NOT_AVERAGED


def _number(value: Any) -> int | float | None:
    """A plain number out of a number, a numpy number or a tensor of one."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1):
        value = value.item()
    return value if isinstance(value, int | float) else None


def _foreign_types(tensors: Iterable[Tensor]) -> dict[str, int]:
    """How many tensors of each floating type but float32."""
    return dict(Counter(str(t.dtype) for t in tensors if t.is_floating_point() and t.dtype != torch.float32))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def base_model_of(official: OfficialCheckpoint, where: Path) -> HmrModel:
    """The weights of a HypoNet file as a model in eval mode; raises CheckpointError, naming `where`, at a misfit."""
    model = HmrModel({"network": "hyponet"})
    fill(model, _over("predictor", official.network) | _over("encoder", official.condition), where)
    return model.eval()


def score_model_of(official: OfficialCheckpoint, where: Path) -> ScoreModel:
    """The weights of a ScoreNet file as a model in eval mode; raises CheckpointError, naming `where`, at a misfit."""
    model = ScoreModel()
    fill(model, _over("network", official.network) | _over("encoder", official.condition), where)
    return model.eval()


def _over(part: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{name}": tensor for name, tensor in weights.items()}


def under(part: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights whose names start with `part.`, by the rest of their names."""
    return {name.removeprefix(f"{part}."): t for name, t in weights.items() if name.startswith(f"{part}.")}

"""A base model from its name or from a file, of our own format or an official one."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import safe_open

from hmr.models.base_model import FORMAT, NETWORKS, HmrModel
from hmr.models.checkpoint import load_scorehypo
from hmr.models.weights_file import OFFICIAL_SUFFIXES, SHIPPED, CheckpointError, fill, read_weights


def load_model(name_or_path: str | Path) -> HmrModel:
    """A shipped base by name (`lab`, `default`), or one from a file; in eval mode, float32, on the CPU.

    A file is of our own format, or an official checkpoint of ScoreHypo or ADHMR (its averaged weights are taken).
    Raises CheckpointError if the file is missing, broken or does not fit.
    """
    if str(name_or_path) in SHIPPED:
        with resources.as_file(resources.files("hmr") / "assets" / f"base_{name_or_path}.safetensors") as path:
            return _read(path)
    if Path(name_or_path).suffix in OFFICIAL_SUFFIXES:
        return load_scorehypo(Path(name_or_path))
    return _read(Path(name_or_path))


def provenance_of(path: Path) -> dict[str, Any]:
    """The provenance in a weights file: where the weights came from."""
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("provenance", "{}"))


def _read(path: Path) -> HmrModel:
    about, tensors = read_weights(path, FORMAT)
    network = about["architecture"].get("network", "embedded")
    if network not in NETWORKS:
        raise CheckpointError(f"{path} holds a network '{network}'; there are {', '.join(NETWORKS)}")
    model = HmrModel(about["architecture"])
    fill(model, tensors, path)
    return model.eval()

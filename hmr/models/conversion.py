"""Official checkpoints to our files and back, without changing a number."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from hmr.models.base_model import save_model
from hmr.models.checkpoint import (
    SCORE_FORMAT,
    SUFFIX,
    TITLES,
    Kind,
    base_model_of,
    load_score_model,
    read_official,
    score_model_of,
    under,
    write_official,
)
from hmr.models.model_file import load_model, provenance_of
from hmr.models.weights_file import OFFICIAL_SUFFIXES, CheckpointError, save_weights


def convert(source: Path, target: Path, use_ema: bool = True) -> str:
    """Convert an official file to ours (.safetensors), or one of ours to the official layout; returns what was written.

    use_ema: which weights of an official file to take; a file of ours holds a single set. Raises CheckpointError if the
    target exists, if the two names are no such pair, or if the source cannot be used.
    """
    if target.exists():
        raise CheckpointError(f"{target} is there already: give another name, or move it away")
    if source.suffix in OFFICIAL_SUFFIXES and target.suffix == SUFFIX:
        return _to_ours(source, target, use_ema)
    if source.suffix == SUFFIX and target.suffix in OFFICIAL_SUFFIXES:
        return _to_official(source, target)
    raise CheckpointError(
        f"{source.name} to {target.name} is no conversion: an official checkpoint ({', '.join(OFFICIAL_SUFFIXES)}) "
        f"becomes a {SUFFIX} file, and the other way round"
    )


def _to_ours(source: Path, target: Path, use_ema: bool) -> str:
    official = read_official(source, use_ema)
    if official.kind == "hyponet":
        model = base_model_of(official, source)
        save_model(model, target, official.provenance)
    else:
        model = score_model_of(official, source)
        save_weights(model, target, SCORE_FORMAT, {"provenance": official.provenance})
    title, weights = TITLES[official.kind], official.provenance["weights"]
    return f"{target}: {title}, {weights} weights of {source.name}, digest {model.digest()}"


def _to_official(source: Path, target: Path) -> str:
    kind: Kind
    if _is_score_model(source):
        kind, model, network = "scorenet", load_score_model(source), "network"
    else:
        kind, model, network = "hyponet", load_model(source), "predictor"
        if model.architecture["network"] != "hyponet":
            raise CheckpointError(f"{source} holds the embedded network, for which there is no official layout")
    weights = model.state_dict()
    write_official(target, kind, under(network, weights), under("encoder", weights), provenance_of(source))
    return f"{target}: {TITLES[kind]} in the official layout, from {source.name}, digest {model.digest()}"


def _is_score_model(path: Path) -> bool:
    """Whether a file of ours holds a ScoreNet; faults of the file are reported when it is read."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == SCORE_FORMAT
    except (OSError, SafetensorError):
        return False

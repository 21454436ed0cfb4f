"""Named settings of a fine-tuning run, one TOML file each, with the source of every number beside it.

`[objective]` are fields of `ObjectiveSettings`, `[trainer]` those of the trainer's settings that the sources name.
A file names every field that acts on its objective: nothing is taken silently from another preset. Every report
prints the preset's name and what was changed.

Marks in the files:
    [paper]   Shen et al. 2026, "VLM-Guided Group Preference Alignment for Diffusion-based Human Mesh Recovery"
              (arXiv:2602.19180), or its supplement
    [notes]   public reading notes on that paper: second-hand
    [code]    what the training code that its authors released does
    [unsaid]  no public source gives it, so the value is ours
    [ours]    our choice, though a source has another value or none is needed

To add one: write `<name>.toml` here, and add the name to `Train.preset` in the settings of a run.
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from typing import Any

from hmr.alignment.objectives.settings import ObjectiveSettings

__all__ = ["PRESETS", "preset", "trainer_settings"]

_FILES: dict[str, dict[str, Any]] = {
    file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8"))
    for file in sorted(resources.files(__name__).iterdir(), key=lambda file: file.name)
    if file.name.endswith(".toml")
}

PRESETS: Mapping[str, ObjectiveSettings] = {
    name: ObjectiveSettings.model_validate({**tables["objective"], "name": name}) for name, tables in _FILES.items()
}


def preset(name: str, **changes: Any) -> ObjectiveSettings:
    """A preset with `changes`, which its name shows: preset("stable", beta=50) is named "stable, changed: beta".

    `advantage` may be a part of its settings: the others stay the preset's. Raises ValueError (pydantic's
    ValidationError among them) for an unknown preset or for changes that do not fit.
    """
    chosen = PRESETS[_known(name)]
    if not changes:
        return chosen
    advantage = changes.get("advantage")
    if isinstance(advantage, Mapping):
        changes = {**changes, "advantage": {**chosen.advantage.model_dump(), **advantage}}
    label = {"name": f"{name}, changed: {', '.join(sorted(changes))}"}
    return ObjectiveSettings.model_validate({**chosen.model_dump(), **label, **changes})


def trainer_settings(name: str) -> dict[str, Any]:
    """The preset's settings of the trainer, by their names there; raises ValueError if there is no such preset."""
    return dict(_FILES[_known(name)]["trainer"])


def _known(name: str) -> str:
    if name in PRESETS:
        return name
    near = get_close_matches(name, PRESETS, n=1)
    fix = f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(PRESETS)}."
    raise ValueError(f"no preset is called '{name}'. {fix}")

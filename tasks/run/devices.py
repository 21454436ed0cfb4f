"""Where the networks of a stage run, from its settings and this machine's hardware."""

import torch

from hmr.models.compute import Compute
from tasks.run.settings import Sample, ScoreNetSettings, SettingsError


def compute_for(section: Sample | ScoreNetSettings) -> Compute:
    """Device and precision for the networks of a section; `auto` is a GPU if torch sees one.

    Raises SettingsError for a device that torch does not see.
    """
    on_gpu = torch.cuda.is_available()
    if section.device == "cuda" and not on_gpu:
        table = "sample" if isinstance(section, Sample) else "critic.scorenet"
        raise SettingsError(
            f"[{table}] device = 'cuda': torch {torch.__version__} sees no GPU here. "
            "Use 'auto' or 'cpu', or install the CUDA build of torch and its driver."
        )
    return Compute(
        device="cuda" if on_gpu and section.device != "cpu" else "cpu",
        bf16=section.precision == "bf16",
        compiled=isinstance(section, Sample) and section.compile,
    )

"""The state of a training run on disk, so that a killed run goes on bit for bit. A few are kept, the newest is used."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from storage.finished_file import finished_file

__all__ = ["StateError", "load_state", "save_state"]


class StateError(ValueError):
    """A saved state cannot be used; the message says which and how to fix it."""


def save_state(folder: Path, step: int, state: dict[str, Any], keep: int) -> None:
    """Write the state after `step` steps, in one move, and remove all but the newest `keep`."""
    with finished_file(folder / f"step-{step:08d}.pt") as unfinished, unfinished.open("wb") as file:
        torch.save(state, file)  # given a path, torch would write its name too
    for old in _states(folder)[keep:]:
        old.unlink()


def load_state(folder: Path, run: str) -> dict[str, Any] | None:
    """The newest whole state of the folder, on the CPU; None if nothing was saved there.

    Raises StateError if it belongs to another run (`run` is the digest of everything that decides the result), or if
    there are states and none can be read.
    """
    fault: Exception | None = None
    for path in _states(folder):
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
        except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
            fault = error  # cut short by a full disk, say; the one before it takes its place
            continue
        if state["run"] != run:
            raise StateError(
                f"{path} was saved by a run with another model, other groups, scores or settings: "
                "train in another folder, or remove this one to start anew"
            )
        return state
    if fault is not None:
        raise StateError(f"no saved state in {folder} can be read ({fault}): remove the folder to start anew")
    return None


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's weights by name."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), reverse=True)

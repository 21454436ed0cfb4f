"""Other models' outputs for people in photographs, as hypotheses of a group: bodies, meshes or joints, with a camera.

    predicted.py         the record: one model's hypotheses of one person; joined to groups; a camera from points
    mhr_map.py           vertices of SAM 3D Body's MHR to SMPL's, by the user's own copy of MHR's public maps
    sam3d.py  romp.py  fourdhumans.py  multihmr.py  prompthmr.py  smplify_x.py    one model's files each
    run_groups.py        groups of our own runs
    arrays_npz.py        plain arrays in an .npz, for any other model
    preference_files.py  groups and pairs of GPA-HMR and ADHMR: joints and twists in the crop

Each reader has `read(path) -> list[Predicted]`, runs no code from a file and raises `SourceError`. Imports
`storage.sources`, and for our own runs `storage.group_store`. To add a model: a module with `read`, a line in
`READERS`, a test that writes its layout.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from storage.predictions.predicted import Predicted
from storage.sources import SourceError

READERS = {
    "sam3d": "sam3d",
    "romp": "romp",
    "4dhumans": "fourdhumans",
    "multihmr": "multihmr",
    "prompthmr": "prompthmr",
    "smplify-x": "smplify_x",
    "run": "run_groups",
    "npz": "arrays_npz",
}
"""Name on the command line -> module."""


def read_predictions(kind: str, paths: Sequence[Path]) -> list[Predicted]:
    """All predictions of the files, and of the files in folders among them.

    Raises SourceError if there is no such reader, if a file cannot be read, or if there is no prediction."""
    if kind not in READERS:
        raise SourceError(f"no reader of predictions is called '{kind}'. Known: {', '.join(READERS)}.")
    module = import_module(f"storage.predictions.{READERS[kind]}")
    found: list[Predicted] = []
    for path in paths:
        try:
            found += module.read(Path(path))
        except (SourceError, MemoryError):
            raise
        except Exception as error:  # a broken file may fail in any way in which the readers of zip, npy and pickle can
            raise SourceError(
                f"{path}: not a whole file of '{kind}' ({type(error).__name__}: {error}). Save the outputs again."
            ) from error
    if not found:
        raise SourceError(f"{', '.join(map(str, paths)) or 'no file'}: no prediction in it. Give the model's outputs.")
    return found

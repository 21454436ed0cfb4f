"""HDF5 files, for the datasets that come as them. Needs h5py: `pip install hmr-align[datasets]`."""

from pathlib import Path
from typing import Any

from storage.sources import SourceError


def open_hdf5(path: Path) -> Any:
    """An open `h5py.File`, to be used in a `with`; raises SourceError without h5py or if the file is not whole."""
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SourceError(f"{path}: HDF5 files need h5py. Install it: pip install h5py") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise SourceError(f"{path}: not a whole HDF5 file ({error}). Fetch it again.") from error

"""`.npz` files read in blocks of rows, in bounded memory, without running code of pickles in them."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from storage.sources import SourceError
from storage.sources.plain_pickle import load_plain


class NpzFile:
    """The arrays of an archive by name; raises SourceError if the file cannot be read or is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror}). Give the path of an .npz file.") from error
        except zipfile.BadZipFile as error:
            fix = (
                "It is a single array: give an .npz that names its arrays"
                if path.suffix == ".npy"
                else "Fetch it again"
            )
            raise SourceError(f"{path}: not a whole .npz file ({error}). {fix}.") from error
        self._members = {name.removesuffix(".npy"): name for name in self._archive.namelist() if name.endswith(".npy")}
        self.names = tuple(self._members)
        self._shapes: dict[str, tuple[tuple[int, ...], np.dtype, bool]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, from its header alone; raises SourceError if it is not an array."""
        return self._header(name)[0]

    def is_object(self, name: str) -> bool:
        """Whether an array holds pickled objects, by its header; raises SourceError if it is not an array."""
        return self._header(name)[1].hasobject

    def whole(self, name: str) -> Any:
        """One array, or the content of a pickle of plain values; an array without axes is returned as its value."""
        return read_array(self._archive.read(self._members[name]), f"{self.path}: '{name}'")

    def blocks(self, names: Sequence[str], rows: int) -> Iterator[dict[str, NDArray]]:
        """The arrays of numbers or texts side by side, `rows` rows at a time, each in its unit in the file.

        Raises SourceError before the first block if one has another number of rows than the first.
        """
        count = self.shape(names[0])[:1] if names else ()
        for name in names:
            if self.shape(name)[:1] != count:
                details = f"expected {count[0] if count else 'no'} rows, as '{names[0]}' has"
                raise SourceError(f"{self.path}: '{name}': found shape {self.shape(name)}, {details}. Fetch it again.")
        readers = {}
        for name in names:
            shape, dtype, fortran = self._header(name)
            if dtype.hasobject or fortran:  # neither is stored row by row in the file
                array = np.asarray(self.whole(name))
                readers[name] = _slices(array, rows)
            else:
                readers[name] = self._stream(name, shape, dtype, rows)
        while True:
            block = {name: next(reader, None) for name, reader in readers.items()}
            if any(part is None for part in block.values()) or not block:
                return
            yield block  # type: ignore[misc]

    def every(
        self, names: Sequence[str], stride: int, rows: int
    ) -> Iterator[tuple[dict[str, NDArray], NDArray, float]]:
        """Every `stride`-th row of the arrays, in blocks: the rows, their numbers in the file, the share read (0-1).

        rows: most rows that are read at once. Raises SourceError as `blocks` does.
        """
        start, total = 0, self.shape(names[0])[0]
        for block in self.blocks(names, rows):
            numbers = np.arange(start, start + len(block[names[0]]))
            start += len(numbers)
            keep = numbers % stride == 0
            if keep.any():
                yield {name: values[keep] for name, values in block.items()}, numbers[keep], start / total

    def _stream(self, name: str, shape: tuple[int, ...], dtype: np.dtype, rows: int) -> Iterator[NDArray]:
        width = int(np.prod(shape[1:])) * dtype.itemsize
        with self._archive.open(self._members[name]) as stream:
            _head(stream)
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                content = stream.read(count * width)
                if len(content) != count * width:
                    raise SourceError(f"{self.path}: '{name}' ends after {start} of {shape[0]} rows. Fetch it again.")
                yield np.frombuffer(content, dtype).reshape(count, *shape[1:])

    def _header(self, name: str) -> tuple[tuple[int, ...], np.dtype, bool]:
        if name not in self._shapes:
            with self._archive.open(self._members[name]) as stream:
                try:
                    self._shapes[name] = _head(stream)
                except ValueError as error:
                    raise SourceError(f"{self.path}: '{name}' is no numpy array ({error}). Fetch it again.") from error
        return self._shapes[name]


def read_array(content: bytes, where: str) -> Any:
    """A `.npy`: an array, or the content of a pickle of plain values; an array without axes is returned as its value.

    Raises SourceError, with the name `where`, if it is broken or not safe to read.
    """
    stream = io.BytesIO(content)
    if not _head(stream)[1].hasobject:
        return npy.read_array(io.BytesIO(content), allow_pickle=False)
    value = load_plain(content[stream.tell() :], where)
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _head(stream: Any) -> tuple[tuple[int, ...], np.dtype, bool]:
    version = npy.read_magic(stream)
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(stream)
    return tuple(shape), dtype, fortran and len(shape) > 1


def _slices(array: NDArray, rows: int) -> Iterator[NDArray]:
    for start in range(0, len(array), rows):
        yield array[start : start + rows]

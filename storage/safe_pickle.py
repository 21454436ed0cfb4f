"""Reads pickles, and arrays of objects in `.npy` form, without running any code in them.

A pickle is a program: it can name functions of any module and call them. Numbers, texts, lists and dictionaries need no
name; here numpy's arrays, dtypes and scalars, and a few harmless builtins, may also be named. Any other name in a
pickle is refused before it is looked up, unless the caller gives an inert class for it.

A leaf: it imports nothing of ours, and every folder may import it.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib import format as npy

__all__ = ["RefusedName", "StandIn", "read_npy", "read_pickle"]

StandIn = Callable[[str, str], type | None]
"""Module and name -> a class of the caller's own that takes its place and does nothing, or None."""

_ALLOWED = {
    "builtins": {"object", "set", "frozenset", "dict"},
    "copyreg": {"_reconstructor"},
    "_codecs": {"encode"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}
_RENAMED = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}
"""Their names in Python 2 and numpy 1."""


class RefusedName(Exception):
    """A pickle names something that is not in the allow-list; the message is the name, `module.name`."""


def read_pickle(content: bytes, stand_in: StandIn = lambda module, name: None) -> Any:
    """The content of a pickle; texts of Python 2 are read as latin-1.

    Raises RefusedName for a name outside the allow-list, and what `pickle` raises for a broken pickle.
    """
    return _Reader(io.BytesIO(content), stand_in).load()


def read_npy(content: bytes, stand_in: StandIn = lambda module, name: None) -> Any:
    """The content of an `.npy` file: numbers or texts, or the result of `read_pickle` for an array of objects.

    Raises RefusedName for a name outside the allow-list, and what numpy or `pickle` raise for a broken file.
    """
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    if read_header(stream)[2].hasobject:
        return read_pickle(stream.read(), stand_in)
    return np.load(io.BytesIO(content), allow_pickle=False)


class _Reader(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, stand_in: StandIn) -> None:
        super().__init__(stream, encoding="latin1")
        self._stand_in = stand_in

    def find_class(self, module: str, name: str) -> Any:
        if (inert := self._stand_in(module, name)) is not None:
            return inert
        module = _RENAMED.get(module, module)
        if name not in _ALLOWED.get(module, ()):
            raise RefusedName(f"{module}.{name}")
        return super().find_class(module, name)

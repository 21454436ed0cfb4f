"""Pickles: plain things and numpy's are read, whoever wrote them; all else is refused by name, and nothing runs."""

import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from storage.safe_pickle import RefusedName, read_npy, read_pickle

PLAIN = {
    "numbers": [1, 2.5, None, True, 2**70],
    "text": "größer",
    "bytes": b"\x00\xff",
    "set": {1, 2},
    "frozen": frozenset({3}),
    "scalar": np.float32(1.5),
    "array": np.arange(6.0).reshape(2, 3).T,
    "objects": np.array([{"a": 1}, None], object),
}


class Hostile:
    """Calls something as it is unpickled."""

    def __init__(self, call, *arguments):
        self.reduced = (call, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_plain_things_come_back(protocol):
    data = pickle.dumps(PLAIN, protocol)
    if protocol < 4:  # as Python 2 and numpy 1 wrote them
        for new, old in ((b"numpy._core", b"numpy.core"), (b"ccopyreg", b"ccopy_reg"), (b"cbuiltins", b"c__builtin__")):
            data = data.replace(new, old)
    found = read_pickle(data)
    assert found.keys() == PLAIN.keys()
    for name, value in PLAIN.items():
        np.testing.assert_equal(found[name], value)


def test_texts_of_python_2_are_latin_1():
    assert read_pickle(b"U\x01\xfc.") == "ü"


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("call", "argument", "name"),
    [
        (os.system, "touch {}", "system"),
        (eval, "open('{}', 'w')", "builtins.eval"),
        (getattr, "{}", "builtins.getattr"),
        (np.load, "{}", "numpy.load"),
        (OrderedDict, "{}", "collections.OrderedDict"),
    ],
)
def test_anything_else_is_refused_by_name_and_nothing_runs(tmp_path, protocol, call, argument, name):
    trace = tmp_path / "trace"
    data = pickle.dumps([1, Hostile(call, argument.format(trace))], protocol)
    with pytest.raises(RefusedName, match=name):
        read_pickle(data)
    assert not trace.exists()


def test_a_name_that_walks_out_of_an_allowed_module_is_refused():
    """Protocol 4 may ask for a dotted name."""
    hostile = b"\x80\x04\x8c\x05numpy\x8c\x0eos.path.exists\x93\x8c\x01/\x85R."
    with pytest.raises(RefusedName, match=r"numpy\.os\.path\.exists"):
        read_pickle(hostile)


def test_a_stand_in_takes_a_foreign_class_s_place():
    class Bag:
        pass

    asked = []

    def stand_in(module, name):
        asked.append((module, name))
        return Bag if module == "foreign" else None

    data = b"\x80\x04\x8c\x07foreign\x8c\x05Thing\x93)\x81}\x8c\x01xK\x07sb."
    assert vars(read_pickle(data, stand_in)) == {"x": 7}
    assert asked == [("foreign", "Thing")]
    with pytest.raises(RefusedName, match=r"foreign\.Thing"):
        read_pickle(data)


@pytest.mark.parametrize("array", [np.arange(3), np.array(["a", "bc"]), np.array([{"a": 1}, None], object)])
def test_npy_files(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    np.testing.assert_equal(read_npy(stream.getvalue()), array)


def test_npy_files_with_a_hostile_object(tmp_path):
    box, stream = np.empty((), object), io.BytesIO()
    box[()] = Hostile(os.system, f"touch {tmp_path / 'trace'}")
    np.save(stream, box, allow_pickle=True)
    with pytest.raises(RefusedName, match="system"):
        read_npy(stream.getvalue())
    assert not (tmp_path / "trace").exists()

"""Readers of data that others made: labelled people in any of many files become records of one schema.

    record.py       the record: an Arrow schema, and batches of numpy columns turned into it
    catalogue.py    which name on the command line is which adapter
    adapter.py      what adapters share: refusals, boxes, cameras, world to camera
    plausible.py    whether units, axes, rotations and orders of joints can be right
    joint_sets.py   the datasets' orders of joints, by one set of names
    datasets/       one adapter for each dataset, from its official layout
    formats/        one adapter for each kind of file that researchers share
    humandata.py    HumanData rows with SMPL-X for the critic benchmark, a few at a time
    npz_file.py, plain_pickle.py, json_file.py, hdf5.py, tf_example.py    files, read without running code in them

A reader opens a file that the user brought, runs no code in it, and returns its rows: paths relative to a folder that
the caller knows, metres, radians, pixels, OpenCV camera frame. It draws no picture, poses no body, and only decides
which rows can be used; how many cannot, and why, is part of its result.

Imports none of our folders, and of the rest of `storage` the leaves `safe_pickle` and `finished_file`;
`tasks/data/importing.py` writes records as Parquet; `tasks/groups/instances.py` makes people and true bodies of
HumanData rows.

To add a format: a module with `read(path, choice, dataset)` that yields `record.Batch`es and raises `SourceError`
(file, key, found, expected, fix: `adapter.unexpected`), a line in `catalogue.py`, and a test that makes small files.
No file of a dataset, nor anything made from one, is ever committed.
"""


class SourceError(ValueError):
    """A data file cannot be read, or is not what it should be; the message says what, where and how to fix it."""

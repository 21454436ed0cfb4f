"""Readers of data that others made: labelled people in any of many files become records of one schema.

    record.py       the record: an Arrow schema, and batches of numpy columns turned into it
    catalogue.py    which name on the command line is which adapter
    adapter.py      what adapters share: refusals, boxes, cameras, world to camera
    plausible.py    whether units, axes, rotations and orders of joints can be what they are taken for
    joint_sets.py   the datasets' orders of joints, by one set of names
    datasets/       one adapter for each dataset, from its official layout
    formats/        one adapter for each file that researchers hand on
    humandata.py    HumanData rows with SMPL-X for the critic benchmark, a few at a time
    npz_file.py, plain_pickle.py, json_file.py, hdf5.py, tf_example.py    files, without running what is in them

A reader opens a file that the user brought, runs nothing that is in it, and gives rows as they stand there: paths
relative to a folder that the caller knows, metres, radians, pixels, OpenCV camera frame. It draws no picture, poses no
body, and decides nothing but which rows can be used; how many could not, and why, is part of what it returns.

Imports none of our folders, and of the rest of `storage` the leaves `safe_pickle` and `finished_file`;
`tasks/data/importing.py` writes records as Parquet; `tasks/groups/instances.py` makes people and true bodies of
HumanData rows.

To add a format: a module with `read(path, choice, dataset)` that yields `record.Batch`es and raises `SourceError`
(file, key, found, expected, mend: `adapter.unexpected`), a line in `catalogue.py`, and a test that makes small files.
No file of a dataset, nor anything made from one, is ever committed.
"""


class SourceError(ValueError):
    """A file of data that cannot be read, or is not what it should be; the message says what, where and the mend."""

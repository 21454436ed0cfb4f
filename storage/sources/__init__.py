"""Readers of data that others made: one module for each file format, one frozen record for each row.

    humandata.py    HumanData .npz files of MMHuman3D, with SMPL-X parameters (GTA-Human II, DNA-Rendering, ...)

A reader opens a file that the user brought, runs nothing that is in it, and gives rows as they stand there: paths
relative to a folder that the caller knows, metres, radians, pixels, OpenCV camera frame. It draws no picture, poses no
body, and decides nothing but which rows can be used; how many could not, and why, is part of what it returns.

Imports none of our folders, and of the rest of `storage` the one reader of pickles, `safe_pickle`;
`tasks/groups/instances.py` makes people and true bodies of rows.

To add a format: a module named after it, with a function `read_<format>(path, ...)` that returns records and counts,
and raises `SourceError` with what, where and the mend for a file that cannot be read; its test makes small files of its
own. No file of a dataset, nor anything made from one, is ever committed.
"""


class SourceError(ValueError):
    """A file of data that cannot be read, or is not what it should be; the message says what, where and the mend."""

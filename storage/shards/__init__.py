"""Shards: the files that are committed together, how that is done, and what is known of them without reading them.

    manifest.py       the atomic commit: files first, then their line; readers use only the manifest
    entries.py        these lines: what is known of a shard
    local_log.py      where they are in a folder: in a journal, with a lock
    journal.py        the file of lines, which grows and states how much of it is valid
    remote_log.py     where they are in an object store: in numbered objects, each created by one writer
    notes.py          what a shard's writer notes in the manifest, for lists and plans that read no other file
    files.py          Parquet files of shards, read whole or in part
    verdict_parts.py  the files of verdicts on one shard, and what their notes tell

Behind `storage.group_store`, which alone knows which tables there are. To note something new of every shard: a name and
a function in notes.py, and a reader that does without it where it is missing, as in older stores.
"""

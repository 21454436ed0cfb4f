"""The life of a store after it was written: what lies in it, mending, packing, clearing away, handing on.

    contents.py     what a store holds: tables, generations, critics, rows, bytes
    repair.py       what can be mended after a damaged disk, and what must be done again
    compaction.py   verdicts that came in parts become one file; journals hold only what counts
    tables.py       the tables under the names of the field, whole: images, people, hypotheses, verdicts, ...
    store_benchmark.py  speed of a store beside that of pyarrow alone: `hmr-align bench store`
    export.py       these tables as a data set: Parquet with a card, webdataset, Delta Lake

Works on folders and object stores alike, through `storage.shards.manifest`. Behind `hmr-align store`. To add an export:
a function in export.py that takes the tables, and a flag in flows/cli/store.py.
"""

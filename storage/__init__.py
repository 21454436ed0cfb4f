"""What the stages hand to each other, and the store that keeps it.

    records.py        Person, Group, DrawnGroup, Verdict: numpy, no I/O; the one module that `critique` imports
    schema.py         the one Parquet schema of each table: units, shapes, meanings in its fields
    rows.py           records to tables and back
    manifest.py       the atomic commit: files first, then their line; readers trust the manifest alone
    journal.py        the file of these lines, which grows and says how much of it counts
    group_store.py    GroupStore: append and read
    image_list.py     the photographs: our names of them, where they lie, which have gone
    picture_store.py  PictureStore: drawn pictures, under the digest of what they show
    memory_store.py   MemoryStore: a critic's rules, prototypes and ledger, version by version
    store_benchmark.py  speed of the store beside that of pyarrow alone
    sources/          readers of datasets' files, one module a format
    predictions/      readers of other models' answers
    finished_file.py  files that are whole or not there: how every folder writes
    safe_pickle.py    pickles read without running what they hold

Imports nothing else of ours; `tasks` and `flows` use it. The last two import nothing of ours at all, and every folder
may import them. To look into a store, no code of ours is needed:

    pandas.read_parquet("store/scores")                        # NaN in `score`: not judged, `status` says why
    pyarrow.parquet.read_schema("store/people/0.parquet")      # what each column means, and its unit

To add a column: append a nullable field to a schema and fill it in rows.py. Files without it still read (as
NULL), programs without it still read new files, VERSION stays. Anything else that changes a schema raises
VERSION, and says in the changelog what becomes of the stores that exist.
"""

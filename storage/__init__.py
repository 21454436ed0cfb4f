"""What the stages pass to each other, and the store that keeps it.

    records.py        Person, Group, DrawnGroup, Verdict: numpy, no I/O; the one module that `critique` imports
    schema.py         the one Parquet schema of each table: units, shapes, meanings in its fields
    rows.py           records to tables and back
    shards/           the atomic commit of files, in a folder or an object store, and what is noted of them
    remote_path.py    a place in an object store, used like a path; where a store may lie
    group_store.py    GroupStore: append and read
    image_list.py     the photographs: our names for them, where they are, which are gone
    mesh_store.py     MeshStore: meshes of hypotheses that have no pose of ours
    picture_store.py  PictureStore: drawn pictures, under the digest of what they show
    memory_store.py   MemoryStore: a critic's rules, prototypes and ledger, version by version
    upkeep/           list, mend, pack, clear away and hand on a store; the tables under the names of the field
    sources/          readers of datasets' files, one module a format
    predictions/      readers of other models' outputs
    picture_file.py   pictures as WebP, PNG or JPEG within a bound of bytes, named by content; GIF
    finished_file.py  files that are whole or not there: how every folder writes
    safe_pickle.py    pickles read without running code in them

Imports nothing else of ours; `tasks` and `flows` use it. The last two import nothing of ours at all, and every folder
may import them. A store can be read without our code:

    pandas.read_parquet("store/scores")                        # NaN in `score`: not judged, `status` says why
    pyarrow.parquet.read_schema("store/people/0.parquet")      # what each column means, and its unit

To add a column: append a nullable field to a schema and fill it in rows.py. Files without it still read (as
NULL), programs without it still read new files, VERSION stays. Anything else that changes a schema raises
VERSION, and the changelog says what happens to existing stores.
"""

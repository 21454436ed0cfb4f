"""Thin shells around one pure call each: read a shard, call one function, write a shard.

A task is one stage on one shard of images (64 by default): at least some seconds of work, never one image or one
request. It takes paths, ids and settings, and returns paths and counts; meshes and scores go through the store. Other
files are written by `storage.finished_file`: whole under their final name, or not there.

`settings.py` is the one reader of settings files.

`people`, `groups` and `overlays` hold what tasks call, without prefect; `photograph_list` and `recovery*` are
`hmr-align recover`, which needs no server and so no tasks. What a second call needs (`photograph_list`,
`recovery_record`, `recovery_files`, `recovery_page`) imports no torch either; tests hold both.

May import: `hmr`, `critique`, `storage`, prefect. Only `flows` imports `tasks`.

To add a stage: a pure function in the folder that owns its words; here a function with `@task` that reads,
calls it and writes. Give it a cache key of stage, stage version, shard, settings digest and input digest
(`INPUTS` alone leaves the task's own name out of the key), and retries only for faults that can pass.
Test it with `the_task.fn(...)`, which needs no server.
"""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # before prefect is imported: its client would report its use

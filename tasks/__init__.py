"""The stages: a function with `@task` reads a shard, calls one pure function and writes a shard.

| file or room | what |
|---|---|
| `photographs` | the photographs of a run: the user's, the free ones, drawn ones |
| `finding` | stage 1: photographs to people |
| `sampling` | stage 2: people to groups of hypotheses |
| `rendering` | stage 3: groups to pictures, for critics that look at them |
| `scoring` | stage 4: groups to verdicts |
| `training` | stage 5: verdicts to a better model |
| `benchmarking` | stage 6: a model against the truth |
| `report_groups`, `photograph_people` | the people in the report, before and after alignment |
| `distilling` | verdicts to a small judge, and how unsure it is of each group |
| `reflecting`, `controls` | the critic's memory; planted controls |
| `pretraining`, `headroom` | training of the shipped bases; what true labels would gain |
| `run/` | what every stage shares: settings, paths, locks, retries |
| `groups/` | from files to people and groups, without Prefect |
| `critics/` | the critics of a run: names, memory, records, pending groups |
| `rescoring/` | which groups a new version of a critic judges, and what it changes |
| `forecast/` | what a run will take and lacks, and its small rehearsal: `align --plan`, `--dry-run` |
| `rounds/` | the process that trains |
| `report/`, `benchmarks/` | the report; measurements outside of a run |
| `recovery/`, `data/` | `hmr-align recover`; `hmr-align data` |
| `protocols/` | `hmr-align benchmark --protocol`: predictions against records by published rules |
| `annotation/` | people's answers about bodies: page, questions, verdicts |
| `viewer/` | `hmr-align view` |

A task is one stage on one shard of images (64 by default): at least some seconds of work, never one image or one
request. It takes paths, ids and settings, and returns paths and counts; meshes and scores go through the store. Other
files are written by `storage.finished_file`: whole under their final name, or not there.

`recovery/`, and what it needs of `groups/`, is free of prefect; what a second call of `hmr-align recover` needs (the
list of photographs, `record`, `files`, `page`) imports no torch either; tests hold both.

May import: `hmr`, `critique`, `storage`, prefect. Only `flows` imports `tasks`.

To add a stage: a pure function in the folder that it belongs to; here a function with `@task` that reads, calls it
and writes, with retries only for temporary faults. Test it with `the_task.fn(...)`, which needs no server.
"""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # before prefect is imported: its client would report its use

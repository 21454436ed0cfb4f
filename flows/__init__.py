"""The programs: one Prefect flow per file, the console script, and the Prefect server.

A flow reads as a table of contents: which stages run in which order on which shards. It holds no arithmetic;
the work is done by `tasks`, which calls `hmr`, `critique` and `storage`.

| file or room | what |
|---|---|
| `align` | the whole job: find people, sample groups, render overlays, score groups, train, benchmark, report |
| `stages/` | these one by one, and pictures of a run's groups as files |
| `rescore` | stored groups judged by a new version of a critic, and what that changes |
| `distill_judge` | a small judge learned from stored verdicts; the judge of a cascade |
| `watch_photographs` | an event when the folder of photographs has changed |
| `reflect`, `critic_benchmark`, `plant_controls` | the critic's memory; how well a critic ranks; planted controls |
| `pretrain`, `probe_headroom` | training of the shipped bases from scratch; what true labels would gain |
| `recover` | the command for the user's photographs; no Prefect |
| `experiments/` | studies of several runs |
| `cli/` | the console script `hmr-align` |
| `server/` | the Prefect server, ours or the user's, and deployments |
| `record/` | names, logs, progress and the folder of a flow run |

May import: `tasks`, `hmr`, `critique`, `storage`, prefect. Nothing imports `flows`.

To add a flow: a file named by what it does (never like one of our folders or an installed package), in it a
function of that name with `@flow`, `labelled` and, if it works on shards, `ShardRunner`. Its first parameter is
`settings: Settings`, and it leaves a result on the dashboard (`tasks.run.artifacts`). Then a line in
`server.deployments.DEPLOYMENTS` and one in `deploy/prefect.yaml` (a test compares them), and a command in
`cli.command_line`. Deploy by module path, `flows.name.name`: a file path would put `flows/` first on the import path.
"""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # before prefect is imported: its client would report its use

"""The programs: one Prefect flow per file, and the doors through which people and servers reach them.

A flow reads as a table of contents: which stages run in which order on which shards. It holds no arithmetic;
the work is done by `tasks`, which calls `hmr`, `critique` and `storage`.

| file or room | what |
|---|---|
| `align` | the whole job: find people, sample groups, score groups, train, benchmark, report |
| `sample_groups`, `score_groups`, `sample_hypotheses` | people and their groups; verdicts; pictures |
| `train_policy`, `run_benchmark` | one round of fine-tuning; a model against the truth |
| `write_report` | the report of a finished run, written again |
| `reflect`, `critic_benchmark`, `plant_controls` | the critic's memory; how well a critic ranks; planted controls |
| `pretrain`, `probe_headroom` | the shipped bases, trained from nothing; what labels would gain |
| `recover` | the command for one's own photographs; no Prefect |
| `experiments/` | studies of several runs |
| `cli/` | the console script `hmr-align` |
| `server/` | the Prefect server, ours or the user's, and deployments |
| `record/` | names, logs, progress and the folder of a flow run |

May import: `tasks`, `hmr`, `critique`, `storage`, prefect. Nothing imports `flows`.

To add a flow: a file named by what it does (never like one of our folders or an installed package), in it a
function of that name with `@flow` and `labelled` whose first parameter is `settings: Settings`, and which leaves a
result on the dashboard (`tasks.run.artifacts`); a line in `server.deployments.DEPLOYMENTS` and one in
`deploy/prefect.yaml` (a test compares them); a command in `cli.command_line`. Deploy by module path,
`flows.name.name`: by file path, `flows/` would come first on the import path.
"""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # before prefect is imported: its client would report its use

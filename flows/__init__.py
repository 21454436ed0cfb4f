"""The programs: one Prefect flow per file, and the doors through which people and servers reach them.

A flow reads as a table of contents: which stages run in which order on which shards. It holds no arithmetic;
the work is done by `tasks`, which calls `hmr`, `critique` and `storage`.

| file | what it is |
|---|---|
| `command_line.py` | the console script `hmr-align`: the commands of the stages, errors to one line |
| `command_bench.py`, `command_experiment.py`, `command_memory.py` | its groups of commands |
| `command_flags.py`, `command_output.py`, `recording.py` | shared by commands: flags to settings, tables, Prefect |
| `align.py` and the flows it calls | `sample_groups`, `score_groups`, `train_policy`, `run_benchmark` |
| `reflect.py` | the `vlm` critic's memory learns from labelled people |
| `server.py` | the local Prefect server that keeps the history: found, started, shared, stopped |
| `server_environment.py`, `server_key.py` | what our server and its clients are told; the key in its file |
| `guarded_server.py` | that server behind a doorkeeper: no foreign Host, no foreign page |
| `named_server.py` | the server that PREFECT_API_URL names: its addresses, and why it cannot be used |
| `direct_clients.py`, `prefect_settings.py` | no proxy to this machine; settings that Prefect cannot read |
| `run_labels.py`, `run_log.py`, `console.py` | names and tags of runs; what modules log, in them and on the terminal |
| `dead_runs.py` | runs whose process was killed, and the task runs that they left |
| `faults.py` | what is told of an exception: one line, or with --debug its traceback |
| `deployments.py` | work pool, deployments and the automation that frees dead runs |
| `doctor.py` | what this machine has, and the mend for what it lacks |

May import: `tasks`, `hmr`, `critique`, `storage`, prefect. Nothing imports `flows`.

To add a flow: a file named by what it does (never like one of our folders or an installed package), in it a
function of that name with `@flow` and `labelled` whose first parameter is `settings: Settings`, and which leaves a
result on the dashboard (`tasks.artifacts`); a line in
`deployments.DEPLOYMENTS` and one in `deploy/prefect.yaml` (a test compares them); a command in
`command_line.py`. Deploy by module path, `flows.name.name`: by file path, `flows/` would come first on the
import path.
"""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # before prefect is imported: its client would report its use

"""Records of a flow run: names and tags, logs, progress, the folder that it holds.

| file | what |
|---|---|
| `approval` | A person agrees, or not, before money is spent or a new rule is used |
| `clock` | How far the clocks of this machine and of the Prefect server are apart, and what that does |
| `console` | Which log lines are printed on the terminal: our own unchanged, and an error of the user once |
| `dead_runs` | Runs whose process was killed: found by missing heartbeats, and marked Crashed with their task runs |
| `gpu_pool` | Sampling and training go to the GPU pool, where a worker serves it |
| `progress` | Progress of a run: bars in the terminal, a progress artifact per stage on the dashboard |
| `recording` | Flows that a command calls: in the history of a Prefect server, or without one |
| `report_page` | What the dashboard shows of a report: a link to it, and its first row of pictures |
| `run_folder` | A flow that works in a run's folder: alone there, and with the memory that the run began with |
| `run_labels` | Names and tags of flow runs on the dashboard: stage, run, critic, split and round |
| `run_log` | Logging during a run: a module's own logger |
| `shard_runner` | Where the shards of a stage are processed |
| `shard_worker` | A process that works on shards: its setup before the first one |

May import: `tasks.run`, `flows.server.deployments`.

To add a label: `run_labels`.
"""

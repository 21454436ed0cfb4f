"""What is kept of a flow run: names and tags, logs, progress, the folder that it holds.

| file | what |
|---|---|
| `console` | What of the logs reaches the terminal: our own lines as they are, and a user's fault once |
| `dead_runs` | Runs whose process was killed: found by their silence, and freed with their task runs |
| `progress` | How far a run is: bars in the terminal, a progress artifact per stage on the dashboard |
| `recording` | Flows that a command calls: in the history of a Prefect server, or without one |
| `run_folder` | A flow that works in a run's folder: alone there, and with the memory that the run began with |
| `run_labels` | How a run of a flow is called and tagged on the dashboard: stage, run, critic, split and round |
| `run_log` | One way to say a thing during a run: a module's own logger |
| `shard_runner` | Where the shards of a stage are worked on |
| `shard_worker` | A process that works on shards: what it sets before the first one |

May import: `tasks.run`.

To add a label: `run_labels`.
"""

"""What every stage of a run shares: settings, paths, devices, locks, retries, artifacts on the dashboard.

| file | what |
|---|---|
| `artifacts` | What a run shows on the dashboard: tables and pages. Outside of a run: nothing |
| `deadly_items` | Which item a process died on, so that one it always dies on is left out |
| `devices` | Where the networks of a stage run, from its settings and this machine's hardware |
| `events` | Events of ours on the Prefect server, which automations can act on |
| `kept_note` | A stage's measurements as a JSON file with a digest of its inputs |
| `plan` | Paths of a run, and which model, body and people each stage works with |
| `retrying` | Which faults are tried again: temporary ones, never bad input or bad settings |
| `run_lock` | One process at a time in a run's folder, by a lock that ends with its process |
| `settings` | The settings of a run: one TOML file, one section per stage, read and checked once |
| `shard_task` | Prefect's `@task` with our common options; outside of a flow run it is a plain function |
| `slots` | Slots that workers on all machines share: who finds none free waits |

May import: all rooms of tasks that a plan names.

To add a setting: a field in `settings` with its unit, and a line in `deploy/settings/default.toml`.
"""

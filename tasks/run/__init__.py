"""What every stage of a run shares: settings, paths, devices, locks, retries, what it leaves on the dashboard.

| file | what |
|---|---|
| `artifacts` | What a run leaves on the dashboard: tables and pages, under keys that Prefect takes. Outside of a run |
| `devices` | Where the networks of a stage run, from its settings and from what this machine has |
| `kept_note` | What a stage measured, kept as a JSON file with a digest of what it was made of |
| `plan` | Where everything of a run lies, and which model, body and people each stage works with |
| `retrying` | Which faults are worth another try: those that can pass by themselves, never bad input or bad settings |
| `run_lock` | One process at a time in a run's folder, by a lock that dies with its holder |
| `settings` | The settings of a run: one TOML file, one section per stage, read once at the door |
| `shard_task` | `@task` as Prefect has it, with what all of ours share; outside of a flow run it is a plain function |

May import: all rooms of tasks that a plan names.

To add a setting: a field in `settings` with its unit, and a line in `deploy/settings/default.toml`.
"""

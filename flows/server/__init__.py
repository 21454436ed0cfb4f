"""Servers of this machine: Prefect's (ours or the user's) with key and deployments, and the page for people.

| file | what |
|---|---|
| `annotation_server` | The page of `hmr-align annotate`, served to this machine alone; no Prefect |
| `deployments` | Every flow as a Prefect deployment: pool, schedule, trigger |
| `direct_clients` | Prefect's clients reach this machine without a proxy, whatever the proxy variables say |
| `guarded_server` | Our Prefect server behind a filter of requests; only `server.py` starts it |
| `named_server` | The Prefect server that PREFECT_API_URL names: its addresses, and in one line why it cannot be used |
| `prefect_settings` | First read of Prefect's settings, with an error in them reported in one line |
| `served_reports` | Reports of runs beside the dashboard: /reports/TOKEN/report.html |
| `server` | The local Prefect server that keeps the history of every run: found, started, shared and stopped here |
| `server_environment` | The environments of our server and of the programs that record into a server |
| `server_key` | The key of our server: made at its first start, stored in a file that only its owner can read |
| `set_up` | `hmr-align deploy`: pools, limits, deployments and automations on a server, and what would change |
| `worker` | `hmr-align worker`: Prefect's worker, which lets its runs end before it does |

May import: `tasks.run`, `flows.record`; the annotation server also `critique.annotation` and `tasks.annotation`.

To add a deployment: a line in `deployments.DEPLOYMENTS` and one in `deploy/prefect.yaml`. To add a trigger: a line in
`set_up.TRIGGERS` and a word in `[deploy] triggers`.
"""

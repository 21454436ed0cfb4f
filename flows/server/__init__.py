"""The Prefect server: ours or the user's, its environment, its key, its deployments.

| file | what |
|---|---|
| `deployments` | Every flow as a Prefect deployment: the work pool |
| `direct_clients` | Prefect's clients reach this machine without a proxy, whatever the proxy variables say |
| `guarded_server` | Our Prefect server behind a doorkeeper: started by `server.py` and by nobody else |
| `named_server` | The Prefect server that PREFECT_API_URL names: its addresses, and in one line why it cannot be used |
| `prefect_settings` | Prefect's settings, read for the first time where a fault in them can be told in one line |
| `server` | The local Prefect server that keeps the history of every run: found, started, shared and stopped here |
| `server_environment` | The environments of our server and of the programs that record into a server: explicit |
| `server_key` | The key of our server: made at its first start, kept in one file that its owner alone can read |

May import: nothing but `tasks.run`.

To add a deployment: a line in `deployments.DEPLOYMENTS` and one in `deploy/prefect.yaml`.
"""

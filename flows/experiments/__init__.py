"""Studies of several runs, each a flow that returns measurement rows.

| file | what |
|---|---|
| `alignment` | Studies of several runs side by side |
| `coverage` | The study of spread: nominal against observed coverage of the hypotheses on `val`, joint by joint |
| `detector` | The study of the detector: how it errs on the studio's splits, simulated |
| `people` | The study of the search for people: found, missed and false against people whom somebody marked by eye |
| `photographs` | The study of photographs: whether the bodies of a base land on the people |
| `refine` | The study of the short fit: what `hmr-align recover --refine` does to people of `val` |
| `rounds` | The study of rounds: what aligning in rounds gains of the headroom, and what each part of it gives |

May import: `flows`, `tasks`.

To add a study: one file, a command in `flows.cli.experiment`, a line in `deploy/prefect.yaml`.
"""

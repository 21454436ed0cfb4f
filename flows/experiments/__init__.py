"""Studies of several runs, each a flow that returns measurement rows.

| file | what |
|---|---|
| `alignment` | The studies of alignment (several critics and seeds) and of samplers |
| `coverage` | The study of spread: nominal against observed coverage of the hypotheses on `val`, joint by joint |
| `detector` | The study of the detector: its errors on the studio's splits, real and simulated |
| `distill` | The study of verdict distillation: what a small judge and a tenth of a teacher's verdicts are worth |
| `people` | The study of the search for people: found, missed and false, against people marked by eye |
| `photographs` | The study of photographs: whether the bodies of a base lie on the people |
| `refine` | The study of the short fit: the effect of `hmr-align recover --refine` on people of `val` |
| `rounds` | The study of rounds: what share of the headroom rounds of alignment gain, and what each part adds |
| `table2` | The study of objectives: every arm learns from one stored set of groups and verdicts (Table 2) |
| `table2_curves` | Its curves on `val`: gain over the number of verdicts, what critics say step by step |
| `table2_photographs` | Its arms on photographs, measured with a network that neither base nor critic reads |

May import: `flows`, `tasks`.

To add a study: one file, a command in `flows.cli.experiment`, a line in `deploy/prefect.yaml`.
"""

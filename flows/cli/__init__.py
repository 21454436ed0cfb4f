"""The console script `hmr-align`: flags and a settings file become `Settings`, with which a flow is called.

| file | what |
|---|---|
| `annotate` | `hmr-align annotate`: people say which of a group's bodies is better, and why |
| `bench` | `hmr-align bench`: the speed of a part, as ratios in one run |
| `command_line` | The console script `hmr-align`: flags and a settings file become `Settings` for a flow |
| `comparison` | Compares two files of measurements: which ratios fell since the older one |
| `data` | `hmr-align data`: import labelled people from other datasets, and other models' predictions |
| `distill` | `hmr-align distill`: a small judge learned from the stored verdicts of any critic |
| `doctor` | `hmr-align doctor`: what this machine has, and how to fix what is missing |
| `experiment` | `hmr-align experiment`: studies of several runs |
| `faults` | Error messages of a failed command: one line; the traceback only with --debug |
| `flags` | The flags that several commands share, and how flags and a settings file become `Settings` |
| `measurements` | The format in which every measuring command writes its numbers (`--json FILE`) |
| `memory` | `hmr-align memory`: show a critic's memory, export it, import rules |
| `output` | What commands print: tables and measured numbers, and files of them |
| `measuring/` | Benchmarks that need commands and flows: the pipeline, start-up, rendering |
| `protocols` | `hmr-align protocols`, and `hmr-align benchmark --protocol NAME` |
| `dry_run` | Every step of `align` on a few people, with a stand-in for the judge's server |
| `rehearsal` | `hmr-align align --plan` and `--dry-run`: what a run will take, and a rehearsal of it in small |
| `rescore` | `hmr-align rescore`: stored groups judged by a new version of a critic, and what that changes |
| `viewer/` | `hmr-align view`, and its measurements |
| `store` | `hmr-align store`: list, verify, repair, compact, vacuum and export a store |

May import: everything, but only inside of commands.

To add a command: a function in `command_line` with an example in its docstring.
"""

"""The console script `hmr-align`: flags and a settings file become `Settings`, and a flow does it.

| file | what |
|---|---|
| `bench` | `hmr-align bench`: the speed of a part, as ratios in one run |
| `command_line` | The console script `hmr-align`: flags and a settings file become `Settings`, and a flow does it |
| `data` | `hmr-align data`: bring in labelled people of other people's files, and other models' predictions |
| `doctor` | `hmr-align doctor`: what this machine has, and the mend for what it lacks |
| `experiment` | `hmr-align experiment`: studies of several runs |
| `faults` | What the user is told when a command fails: one line; the traceback only with --debug |
| `flags` | The flags that several commands share, and how flags and a settings file become `Settings` |
| `measurements` | The one form in which every measuring command writes its numbers (`--json FILE`) |
| `memory` | `hmr-align memory`: look into a critic's memory, write it out, bring rules in |
| `output` | What commands print: tables and measured numbers, and files of them |
| `pipeline_benchmark` | Photographs a second from file to verdict, alone and through Prefect |
| `startup_benchmark` | Seconds until a command on one photograph is done, and where they go: each in a new process |

May import: everything, but only inside of commands.

To add a command: a function in `command_line` with an example in its docstring.
"""

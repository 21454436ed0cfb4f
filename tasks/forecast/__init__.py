"""Before a run: what it will take, what it lacks, and a small run of the same kind.

| file | what |
|---|---|
| `counts` | How many people each stage of a run will have |
| `missing` | What the settings name and is not there: files, pictures, variables of the environment |
| `rates` | Measured seconds and bytes of the work, each with its source (`tasks/assets/rates.toml`) |
| `forecast` | The table of `align --plan`: stage by stage, for all rounds |
| `small_run` | The settings of `align --dry-run`: every step, on a few people, with a judge on this machine |
| `walked` | The table of what a dry run did |

May import: `tasks.run`, `tasks.groups`, `tasks.data`, `tasks.critics`.

To add a rate: an entry in `tasks/assets/rates.toml` with its source, and its use in `forecast`.
"""

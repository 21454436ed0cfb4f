"""One round of fine-tuning: the store as training reads it, the process that trains, the page that says why it stopped.

| file | what |
|---|---|
| `group_stream` | Groups of the store as training reads them: all scores at once, the rest shard by shard |
| `stop_page` | Why a round of training stopped: one page with the guard's rules, what they saw last, and the curves |
| `train_worker` | One round of fine-tuning, from the store to a checkpoint: as a function |

May import: `tasks.run`, `tasks.groups`.

To add a log: a line in `train_worker._Logs`.
"""

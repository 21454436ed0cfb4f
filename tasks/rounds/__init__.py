"""One round of fine-tuning: groups read from the store, the process that trains, the page that says why it stopped.

| file | what |
|---|---|
| `group_stream` | Groups of the store for training: all scores at once, the rest shard by shard |
| `second_opinion` | How often critics prefer the policy's hypotheses to those of the model it began as |
| `stop_page` | Why a round of training stopped: a page with the guard's rules, their last values, and the curves |
| `train_worker` | One round of fine-tuning, from the store to a checkpoint: as a function and as a process |

May import: `tasks.run`, `tasks.groups`.

To add a log: a line in `train_worker._Logs`.
"""

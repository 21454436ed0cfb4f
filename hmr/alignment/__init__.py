"""From verdicts to a better model: advantages, objectives, the trainer and the guard that stops it.

| file | what |
|---|---|
| `advantage` | From a critic's scores to advantages: how much better each hypothesis is than the rest of its group |
| `group_order` | In which order training visits the groups: a pure function of seed and step |
| `group_source` | Where training takes its groups from: all scores at once, people and hypotheses row by row |
| `guard` | Decides from validation alone when training must stop, and which step was the best |
| `learner` | What is trained: a copy of a model's noise predictor, and optionally of its encoder, with adapters |
| `objectives/` | Training objectives: from noise errors and advantages of whole groups to one loss. Torch only |
| `spread_pull` | Takes out of advantages what nearness to the group's mean explains: a policy keeps its spread |
| `train_benchmark` | Speed of training: what the skipped reference saves, how long loading takes, how memory grows |
| `train_settings` | Settings of one round of fine-tuning, and the learning rate that follows from them |
| `trainer` | Fine-tuning of a policy on scored groups: the loop around the objectives |
| `training_state` | The state of a training run on disk, so that a killed run goes on bit for bit. A few are kept |

May import: `hmr.models`, `hmr.diffusion`.

To add an objective: one file in `objectives/`, as its page says.
"""

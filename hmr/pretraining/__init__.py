"""Training of the shipped bases from labels, the floor below them (lifting) and the ceiling above (headroom).

| file | what |
|---|---|
| `headroom_record` | Measured headroom of the shipped bases: what `hmr-align train --probe-headroom` found |
| `label_tuning` | The headroom probe: how much better could this base become on a target domain |
| `labels` | Studio people with their ground truth: the only place where pixels and labels meet |
| `lifting` | Linear lifting: ridge regression from detections to 3-D joints |
| `pretraining` | Pretraining of the embedded base models: simulated detections in bulk |

May import: all rooms but `hmr.alignment`.

To add a base: its settings in `flows.pretrain`; the command resumes.
"""

"""How good hypotheses, spreads and critics are, where the truth is known.

| file | what |
|---|---|
| `coverage` | Whether the spread of hypotheses means something |
| `critic_quality` | How good a critic is, beside the rank correlations of `metrics`: pairs, the choice it makes |
| `evaluation` | Errors of hypotheses against ground truth, image by image: the numbers behind every benchmark table |
| `mesh_contact` | Two people's meshes: who touches whom, and how deep one is inside the other (ours) |
| `metrics_benchmark` | Speed and memory of the metrics: PA-MPJPE against a loop over samples |
| `perturbation` | Hypotheses made from the truth: Gaussian noise of known levels on pose, root and shape |
| `pose_metrics` | How far hypotheses are from the truth, how far from each other, and how well a critic ranks them |
| `procrustes` | The similarity that brings one set of points closest to another, for very many small sets, compiled |
| `similarity` | The same in torch, for points on a GPU |

May import: `hmr.body`, `hmr.diffusion`.

To add a metric: a function in `pose_metrics`, in millimetres, with a hand-worked test.
"""

"""Measurements outside of a run: critics, checks, the detector, clients, training.

| file | what |
|---|---|
| `check_weights` | Weights of the critics' checks, fitted on labelled people whom no base was trained on |
| `client_benchmark` | Rate and memory of the remote critic's client against a loopback server in a process of its own |
| `critic_benchmark` | The critic benchmark: groups of people with known truth, judged |
| `detector_quality` | Errors of the person detector: on drawn people with known truth, real and simulated |
| `import_benchmark` | Records a second from a HumanData file without reading pictures, and whether memory grows |
| `refining` | Errors before and after the short fit of `hmr.body.refinement`, on people with known truth |
| `scale_benchmark` | A made-up store of 2.1 million photographs' groups and verdicts: opened, listed, planned |
| `train_benchmark` | A store of random people to measure how training streams it |

May import: all rooms of tasks.

To add a benchmark: rows of the form of `flows.cli.measurements`.
"""

"""Base models as files: networks put together, read, written and converted.

| file | what |
|---|---|
| `base_model` | A base model: a condition encoder and a noise predictor, with a digest and a file format of their own |
| `checkpoint` | Checkpoints of ScoreHypo, ADHMR and GPA-HMR: read, written, and converted to our own format and back |
| `compute` | Where networks run and how exactly: device, bfloat16, compilation. Inputs and outputs are float32 |
| `conversion` | Official checkpoints to our files and back, without changing a number |
| `model_file` | A base model from its name or from a file, of our own format or an official one |
| `weights_file` | Weights on disk: safetensors, tensors only and no code |

May import: `hmr.diffusion`, `hmr.published`.

To add a base model: an encoder and a noise predictor with the protocols of `hmr.diffusion`, and a line in `NETWORKS`.
"""

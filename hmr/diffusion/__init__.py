"""The diffusion model without its weights: the diffused vector, its noise, the condition, the samplers.

| file | what |
|---|---|
| `condition` | What a model knows about a person: observations in, a condition out |
| `guidance` | Guidance by 2-D keypoints: the predicted x0 is pulled to where the detector saw the joints |
| `latent` | The diffused vector: 29 joints as (u, v, depth) and 23 twists as (cos, sin), and its way to a posed body |
| `mirror` | Mirror images of people: observations and diffused vectors turned left to right together |
| `noise_predictor` | Noise predictors: the one protocol, and the embedded residual MLP |
| `noise_schedule` | The forward process: T = 1000 linear betas, as in the published networks |
| `sampler` | Sampling of groups: hypothesis 0 from zero noise, the others from seeds of their own |

May import: `hmr.body`.

To add a solver: a branch of `sampler.denoise` and a test of its order.
"""

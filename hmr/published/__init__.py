"""The published networks, in our own code: outputs equal to those of ScoreHypo and ADHMR.

| file | what |
|---|---|
| `attention` | What HypoNet and ScoreNet are both built of: position codes, masked linear layers and attention blocks |
| `hrnet` | HRNetCondition, the condition encoder of the published networks: HRNet-W48 with heads (75,986 |
| `hyponet` | HypoNet, the noise predictor of ScoreHypo, ADHMR and GPA-HMR, at published size (28,343,173 parameters) |
| `plain_hyponet` | HypoNet's sampling written plainly, as the baseline that the sampler's speed is measured against |
| `sampler_benchmark` | Speed and memory of the published sampler, against the same network written plainly |
| `scorenet` | ScoreNet, the published judge of hypotheses (53,447,937 parameters), with an encoder of its own |
| `token_graph` | The 52 tokens of the published networks, 29 joints and 23 twists |
| `token_network` | What HypoNet and ScoreNet share: from a diffused vector to 52 tokens |

May import: `hmr.diffusion`, `hmr.body.skeleton`.

To add a network: one file, and golden outputs in `tests/golden`.
"""

"""The published networks: ScoreHypo's, which ADHMR and GPA-HMR fine-tune, behind our own protocols.

| step | module |
|---|---|
| which tokens see each other | `token_graph` |
| vectors to tokens, for both networks | `token_network` |
| picture to condition | `hrnet` (`HRNetCondition`) |
| noise predictor | `hyponet` (`HypoNet`), of `attention` |
| judge of hypotheses | `scorenet` (`ScoreModel`) |
| official files, there and back | `checkpoint` |
| baseline of the speed measurement | `plain_hyponet` |
"""

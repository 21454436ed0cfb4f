"""Critics: each judges all hypotheses of one person together and returns a verdict.

A verdict holds, for every hypothesis, a score of 0-100, a status and a comment. A critic that cannot judge
abstains: the score is NaN and the status says why; it is never 0. The protocol is `Critic` in `critic`.

| file or room | what |
|---|---|
| `critic` | the protocol, and what every critic shares |
| `evidence` | the default: compares the drawn mesh with the photograph, and checks plausibility; fitted weights |
| `checks/` | the parts of the evidence critic, one check a file |
| `ceiling` | limits the score of a body that misses the person |
| `scorer` | learned from labelled people: distance to the expected joints, and the checks |
| `expected_joints` | where a person's joints are expected to be |
| `learned` | a network's raw scores, such as ScoreNet's, turned into 0-100 within the group |
| `vlm/` | a vision-language model: what it is shown, how its answers are read, what it costs |
| `endpoint/` | the client of its server, and a loopback server for tests and dry runs |
| `memory/` | rules and earlier judgements that it is shown, and how reflection adds to them |
| `judge/` | a small judge that learns from another critic's verdicts, and the cascade of both |
| `annotation/` | people as critics: which bodies they are shown, and what their answers say |
| `panel` | several critics with weights; their disagreement is the uncertainty |
| `controls` | whether a critic ranks a planted true mesh first and a planted wrong mesh last |
| `drift` | what changes when a critic is replaced by another version |
| `scale` | whether scores are on another scale than 0-100 |
| `oracle`, `shuffled` | the true error; the control |
| `noisy`, `scripted` | another critic with errors of known size, for studies; a function of your own, for tests |

May import: of ours, `storage.records` and the leaves `storage.finished_file` and `storage.safe_pickle` alone. No
Prefect, no torch.

To add a critic: one file with one class that has `name` ("word@version", raised when its scores change),
`needs_pictures` and `judge(group: DrawnGroup) -> Verdict`; then its name in `tasks.scoring.make_critic`.
"""

"""Benchmarks by published protocols: predictions of any model against imported records.

| file | what |
|---|---|
| `benchmark` | A benchmark by protocol, from files to files |
| `bodies` | Points of bodies for a protocol, by the user's own body files, regressor and maps |
| `evaluation` | Predictions against records: errors of every hypothesis, person by person |
| `figures` | Plots as SVG and PDF, with their data |
| `meshes` | Records as meshes: SMPL-X with fingers and face, folded, or SMPL |
| `own_answers` | Answers of a model of ours: people found in their pictures, hypotheses drawn and judged |
| `own_benchmark` | A model of ours by a protocol: found, drawn, judged, measured |
| `page` | One HTML page of a benchmark |
| `people` | The people of a protocol in a file of records, and the predictions that are theirs |
| `protocol` | Protocols by name, each a TOML file in `tasks/assets/protocols` |
| `published` | Reference numbers by protocol, with where they were read |
| `results` | What was measured: each hypothesis, each person by each way to choose, means with intervals |
| `table` | Ours beside reference numbers, for the terminal, Markdown, LaTeX and Parquet |

May import: `tasks.run`, `tasks.data`, `tasks.report`, and the stages of sampling, scoring and benchmarking.

To add a protocol: a TOML file in `tasks/assets/protocols`. To add a metric: a key in `protocol.METRICS`, its
arithmetic in `hmr.metrics`, and a line in `evaluation.person_errors`.
"""

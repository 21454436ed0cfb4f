"""The small judge: it learns from the stored verdicts of any critic, and then judges in its place.

| file | what |
|---|---|
| `features` | the numbers that it reads of each hypothesis: checks, expected error, distance to its group |
| `plackett_luce` | the chance of a ranking with ties, and its gradient |
| `network` | the networks of a judge, and their file |
| `fitting` | learns a judge from rankings, and measures it on groups that it has not seen |
| `distilled` | the critic `distilled`: a judge alone |
| `cascade` | the critic `cascade`: the teacher's verdicts where it was asked, the judge's elsewhere |
| `asking` | which groups the teacher is asked about, within a budget |

A judge does not know the truth; it can be no better than what its teacher knows and the features show. It is small
(about 30 kB) and is fitted in seconds on a CPU.

May import: `critique` and `storage.records`, as every critic; no torch.
"""

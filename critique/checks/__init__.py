"""Deterministic checks of a drawn group: one check = one pure function `DrawnGroup -> Finding`, one file
each.

May import: numpy, `storage.records` and its neighbours here. To add a check: write `<name>.py` with a
function of the same name, measure a fault in a physical unit at every place (`finding.weigh`), name it in `CHECKS`
and `EvidenceSettings` of `critique/evidence.py` and in `USED_BY` of `critique/scorer.py`, and run
deploy/assets/build_evidence.py, which gives it a weight and a scale. No check sees ground truth; each says by
`Finding.evidence` how much it had to go on. What the networks saw comes from `landmarks.heard` alone.
"""

"""Deterministic checks of a drawn group: one check = one pure function `DrawnGroup -> Finding`, one file
each.

May import: numpy, `storage.records` and its neighbours here. To add a check: write `<name>.py` with a
function of the same name, measure a fault in a physical unit at every place (`finding.weigh`), then give it a
weight and a scale in `critique/evidence.py`. No check sees ground truth; each says by `Finding.evidence` how
much it had to go on.
"""

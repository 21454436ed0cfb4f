"""Deterministic checks of a drawn group: one check = one pure function `DrawnGroup -> Finding`, one file
each.

| file | what it looks at |
|---|---|
| `reprojection` | where the body's keypoints are in the picture |
| `silhouette` | the drawn body against the person's mask |
| `joints_in_space` | joints against where labelled people have them of whom the networks saw the same |
| `world_distance` | joints in space against the detector's world landmarks |
| `depth_order` | which of two limbs is nearer |
| `orientation` | which way trunk and head face |
| `ground_contact`, `balance` | both feet on one ground plane; the centre of mass above the feet |
| `joint_limits`, `limb_lengths`, `penetration` | what is anatomically impossible |
| `landmarks` | what the networks detected: all checks read it from there |
| `finding` | what a check returns, and how faults become a penalty |
| `fitted` | the numbers that were fitted on labelled people |

May import: numpy, `storage.records`, `critique.expected_joints` and its neighbours here. To add a check: write
`<name>.py` with a function of the same name, measure a fault in a physical unit at every body part (`finding.weigh`),
name it in `CHECKS` and `EvidenceSettings` of `critique/evidence.py` and in `USED_BY` of `critique/scorer.py`, and run
deploy/assets/build_evidence.py, which gives it a weight and a scale. No check sees ground truth; each says by
`Finding.evidence` how much evidence it had. What the networks detected comes from `landmarks.heard` alone.
"""

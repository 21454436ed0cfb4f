"""Files of labels that researchers share: one module for each format, `read(path, choice)` in each.

    humandata_npz.py   MMHuman3D's HumanData          spin_npz.py        SPIN, CLIFF, BEDLAM's real sets
    bedlam_npz.py      BEDLAM, AGORA                  prohmr_npz.py      ProHMR, 4D-Humans, ScoreHMR
    hmr2_tar.py        4D-Humans' training shards     eft_json.py        EFT
    coco_smpl_json.py  HybrIK, ScoreHypo (COCO-like)  flatlist_json.py   HybrIK, ScoreHypo (lists)
    smplifyx_pkl.py    SMPLify-X results              amass_npz.py       AMASS, MoSh, BEDLAM's motions

`read` yields `record.Batch`es and raises SourceError: file, key, found, expected, fix. See `catalogue.py` for the
names on the command line.
"""

"""Datasets in the layout in which their makers publish them: one module for each, `read(path, choice)` in each.

    human36m.py   mpi_inf_3dhp.py   mpii.py   coco.py   up3d.py   instavariety.py
    pw3d.py       hi4d.py           spec.py   gta_human.py        dna_rendering.py   emdb.py

`path` is the folder (or file) as downloaded. No file of a dataset, nor anything made from one, is ever committed.
"""

"""The names of the adapters on the command line."""

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from storage.sources import SourceError
from storage.sources.adapter import Choice
from storage.sources.record import Batch


class Kind(NamedTuple):
    """One adapter."""

    module: str  # below storage.sources
    about: str


KINDS = {
    "human36m": Kind("datasets.human36m", "Human3.6M: folder with S1, S5, ... and metadata.xml"),
    "3dpw": Kind("datasets.pw3d", "3DPW: sequenceFiles, or one .pkl"),
    "mpi_inf_3dhp": Kind("datasets.mpi_inf_3dhp", "MPI-INF-3DHP: folder with S1 ... or TS1 ..."),
    "mpii": Kind("datasets.mpii", "MPII: the .mat, HRNet's .json, or .h5"),
    "coco": Kind("datasets.coco", "COCO keypoints, OCHuman, PoseTrack, COCO-WholeBody: .json"),
    "up3d": Kind("datasets.up3d", "UP-3D: folder up-3d"),
    "instavariety": Kind("datasets.instavariety", "InstaVariety: tfrecords, or json of frames"),
    "hi4d": Kind("datasets.hi4d", "HI4D: folder, a pair's or an action's"),
    "bedlam": Kind("formats.bedlam_npz", "BEDLAM, AGORA: processed .npz of a scene"),
    "dna_rendering": Kind("datasets.dna_rendering", "DNA-Rendering: .smc annotations"),
    "gta_human2": Kind("datasets.gta_human", "GTA-Human II: folder annotations"),
    "spec": Kind("datasets.spec", "SPEC: .npz"),
    "emdb": Kind("datasets.emdb", "EMDB: folder with P0 ..., or a sequence's _data.pkl"),
    "humandata": Kind("formats.humandata_npz", "HumanData .npz of MMHuman3D, of any dataset"),
    "coco-smpl": Kind("formats.coco_smpl_json", "COCO-like .json with SMPL (HybrIK, ScoreHypo)"),
    "flatlist": Kind("formats.flatlist_json", "flat list .json (HybrIK, ScoreHypo)"),
    "spin": Kind("formats.spin_npz", ".npz of SPIN, CLIFF, BEDLAM's real sets"),
    "prohmr": Kind("formats.prohmr_npz", ".npz of ProHMR, 4D-Humans, ScoreHMR, TokenHMR"),
    "hmr2": Kind("formats.hmr2_tar", "training .tar of 4D-Humans"),
    "eft": Kind("formats.eft_json", ".json of EFT"),
    "smplify-x": Kind("formats.smplifyx_pkl", "results .pkl of SMPLify-X"),
    "amass": Kind("formats.amass_npz", "motions of AMASS, MoSh, BEDLAM: .npz or .pkl"),
}


def kind_of(name: str) -> Kind:
    """The adapter of that name; raises SourceError if there is none."""
    if name not in KINDS:
        near = get_close_matches(name, KINDS, n=1)
        fix = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(KINDS)}."
        raise SourceError(f"no format or dataset is called '{name}'. {fix}")
    return KINDS[name]


def read_source(name: str, path: Path, choice: Choice, dataset: str | None = None) -> Iterator[Batch]:
    """The batches of a file, not checked for plausibility.

    Raises SourceError if there is no such adapter, or if the file is missing, broken or of another layout.
    """
    module = import_module(f"storage.sources.{kind_of(name).module}")
    batches = module.read(Path(path), choice, dataset or name)
    try:
        yield from batches
    except (SourceError, MemoryError, GeneratorExit):
        raise
    except Exception as error:  # a broken file may fail in any way in which the readers of zip, npy and json can
        raise SourceError(
            f"{path}: not a whole file of '{name}' ({type(error).__name__}: {error}). It may be cut short or of "
            "another format; `hmr-align data formats` lists them."
        ) from error

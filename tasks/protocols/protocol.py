"""Protocols of evaluation by name: who is measured, on which joints, after which alignment. Each is a TOML file.

The files lie in `tasks/assets/protocols`; a file of the user's own can be named by its path. An unknown key is an
error.
"""

import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from storage.sources.joint_sets import H36M_17, LSP_14, MPI_INF_3DHP_17, SMPL_24
from tasks.run.settings import Section, SettingsError, validate

NAMED = resources.files("tasks") / "assets" / "protocols"

METRICS = {
    "mpjpe_mm": "MPJPE",
    "pa_mpjpe_mm": "PA-MPJPE",
    "pve_mm": "PVE",
    "w_mpjpe_mm": "W-MPJPE",
    "w_pve_mm": "W-PVE",
    "pck_150_percent": "PCK@150 mm",
    "pck_50_percent": "PCK@50 mm",
    "auc_percent": "AUC",
    "error_2d_px": "2-D error",
    "pck_2d_05_percent": "2-D PCK@0.05",
    "pck_2d_10_percent": "2-D PCK@0.1",
    "accel_mm": "acceleration",
    "pair_pa_mpjpe_mm": "pair PA-MPJPE",
    "contact_f1_percent": "contact F1 (ours)",
    "inside_percent": "vertices inside (ours)",
    "inside_mm": "depth inside (ours)",
}
"""Name of each metric in tables; its unit is the end of its key. Acceleration is in mm / frame^2."""
RISING = ("pck_", "auc_", "contact_", "srcc", "krcc", "plcc")
"""How the names of metrics begin of which more is better."""
Metric = Literal[
    "mpjpe_mm", "pa_mpjpe_mm", "pve_mm", "w_mpjpe_mm", "w_pve_mm", "pck_150_percent", "pck_50_percent", "auc_percent",
    "error_2d_px", "pck_2d_05_percent", "pck_2d_10_percent", "accel_mm", "pair_pa_mpjpe_mm", "contact_f1_percent",
    "inside_percent", "inside_mm",
]  # fmt: skip


class JointSet(NamedTuple):
    """Joints that are measured, by name, and where they stand among those that a regressor makes."""

    names: tuple[str, ...]
    places: tuple[int, ...]


_14 = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)  # right ankle to head top, of H36M_17
JOINTS = {
    "h36m_14": JointSet(LSP_14, _14),
    "h36m_17": JointSet(H36M_17, tuple(range(17))),
    "3dhp_17": JointSet(MPI_INF_3DHP_17, (10, 8, 14, 15, 16, 11, 12, 13, 4, 5, 6, 1, 2, 3, 0, 7, 9)),
    "smpl_24": JointSet(SMPL_24, tuple(range(24))),
}
"""`h36m_14` and `3dhp_17` as SPIN picks them from the 17 of J_regressor_h36m; its nose serves as 3DHP's head."""
REGRESSED = {"J_regressor_h36m": H36M_17, "body": SMPL_24}
"""Names of the joints that each regressor makes; `body`: the joints of the body file itself."""


class Protocol(Section):
    """One protocol. `note` says what is doubtful about it; it stands under the numbers too."""

    kind: Literal["people", "critic", "studio"] = "people"
    about: str
    source: str  # where it was read
    note: str = ""
    dataset: str  # as records call it
    split: str = ""  # of the records; "" = all
    subjects: tuple[str, ...] = ()  # only these; () = all
    cameras: tuple[str, ...] = ()
    valid_only: bool = True  # leave out records that the dataset marks as not for evaluation
    stride: Annotated[int, Field(ge=1)] = 1  # every so many rows of what remains
    frame_stride: Annotated[int, Field(ge=1)] = 1  # every so many frames of a video, by number
    n: Annotated[int, Field(ge=1)] | None = None  # people; None = the source does not say
    n_source: str = ""
    n_per_image: Annotated[int, Field(ge=1)] | None = None  # hypotheses of critic protocols
    truth: Literal["body", "joints"] = "body"  # joints of the true body by the regressor, or as annotated
    gender: Literal["own", "neutral"] = "own"  # of the true body
    joints: Literal["h36m_14", "h36m_17", "3dhp_17", "smpl_24"] = "h36m_14"
    regressor: Literal["J_regressor_h36m", "body"] = "J_regressor_h36m"
    root: Literal["pelvis", "mid_hips", "none"] = "pelvis"  # subtracted before joints are chosen
    vertex_root: Literal["pelvis", "mid_hips", "none"] = "pelvis"
    procrustes: Literal["chosen", "all"] = "chosen"  # joints from which PA's similarity is found
    pck_joints: Annotated[int, Field(ge=1)] | None = None  # only the first so many for PCK and AUC
    metrics: tuple[Metric, ...] = ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.joints == "smpl_24" and self.regressor != "body":
            raise ValueError("joints = 'smpl_24' are the body's own: set regressor to 'body'")
        if self.joints != "smpl_24" and self.regressor == "body":
            raise ValueError(f"joints = '{self.joints}' come from a regressor: set regressor to 'J_regressor_h36m'")
        if self.kind == "people" and not self.metrics:
            raise ValueError("metrics is empty: name one at least")
        return self


class NamedProtocol(NamedTuple):
    """A protocol with the name of its file."""

    name: str
    rules: Protocol


def names() -> list[str]:
    """The names of the shipped protocols."""
    return sorted(file.name.removesuffix(".toml") for file in _files())


def load_protocol(name: str) -> NamedProtocol:
    """A shipped protocol by its name, or one of the user's by the path of its TOML file.

    Raises SettingsError if there is none, or if the file has unknown keys or values that do not fit.
    """
    path: Path | Traversable = Path(name)
    if not name.endswith(".toml"):
        path = NAMED / f"{name}.toml"
        if not path.is_file():
            near = get_close_matches(name, names(), n=1)
            fix = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names())}, or a file NAME.toml."
            raise SettingsError(f"no protocol is called '{name}'. {fix}")
    table = read_table(path)
    if set(table) != {"protocol"}:
        raise SettingsError(f"{path}: holds {', '.join(table) or 'nothing'}; expected one section, [protocol]")
    # TOML has arrays where the model has tuples
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table["protocol"].items()}
    return NamedProtocol(path.name.removesuffix(".toml"), validate(Protocol, values, path.name, "protocol"))


def read_table(path: Path | Traversable) -> dict:
    """The content of a TOML file; raises SettingsError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}. Give a name of a protocol or a file that can be read."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None


def protocol_line(protocol: NamedProtocol, n: int, hypotheses: str = "") -> str:
    """One paragraph to stand under every number: who was measured, how, and by whose rules.

    n: people that were measured here; if the protocol has another number, that is said plainly.
    """
    name, rules = protocol
    parts = [
        f"Protocol {name}: {rules.dataset}{f' {rules.split}' if rules.split else ''}",
        _count(rules, n),
        f"stride {rules.stride} in rows, {rules.frame_stride} in frames",
        *([hypotheses] if hypotheses else []),
    ]
    if rules.kind == "people":
        true = {"own": "the true body of the person's gender", "neutral": "the true body, neutral"}[rules.gender]
        by = {"body": true, "joints": f"annotated joints (meshes: {true})"}[rules.truth]
        aligned = {"chosen": "from the measured joints", "all": "from all joints, before some are chosen"}
        parts += [
            f"truth: {by}",
            f"joints {rules.joints} by {'the body file' if rules.regressor == 'body' else rules.regressor}",
            f"root: {rules.root.replace('_', ' ')} (vertices: {rules.vertex_root.replace('_', ' ')})",
            f"PA {aligned[rules.procrustes]}",
        ]
    end = f" {rules.note}" if rules.note else ""
    return "; ".join(parts) + f". Source: {rules.source}.{end}"


def _count(rules: Protocol, n: int) -> str:
    said = f" ({rules.n_source})" if rules.n_source else ""
    if rules.n is None:
        return f"n = {n:,}; the source states no number{said}"
    if n == rules.n:
        return f"n = {n:,}, as the protocol states{said}"
    return f"n = {n:,}, NOT the protocol's {rules.n:,}{said}: these numbers do not compare with published ones"


def _files() -> Iterator[Traversable]:
    return (file for file in NAMED.iterdir() if file.name.endswith(".toml"))

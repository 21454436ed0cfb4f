"""Labelled people of another dataset's file, written as one Parquet file of records."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hmr.body.body_file import BodyFileError, read_body_file
from storage.finished_file import finished_file
from storage.sources import SourceError
from storage.sources.adapter import Array, Choice, RestPelvis
from storage.sources.catalogue import read_source
from storage.sources.plausible import refuse_implausible
from storage.sources.record import SCHEMA, VERSION_KEY, Batch, batch_table


class Imported(NamedTuple):
    """The result of an import."""

    file: Path
    records: int
    labels: dict[str, int]  # column -> how many records have it
    skipped: dict[str, int]  # reason -> rows
    converted: tuple[str, ...]
    seconds: float


def import_people(
    name: str,
    path: Path,
    out: Path,
    choice: Choice,
    *,
    dataset: str | None = None,
    checked: bool = True,
    progress: Callable[[float], object] = lambda share: None,
) -> Imported:
    """Read, check and write records. `progress` is called with the share that is done, 0..1.

    Memory use does not grow with the number of rows, except for formats that must be read whole (JSON, pickled
    dictionaries). Raises SourceError if the file is refused or holds no labelled people; no output is left then.
    """
    start = time.perf_counter()
    labels, skipped, converted = Counter[str](), Counter[str](), dict[str, None]()
    records = 0
    with finished_file(out) as unfinished:
        with pq.ParquetWriter(unfinished, SCHEMA, **_encoding()) as writer:
            for batch in read_source(name, path, choice, dataset):
                if len(batch):
                    _refuse_unlabelled(batch)
                    if checked:
                        refuse_implausible(batch)
                    table = batch_table(batch, name)
                    writer.write_table(table)
                    records += len(table)
                    labels.update({key: len(table) - table[key].null_count for key in SCHEMA.names})
                skipped.update(batch.skipped)
                converted.update(dict.fromkeys(batch.converted))
                progress(batch.share)
        if not records:
            details = "; ".join(f"{count} {reason}" for reason, count in skipped.items()) or "it is empty"
            raise SourceError(f"{path}: no record came in ({details}). Give a file with labelled people.")
    held = {key: labels[key] for key in SCHEMA.names if labels[key]}
    return Imported(out, records, held, dict(skipped), tuple(converted), time.perf_counter() - start)


def _refuse_unlabelled(batch: Batch) -> None:
    """Raises SourceError for people of whom nothing but a box came in: their labels have other names."""
    if not {"kp2d", "kp3d", "body_pose"} & batch.columns.keys():
        raise SourceError(
            f"{batch.file}: neither points nor bodies were found under the names that this format has, only "
            f"{', '.join(sorted(batch.columns))}. Is it of another format? `hmr-align data formats` lists them."
        )


def open_records(file: Path) -> pq.ParquetFile:
    """A file that an import wrote. Raises SourceError if it holds no records."""
    try:
        held = pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{file}: no Parquet file could be read ({error}). Give what `data import` wrote.") from None
    if VERSION_KEY not in (held.schema_arrow.metadata or {}):
        raise SourceError(f"{file}: holds no records of people. Give what `hmr-align data import` wrote.")
    return held


def _encoding() -> dict:
    numbers = [
        field.name for field in SCHEMA if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type)
    ]
    floats = [name for name in numbers if pa.types.is_float32(SCHEMA.field(name).type.value_type)]
    words = [field.name for field in SCHEMA if pa.types.is_dictionary(field.type)]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": words,
        "column_encoding": {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in floats},
    }


def rest_pelvis_of(folder: Path) -> RestPelvis:
    """A function for the pelvis position in the rest pose, metres, from the user's body files (SMPL_MALE.pkl, ...).

    The function raises SourceError if a body file is missing or cannot be used.
    """
    known: dict[tuple[str, str], tuple[Array, Array]] = {}

    def place(model: str, gender: str, betas: Array) -> Array:
        if (model, gender) not in known:
            known[model, gender] = _pelvis(body_path(folder, model, gender))
        mean, shapes = known[model, gender]
        return mean + np.asarray(betas, np.float64) @ shapes[: betas.shape[1]]

    return place


def body_path(folder: Path, model: str, gender: str) -> Path:
    """The file of a body in the user's folder: SMPL_MALE.pkl, SMPLX_NEUTRAL.npz, basicmodel_m_..., by its name.

    Raises SourceError if the folder has none.
    """
    letter = {"male": "m", "female": "f", "neutral": "neutral"}[gender]
    wanted = (f"{model}_{gender}", f"basicmodel_{letter}_", f"basicmodel_{gender}_")
    files = sorted(file for file in folder.glob("*") if file.suffix in (".npz", ".pkl"))
    for start in wanted[: 3 if model == "smpl" else 1]:
        for file in files:
            if file.name.lower().startswith(start):
                return file
    raise SourceError(
        f"{folder}: holds no {model.upper()}_{gender.upper()}.npz or .pkl. Put it there (from the model's own site). "
        "An import goes without --bodies too, but without translations."
    )


def _pelvis(file: Path) -> tuple[Array, Array]:
    """Position of the pelvis joint (3,) and what each beta adds (10, 3), metres."""
    try:
        body = read_body_file(file)
    except BodyFileError as error:
        raise SourceError(str(error)) from error
    root = body.J_regressor[0].astype(np.float64)
    return root @ body.v_template, np.einsum("v,vcb->bc", root, body.shapedirs)

"""`hmr-align data`: import labelled people from other datasets, and other models' predictions."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.flags import JsonFile
from flows.cli.output import plain, tell_measurements, tell_table

data = typer.Typer(
    help="Bring in datasets, and predictions of other models.", no_args_is_help=True, rich_markup_mode=None
)


@data.command("formats")
def data_formats() -> None:
    """List the datasets and formats that `data import` reads.

    Example: hmr-align data formats
    """
    from storage.sources.catalogue import KINDS

    tell_table(["name", "what it reads"], [(plain(name), plain(kind.about)) for name, kind in KINDS.items()])


@data.command("import")
def data_import(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset or format: see `hmr-align data formats`.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Its file, or the folder as downloaded.")],
    out: Annotated[Path, typer.Option(metavar="FILE.parquet", help="Where the records go.")],
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where picture paths start: ten are shown on the page.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Name in the records. [NAME]")] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, val, test, ... [as the file says]")] = "",
    stride: Annotated[int, typer.Option(metavar="N", min=1, help="Only every N-th row or frame.")] = 1,
    bodies: Annotated[
        Path | None, typer.Option(metavar="DIR", help="SMPL_MALE.pkl, ...: their rest pelvis places bodies of a world.")
    ] = None,
    ignore: Annotated[str, typer.Option(metavar="KEY,KEY", help="Keys of the file to pass over.")] = "",
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Believe units, axes and orders of joints.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Turn a file of labelled people into records of one schema: metres, camera frame, axis-angle.

    A file that does not match its format is refused: unexpected keys and shapes, other units or axes, joints in another
    order. A page beside the output file shows what was imported.

    Example: hmr-align data import coco person_keypoints_val2017.json --photos val2017 --out coco.parquet
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from storage.sources.adapter import Choice
    from storage.sources.catalogue import kind_of
    from tasks.data.import_page import write_page
    from tasks.data.importing import import_people, rest_pelvis_of

    kind_of(name)
    choice = Choice(
        split=split,
        stride=stride,
        ignore=frozenset(key.strip() for key in ignore.split(",") if key.strip()),
        pelvis=None if bodies is None else rest_pelvis_of(bodies),
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(f"import {plain(name)}", total=1.0)
        done = import_people(
            name, path, out, choice, dataset=dataset, checked=not unchecked,
            progress=lambda share: bar.update(task, completed=share),
        )  # fmt: skip
    page = write_page(done, f"{dataset or name}: {path.name}", photos)
    for line in done.converted:
        typer.echo(f"converted  {line}")
    for reason, count in done.skipped.items():
        typer.echo(f"left out   {count} {reason}")
    typer.echo(f"{done.file}: {done.records} records; {page}")
    if json_file:
        rate = done.records / max(done.seconds, 1e-9)
        named = {"import.records": (done.records, "records"), "import.records_per_second": (rate, "records/s")}
        rows = [{"metric": metric, "value": value, "unit": unit, "baseline": None, "ratio": None}
                for metric, (value, unit) in named.items()]  # fmt: skip
        tell_measurements(rows, json_file)


@data.command("predictions")
def data_predictions(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Outputs of a model, or folders of them.")],
    kind: Annotated[
        str,
        typer.Option(
            "--from", metavar="MODEL", help="sam3d, romp, 4dhumans, multihmr, prompthmr, smplify-x, run or npz."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write plain arrays, an .npz for each person.")
    ] = None,
    mhr_maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="MHR's conversion assets: meshes of sam3d become SMPL's.")
    ] = None,
    smplx_map: Annotated[
        Path | None, typer.Option(metavar="FILE.pkl", help="smplx2smpl.pkl: meshes of SMPL-X become SMPL's.")
    ] = None,
) -> None:
    """Read the outputs of other models: bodies, meshes or joints in camera space, as hypotheses.

    The maps come from tools/mhr_smpl_conversion/assets of github.com/facebookresearch/MHR (Apache-2.0).

    Example: hmr-align data predictions outputs --from sam3d --mhr-maps assets --out predicted
    """
    from storage.predictions import read_predictions
    from storage.predictions.arrays_npz import write
    from storage.predictions.mhr_map import read_mhr_map, to_topology

    found = read_predictions(kind, files)
    if mhr_maps is not None:
        mesh_map = read_mhr_map(mhr_maps)
        found = [to_topology(one, mesh_map) for one in found]
    if smplx_map is not None:
        from dataclasses import replace

        from hmr.body.mesh_map import MeshMap

        to_smpl = MeshMap(smplx_map)
        found = [
            replace(one, vertices=to_smpl(one.vertices), topology="smpl", orient=None, pose=None, betas=None)
            if one.topology == "smplx" and one.vertices is not None
            else one
            for one in found
        ]
    rows = []
    for one in found:
        parts = {"parameters": one.orient, "vertices": one.vertices, "joints": one.joints}
        off = one.off_px()
        rows.append((
            plain(one.image), plain(one.person), str(len(one)), one.topology,
            ", ".join(name for name, part in parts.items() if part is not None),
            "" if one.camera is None else f"{one.camera[0]:.1f}", "" if off is None else f"{off:.2g}",
        ))  # fmt: skip
    tell_table(["picture", "person", "hypotheses", "body", "holds", "focal px", "off px"], rows)
    if out is not None:
        for one in found:
            typer.echo(write(one, out))


@data.command("meshes")
def data_meshes(
    records: Annotated[Path, typer.Argument(metavar="FILE.parquet", help="Records of `data import`.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the meshes go, an .npz for each person.")],
    bodies: Annotated[Path, typer.Option(metavar="DIR", help="SMPL_MALE.pkl, SMPLX_NEUTRAL.npz, ...: your own files.")],
    kind: Annotated[
        str,
        typer.Option(
            "--as", metavar="KIND", help="smplx: with fingers and face; folded: flat hands, still face; smpl: 6,890."
        ),
    ] = "smpl",
    smplx_map: Annotated[
        Path | None, typer.Option(metavar="FILE.pkl", help="smplx2smpl.pkl: SMPL-X's mesh to SMPL's, for --as smpl.")
    ] = None,
) -> None:
    """Write the bodies of records as meshes, in the topology that you choose.

    Example: hmr-align data meshes bedlam.parquet --bodies bodies --as smplx --out meshes
    """
    from tasks.protocols.bodies import Bodies
    from tasks.protocols.meshes import KINDS, write_meshes

    if kind not in KINDS:
        raise typer.BadParameter(f"--as {kind}: choose {', '.join(KINDS)}")
    files = list(write_meshes(records, kind, Bodies(bodies, smplx_map=smplx_map), out))
    typer.echo(f"{len(files)} meshes in {out}")


@data.command("audit")
def data_audit(
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="[ROLE=]PATH",
            help="Records, a run's folder, a memory, a folder of pictures; roles: test, val, train, "
            "pretraining, memory.",
        ),
    ],
    photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where picture paths of records start: near-duplicates are searched."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Say what sets share: subjects, sequences, pictures, near-duplicates; and which rewards were the ground truth.

    Exit code 3: a test or validation set shares something with another one (without roles: any two sets).

    Example: hmr-align data audit test=3dpw.parquet train=runs/align memory=memory --json audit.json
    """
    from storage.finished_file import write_text
    from tasks.data.audit import as_json, audit, read_set, rows

    if len(sets) < 2:
        raise typer.BadParameter("give two sets at least")
    found = audit([read_set(given, photos) for given in sets])
    tell_table(["sets", "share", "for example", "compared"], [tuple(map(plain, row)) for row in rows(found)])
    typer.echo(found.verdict)
    if json_file:
        write_text(json_file, as_json(found))
    if not found.clean:
        raise typer.Exit(3)

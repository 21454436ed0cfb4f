"""`hmr-align data`: import labelled people from other datasets, and other models' predictions."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.flags import JsonFile, refuse, settings_of_run
from flows.cli.output import plain, shares, tell_measurements, tell_table

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
    with shares(f"import {name}") as progress:
        done = import_people(name, path, out, choice, dataset=dataset, checked=not unchecked, progress=progress)
    page = write_page(done, f"{dataset or name}: {path.name}", photos)
    for line in done.converted:
        typer.echo(f"converted  {line}")
    for reason, count in done.skipped.items():
        typer.echo(f"left out   {count} {reason}")
    typer.echo(f"{done.file}: {done.records} {'record' if done.records == 1 else 'records'}; {page}")
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
            "--from",
            metavar="MODEL",
            help="sam3d, romp, 4dhumans, multihmr, prompthmr, smplify-x, run or npz; preferences: groups and pairs of "
            "GPA-HMR and ADHMR, with --into.",
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
    into: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Folder of a run: they become hypotheses of its groups.")
    ] = None,
    gen: Annotated[str, typer.Option("--as", metavar="NAME", help="What these groups are called.")] = "predictions",
    beside: Annotated[
        str | None, typer.Option(metavar="NAME", help="Groups of the run that they join, as round0. [alone]")
    ] = None,
) -> None:
    """Read the outputs of other models: bodies, meshes or joints in camera space, as hypotheses.

    With --into they are matched to the people of a run by picture and box, and judged, drawn and compared like ours.
    The maps come from tools/mhr_smpl_conversion/assets of github.com/facebookresearch/MHR (Apache-2.0).

    Example: hmr-align data predictions outputs --from sam3d --mhr-maps assets --into runs/mine --beside round0
    """
    from storage.predictions import read_predictions
    from storage.predictions.arrays_npz import write
    from storage.predictions.mhr_map import read_mhr_map, to_topology

    if into is None:
        refuse("without --into", beside=beside)
    found = _preferences(files, into) if kind == "preferences" else read_predictions(kind, files)
    if into is None and mhr_maps is not None:
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
    if into is not None:
        _bring(into, found, gen, beside, mhr_maps)
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


def _preferences(files: list[Path], into: Path | None) -> list[Any]:
    """Groups and pairs of GPA-HMR and ADHMR, posed for the people of a run; says which cannot be used."""
    from storage.predictions.preference_files import read_preferences
    from tasks.data.preference_groups import as_predictions
    from tasks.run.plan import Plan
    from tasks.run.settings import SettingsError
    from tasks.sampling import body

    if into is None:
        raise SettingsError(
            "--from preferences: such files tell joints in a crop, without camera and body: give --into RUN, a run on "
            "the same pictures"
        )
    plan = Plan(settings_of_run(None, run={"out": into.parent, "name": into.name}))
    model, people = body(plan.body_path), plan.store.read_people()
    found = []
    for file in files:
        posed, lost = as_predictions(model, read_preferences(file), people, file.stem)
        found += posed
        for image, row, why in lost:
            typer.echo(f"not used   {image}, row {row}: {why}")
    return found


def _bring(into: Path, found: list[Any], gen: str, beside: str | None, mhr_maps: Path | None) -> None:
    """Write predictions as groups of a run, and say what became of each."""
    from hmr.body.body import load_arrays
    from storage.predictions.mhr_map import read_mhr_map
    from tasks.data.predicted_groups import BodyInUse, bring
    from tasks.run.plan import Plan
    from tasks.sampling import body

    plan = Plan(settings_of_run(None, run={"out": into.parent, "name": into.name}))
    model = body(plan.body_path)
    maps = None if mhr_maps is None else read_mhr_map(mhr_maps, "smplx" if model.name == "smplx" else "smpl")
    with plan.held():
        done = bring(plan.store, BodyInUse(model, load_arrays(plan.body_path), maps), found, gen, beside)
    for file, person, why in done.unmatched:
        typer.echo(f"not used   {file}, person {person}: {why}")
    made = ", ".join(f"{count} of {name}" for name, count in done.made_by.items())
    meshes = f"; {done.meshes} are meshes without a pose, which cannot be trained on" if done.meshes else ""
    typer.echo(f"{gen}: {done.groups} groups with {done.hypotheses} hypotheses ({made}){meshes}")
    if done.off_px:
        typer.echo(f"their cameras differ from the run's: moved so that keypoints lie within {done.off_px:.1f} px")


@data.command("ranking")
def data_ranking(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    gen: Annotated[str, typer.Option("--groups", metavar="NAME", help="Which groups.")] = "predictions",
    critic: Annotated[str, typer.Option(metavar="NAME", help="Whose verdicts.")] = "evidence",
    first: Annotated[int, typer.Option("--first", metavar="N", min=1, help="So many of each group.")] = 3,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write the first of each group as .obj.")] = None,
) -> None:
    """Show which hypotheses of a run's groups a critic ranks first, and who made them.

    Example: hmr-align data ranking runs/mine --groups predictions --out best
    """
    from tasks.data.ranking import ranked, write_first
    from tasks.run.plan import Plan

    plan = Plan(settings_of_run(None, run={"out": run.parent, "name": run.name}, critic={"name": critic}))
    rows = ranked(plan.store, gen, plan.critic_name, first)
    tell_table(
        ["person", "rank", "made by", "score", "comment"],
        [(plain(r.person), str(r.rank), plain(r.made_by), f"{r.score:.1f}", plain(r.comment)) for r in rows],
    )
    for path in [] if out is None else write_first(plan, gen, plan.critic_name, out):
        typer.echo(path)


@data.command("errors")
def data_errors(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run on records with joints in space.")],
    gen: Annotated[str, typer.Option("--groups", metavar="NAME", help="Which groups.")] = "predictions",
    critic: Annotated[str | None, typer.Option(metavar="NAME", help="Also what this critic chose. [none]")] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure the hypotheses of a run's groups against its people's true joints, by who made them: mm.

    Example: hmr-align data errors runs/mine --groups predictions --critic evidence
    """
    from tasks.data.prediction_errors import prediction_errors
    from tasks.run.plan import Plan
    from tasks.sampling import body

    flags = {"run": {"out": run.parent, "name": run.name}, "critic": {"name": critic}}
    plan = Plan(settings_of_run(None, **flags))
    rows = prediction_errors(plan, body(plan.body_path), gen, None if critic is None else plan.critic_name)
    heads = ["hypotheses", "people", "MPJPE", "PA-MPJPE", "joints", "root", "truth"]
    order = ["hypotheses", "people", "mpjpe_mm", "pa_mpjpe_mm", "joints", "root", "truth"]
    texts = [tuple(plain(f"{row[k]:.1f}" if isinstance(row[k], float) else row[k]) for k in order) for row in rows]
    tell_table(heads, texts)
    if json_file:
        from storage.finished_file import write_text

        write_text(json_file, json.dumps(rows, indent=1))

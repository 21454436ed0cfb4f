"""`hmr-align protocols`, and `hmr-align benchmark --protocol NAME`: predictions against records by published rules."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from flows.cli.output import plain, shares, tell_measurements, tell_table

if TYPE_CHECKING:
    from tasks.protocols.benchmark import Benchmarked
    from tasks.protocols.bodies import Bodies as UserBodies
    from tasks.protocols.protocol import NamedProtocol
    from tasks.protocols.table import Table
    from tasks.run.settings import Settings

Protocol = Annotated[
    str | None, typer.Option("--protocol", metavar="NAME", help="Rules to measure by: see `hmr-align protocols`.")
]
Data = Annotated[Path | None, typer.Option("--data", metavar="FILE.parquet", help="Records of `data import`.")]
Predictions = Annotated[
    list[Path] | None,
    typer.Option("--predictions", metavar="FILE", help="Outputs of a model, or a folder of them; may be repeated."),
]
Kind = Annotated[str, typer.Option("--from", metavar="MODEL", help="Whose layout they have: see `data predictions`.")]
Against = Annotated[
    str | None, typer.Option("--against", metavar="published", help="Reference numbers of the protocol beside ours.")
]
Bodies = Annotated[
    Path | None, typer.Option("--bodies", metavar="DIR", help="SMPL_NEUTRAL.pkl, SMPL_MALE.pkl, SMPLX_NEUTRAL.npz, ...")
]
Regressor = Annotated[Path | None, typer.Option("--regressor", metavar="FILE", help="J_regressor_h36m.npy.")]
SmplxMap = Annotated[
    Path | None, typer.Option("--smplx-map", metavar="FILE.pkl", help="SMPL-X's mesh to SMPL's: smplx2smpl.pkl.")
]
MhrMaps = Annotated[Path | None, typer.Option("--mhr-maps", metavar="DIR", help="MHR's conversion assets.")]
Label = Annotated[str | None, typer.Option("--label", metavar="TEXT", help="Name of the predictions in the table.")]
Photos = Annotated[
    Path | None, typer.Option("--photos", metavar="DIR", help="Where picture paths start: our model answers itself.")
]
Audit = Annotated[Path | None, typer.Option("--audit", metavar="FILE.json", help="Of `data audit`: its verdict.")]


class Given(NamedTuple):
    """The flags of `hmr-align benchmark` that belong to a protocol."""

    data: Path | None
    predictions: list[Path] | None
    kind: str
    photos: Path | None
    against: str | None
    bodies: Path | None
    regressor: Path | None
    smplx_map: Path | None
    mhr_maps: Path | None
    label: str | None
    audit: Path | None


def list_protocols(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show all of one, with reference numbers.")] = None,
) -> None:
    """List the protocols of evaluation, or show one with the numbers that others print for it.

    Example: hmr-align protocols 3dpw-standard
    """
    from tasks.protocols.protocol import load_protocol, names, protocol_line
    from tasks.protocols.published import references
    from tasks.protocols.table import Table, reference_rows

    if name is None:
        rules = {one: load_protocol(one).rules for one in names()}
        rows = [
            (
                one,
                plain(rule.about),
                "not said" if rule.n is None else f"{rule.n:,}",
                f"{rule.stride}, {rule.frame_stride}",
            )
            for one, rule in rules.items()
        ]
        tell_table(["protocol", "who is measured", "people", "stride of rows, frames"], rows)
        return
    protocol = load_protocol(name)
    for key, value in protocol.rules.model_dump(mode="json").items():
        if value not in ("", None, []):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            typer.echo(f"{key:14} {text}")
    others = [one for one in references() if one.protocol == protocol.name]
    if others:
        typer.echo("")
        tell(Table(protocol, protocol_line(protocol, protocol.rules.n or 0), tuple(reference_rows(others))), line=False)


def studio_line(name: str, given: Given, people: int) -> str:
    """The line of protocol `studio`, whose people are drawn. Raises SettingsError if files were given."""
    from flows.cli.flags import refuse
    from tasks.protocols.protocol import load_protocol, protocol_line

    protocol = load_protocol(name)
    refuse(f"with protocol {name}, whose people are drawn", data=given.data, photos=given.photos,
           predictions=given.predictions or None)  # fmt: skip
    return protocol_line(protocol, people)


def kind_of_protocol(name: str) -> str:
    """people, critic or studio. Raises SettingsError if there is no such protocol."""
    from tasks.protocols.protocol import load_protocol

    return load_protocol(name).rules.kind


def benchmark_by_protocol(
    name: str, given: Given, out: Path | None, json_file: Path | None, settings: Callable[[], "Settings"],
    of_model: Mapping[str, object], round_number: int = 0,
) -> None:  # fmt: skip
    """Measure predictions on records, or a model of ours, and print the table with the protocol's line.

    settings: a function for those of our model, asked only if it answers. of_model: flags that have a meaning for it
    alone. Table, plots and page are written.
    """
    from flows.cli.flags import refuse
    from tasks.protocols.bodies import Bodies as UserBodies
    from tasks.protocols.protocol import load_protocol
    from tasks.run.settings import Run, SettingsError

    protocol = load_protocol(name)
    if given.against not in (None, "published"):
        raise SettingsError(f"--against {given.against}: there is only 'published'")
    if (
        given.data is None
        or not (given.predictions or given.photos)
        or (protocol.rules.kind == "critic" and not given.predictions)
    ):
        raise SettingsError(_lacking(protocol))
    bodies = UserBodies(given.bodies, given.regressor, given.smplx_map, given.mhr_maps)
    folder = (out or Run().out) / f"protocol-{protocol.name}"
    if given.predictions:
        refuse("beside --predictions", photos=given.photos, **of_model)
        done = _of_files(protocol, given, bodies, folder)
    else:
        done = _of_our_model(protocol, given, bodies, folder, settings(), round_number)
    tell(done.table)
    typer.echo(f"\n{done.page}; table.md, table.tex, table.parquet, errors.parquet and plots lie beside it")
    if json_file:
        tell_measurements(_measurements(done.table), json_file)


def _of_files(protocol: "NamedProtocol", given: Given, bodies: "UserBodies", folder: Path) -> "Benchmarked":
    from tasks.protocols.benchmark import benchmark

    assert given.data is not None and given.predictions
    with shares(protocol.name) as progress:
        return benchmark(
            protocol, given.data, given.predictions, given.kind, bodies, folder, against=given.against is not None,
            name=given.label or "", audit=given.audit, progress=progress,
        )  # fmt: skip


def _of_our_model(
    protocol: "NamedProtocol", given: Given, bodies: "UserBodies", folder: Path, settings: "Settings",
    round_number: int,
) -> "Benchmarked":  # fmt: skip
    from flows.record.recording import unrecorded

    assert given.data is not None and given.photos is not None
    with unrecorded():
        from flows.record.progress import tracked
        from tasks.protocols.own_benchmark import Shown, Wanted, measure_by_protocol

        wanted = Wanted(
            protocol, given.data, given.photos, bodies, given.against is not None, given.label or "", given.audit
        )
        return measure_by_protocol(settings, wanted, folder, Shown(tracked, shares), round_number)


def tell(table: "Table", *, line: bool = True) -> None:
    """Print the table, and under it the protocol's line and every remark."""
    from rich.console import Console
    from rich.table import Table as Shown

    from tasks.protocols.table import cells, legend

    heads, rows = cells(table)
    people = heads.index("people")
    notes = {text: f"[{number}]" for number, text in enumerate(dict.fromkeys(row[-1] for row in rows if row[-1]), 1)}
    shown = Shown(box=None, pad_edge=False)
    shown.add_column("method", min_width=24, overflow="fold")
    for name in heads[1:people]:
        shown.add_column(plain(name.replace(", ", "\n")), justify="right", no_wrap=True)
    shown.add_column("number", no_wrap=True)
    for row in rows:
        shown.add_row(*map(plain, [*row[:people], f"{row[-2]} {notes.get(row[-1], '')}".strip()]))
    Console().print(shown)
    under = [*([table.line, *table.remarks] if line else []), *legend(table)]
    for text in [*(f"{mark} {text}" for text, mark in notes.items()), *under]:
        typer.echo(text)


def _measurements(table: "Table") -> list[dict[str, Any]]:
    """Rows for `--json`; each has the protocol's line."""
    units = {"mm": "mm", "px": "px", "percent": "%"}
    return [
        {"metric": f"{table.protocol.name}.{row.method}.{metric}", "value": value,
         "unit": units.get(metric.rpartition("_")[2], ""), "baseline": None, "ratio": None, "mark": row.mark,
         "protocol": table.line}
        for row in table.rows
        for metric, value in row.values.items()
    ]  # fmt: skip


def _lacking(protocol: "NamedProtocol") -> str:
    """What to do about missing files, for the error."""
    data = f"--data FILE.parquet (of `hmr-align data import`, dataset {protocol.rules.dataset})"
    if protocol.rules.kind == "critic":
        lines = (
            f"protocol {protocol.name} correlates scores with errors: give {data} and --predictions FILES with scores; "
            "a critic of ours is measured by `hmr-align critic-benchmark --instances HUMANDATA.npz`"
        )
    else:
        lines = (
            f"protocol {protocol.name} measures on imported records: give {data}, and --predictions FILES of any "
            "model, or --photos DIR to have a model of ours answer (--checkpoint MODEL, --hypotheses M)"
        )
    return f"{lines}. `hmr-align protocols {protocol.name}` shows its rules and reference numbers."

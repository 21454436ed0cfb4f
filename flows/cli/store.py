"""`hmr-align store`: what lies in a store, whether it is whole, mending, packing, clearing away, handing on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.flags import JsonFile, Name, Out, SettingsFile, settings_of_run
from flows.cli.output import plain, tell_table

if TYPE_CHECKING:
    from storage.group_store import GroupStore
    from tasks.run.settings import Settings

store = typer.Typer(
    help="Look after a store: list, verify, repair, compact, vacuum, export.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FAULTY = 2  # exit code of `verify` when something is wrong

At = Annotated[
    str | None, typer.Argument(metavar="STORE", help="A folder, or s3://, gs://, az://. [the store of --name]")
]


@store.command("ls")
def store_ls(at: At = None, out: Out = None, name: Name = None, json_file: JsonFile = None) -> None:
    """List what a store holds: tables, generations, critics and their versions, rows, sizes.

    Example: hmr-align store ls --name default
    """
    import json
    from datetime import datetime

    from storage.finished_file import write_text
    from storage.upkeep.contents import contents

    found = [one for one in contents(_store(at, out, name)) if one.shards]
    rows = [
        (
            one.table,
            plain(one.gen),
            plain(one.critic),
            plain(one.run),
            f"{one.shards:,}",
            f"{one.rows:,}",
            _size(one.size),
            datetime.fromtimestamp(one.newest_ns / 1e9).date().isoformat() if one.newest_ns else "",
        )
        for one in found
    ]
    tell_table(["table", "generation", "critic", "run", "shards", "rows", "size", "newest"], rows)
    typer.echo(f"{_size(sum(one.size for one in found))} in {sum(one.shards for one in found):,} files")
    if json_file:
        write_text(json_file, json.dumps([one._asdict() for one in found], indent=1))


@store.command("verify")
def store_verify(at: At = None, out: Out = None, name: Name = None) -> None:
    """Read every file of a store and compare it with its checksum. Exit code 2: something is damaged.

    Example: hmr-align store verify --name default
    """
    from storage.upkeep.contents import contents

    chosen = _store(at, out, name)
    faults = chosen.verify()
    for fault in faults:
        typer.echo(fault)
    strays = sum(size for manifest in _readable(chosen) for size in manifest.strays().values())
    if strays:
        typer.echo(
            f"{_size(strays)} in files that belong to no shard, which no reader looks at: `hmr-align store vacuum`"
        )
    if faults:
        typer.echo(f"{len(faults)} faults: `hmr-align store repair` mends what can be mended")
        raise typer.Exit(FAULTY)
    found = contents(chosen)
    typer.echo(
        f"{chosen.place}: whole; {sum(one.shards for one in found):,} files, {_size(sum(one.size for one in found))}"
    )


@store.command("repair")
def store_repair(at: At = None, out: Out = None, name: Name = None) -> None:
    """Mend a damaged store, and say what must be done again. What was damaged is kept in _quarantine.

    Example: hmr-align store repair --name default
    """
    from storage.upkeep.repair import QUARANTINE, repair

    chosen = _store(at, out, name)
    count = 0
    with _alone(chosen):
        for mended in repair(chosen):
            typer.echo(f"{mended.where}: {mended.what}")
            if mended.todo:
                typer.echo(f"    to do: {mended.todo}")
            count += 1
    typer.echo(
        f"{count} things were mended or set aside in {chosen.place / QUARANTINE}" if count else "nothing is damaged"
    )


@store.command("compact")
def store_compact(at: At = None, out: Out = None, name: Name = None) -> None:
    """Merge verdicts that came in parts, and write manifests anew without what no longer counts.

    Readers find the same verdicts at every moment; `vacuum` removes the files that are no longer needed.

    Example: hmr-align store compact --name default
    """
    from storage.upkeep.compaction import compact

    chosen = _store(at, out, name)
    count = 0
    with _alone(chosen):
        for done in compact(chosen):
            typer.echo(done)
            count += 1
    if not count:
        typer.echo("nothing to merge")


@store.command("vacuum")
def store_vacuum(
    at: At = None,
    out: Out = None,
    name: Name = None,
    older: Annotated[
        float,
        typer.Option(
            "--older", metavar="HOURS", min=0, help="Only files that are older, for readers and writers at work."
        ),
    ] = 24.0,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove files that belong to no shard: left by killed writers, or replaced by `compact`.

    Example: hmr-align store vacuum --name default --older 1 --dry-run
    """
    chosen = _store(at, out, name)
    files = size = 0
    for manifest in chosen.manifests():
        strays = manifest.strays(3600 * older)
        for path, own in strays.items():
            typer.echo(f"{'would go' if dry else 'removed'}  {path}  {_size(own)}")
        files, size = files + len(strays), size + sum(strays.values())
        if not dry:
            manifest.sweep(age=3600 * older)
    typer.echo(f"{files} files, {_size(size)}")


@store.command("export")
def store_export(
    at: At = None,
    out: Out = None,
    name: Name = None,
    settings: SettingsFile = None,
    hf: Annotated[
        Path | None, typer.Option("--hf", metavar="DIR", help="Parquet with a card, for Hugging Face datasets.")
    ] = None,
    webdataset: Annotated[
        Path | None, typer.Option("--webdataset", metavar="DIR", help="Tar files, a person each.")
    ] = None,
    delta: Annotated[Path | None, typer.Option("--delta", metavar="DIR", help="Delta Lake tables.")] = None,
    gen: Annotated[str | None, typer.Option("--gen", metavar="NAME", help="Of --webdataset. [the newest]")] = None,
    critic: Annotated[
        str | None, typer.Option("--critic", metavar="NAME", help="Of --webdataset: name and version. [none]")
    ] = None,
) -> None:
    """Write the tables of a store for others: images, people, hypotheses, overlays, verdicts, metrics, runs, rules,
    prototypes.

    Overlays, metrics, runs, rules and prototypes are known for a run (--name), not for a store alone.

    Example: hmr-align store export --name default --hf shared/default
    """
    from storage.schema import StoreError
    from storage.upkeep import export
    from storage.upkeep.tables import tables_of_store

    wanted = [folder for folder in (hf, webdataset, delta) if folder is not None]
    if not wanted:
        raise StoreError("say what to write: --hf DIR, --webdataset DIR or --delta DIR")
    chosen = _store(at, out, name)
    if at is None:
        from tasks.data.run_tables import tables_of_run
        from tasks.run.plan import Plan

        tables = tables_of_run(Plan(settings_of_run(settings, run={"out": out, "name": name})))
    else:
        tables = tables_of_store(chosen)
    counted = {}
    if hf is not None:
        counted = export.parquet_dataset(tables, hf, f"HMR-Align: {_title(chosen)}")
    if delta is not None:
        counted = export.delta_tables(tables, delta)
    if counted:
        tell_table(["table", "rows"], [(table, f"{count:,}") for table, count in counted.items()])
    if webdataset is not None:
        gens = chosen.gens()
        if not gens or (gen is not None and gen not in gens):
            raise StoreError(
                f"{chosen.place}: has no groups of {gen or 'any generation'}; it has {', '.join(gens) or 'none'}"
            )
        count = export.webdataset(chosen, gen or gens[-1], webdataset, critic)
        typer.echo(f"{count} people of {gen or gens[-1]}")
    for folder in wanted:
        typer.echo(folder)


def _title(chosen: "GroupStore") -> str:
    """The name of the run that a store belongs to, or of its folder."""
    place = chosen.root
    return place.parent.name if place.name == "store" else place.name


def _store(at: str | None, out: Path | None, name: str | None) -> "GroupStore":
    """The store at a place, or that of a run. Raises StoreError if there is none."""
    from storage.group_store import GroupStore
    from storage.remote_path import place_of
    from storage.schema import StoreError

    root = place_of(at) if at is not None else _settings(out, name).run.folder / "store"
    chosen = GroupStore(root)
    if not chosen.place.exists():
        raise StoreError(f"{chosen.place}: there is no store here; name its folder or address, or a run by --name")
    return chosen


def _settings(out: Path | None, name: str | None) -> "Settings":
    return settings_of_run(None, run={"out": out, "name": name})


def _readable(chosen: "GroupStore") -> Iterator:
    """The manifests that can be read."""
    from storage.schema import StoreError

    for manifest in chosen.manifests():
        try:
            manifest.shards()
        except StoreError:
            continue
        yield manifest


@contextmanager
def _alone(chosen: "GroupStore") -> Iterator[None]:
    """Keep out other processes of the run that the store belongs to. Raises RunInUse if one works there."""
    from tasks.run.run_lock import held

    root = chosen.root
    if isinstance(root, Path) and (root.parent / "settings.json").exists():
        with held(root.parent):
            yield
    else:
        yield


def _size(count: float) -> str:
    """Bytes for people to read."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"

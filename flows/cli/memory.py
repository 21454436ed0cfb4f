"""`hmr-align memory`: show a critic's memory, export it, import rules."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import plain, tell_events, tell_table

memory = typer.Typer(
    help="Look into a critic's memory, write it out, bring rules in.", no_args_is_help=True, rich_markup_mode=None
)

MemoryStore = Annotated[Path, typer.Argument(metavar="DIR", help="The memory.")]


@memory.command("show")
def memory_show(
    store: MemoryStore,
    version: Annotated[str | None, typer.Option(metavar="N", help="[the newest]")] = None,
    ledger: Annotated[bool, typer.Option("--ledger", help="What became of every rule, and on what evidence.")] = False,
) -> None:
    """List the rules of a memory: how well they worked, what they gained on held-out groups, where they came from.

    Example: hmr-align memory show memory --ledger
    """
    from tasks.critics.remembering import load_memory

    kept = load_memory(store, version=version)
    tell_table(
        ["rule", "state", "shown", "right", "lift", "tags", "text", "origin"],
        [
            (
                rule.id,
                rule.state,
                str(rule.uses),
                str(rule.successes),
                "" if rule.lift is None else f"{rule.lift:+.3f}",
                ", ".join(rule.tags),
                plain(rule.text),
                plain(rule.origin),
            )
            for rule in kept.rules
        ],
    )
    typer.echo(f"{len(kept.prototypes)} prototypes, placed by {kept.embedder or 'nothing'}")
    if ledger:
        tell_events([event.model_dump() for event in kept.events])


@memory.command("export")
def memory_export(
    store: MemoryStore,
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for memory.toml and pictures.")],
) -> None:
    """Write a memory as TOML that people can read and edit, and its pictures.

    Example: hmr-align memory export memory written
    """
    from tasks.critics.remembering import export_memory

    typer.echo(export_memory(store, folder))


@memory.command("import")
def memory_import(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="Rules and prototypes, as `export` writes them.")],
    store: MemoryStore,
    trust: Annotated[
        bool, typer.Option("--trust", help="Keep what the file says of its rules, instead of having them tested first.")
    ] = False,
) -> None:
    """Add the rules and prototypes of a TOML file to a memory, which may be new. Their text is checked.

    Rules are imported as candidates, which no critic is shown: `hmr-align reflect` tests them.

    Example: hmr-align memory import written/memory.toml memory
    """
    from datetime import UTC, datetime

    from tasks.critics.remembering import import_memory

    now = datetime.now(UTC).isoformat(timespec="seconds")
    version, rules, prototypes = import_memory(store, file, now, trust=trust)
    typer.echo(f"{store}, version {version}: {rules} rules and {prototypes} prototypes came in")

"""`hmr-align annotate`: people say which of a group's bodies is better, and why."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.flags import JsonFile, Name, Out, SettingsFile, refuse, settings_of_run
from flows.cli.output import plain, tell_table

if TYPE_CHECKING:
    from critique.annotation.accuracy import Accuracy
    from tasks.annotation.sitting import Annotated as Result


def annotate(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    groups: Annotated[int | None, typer.Option(metavar="N", min=1, help="Most groups that are shown. [40]")] = None,
    show: Annotated[int | None, typer.Option(metavar="2-4", min=2, max=4, help="Bodies at a time. [2]")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", min=0, help="Of order and choice. [0]")] = None,
    gen: Annotated[
        list[str] | None, typer.Option("--gen", metavar="NAME", help="Groups of this round, as round0. [all]")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="Port of the page. [any that is free]")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE.html", help="Write the page as one file to hand on.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option("--import", metavar="ANSWERS.json", help="Take in what such a page exported.")
    ] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Only print how far the critics agree with the answers so far.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Show bodies of a run's groups to people, on a page of this machine, and take who is better and why.

    Groups on which critics disagree come first. Answers become verdicts of critic human@1; Ctrl-C ends it, and says how
    far each critic agrees with them. Twenty answers are enough for a first comparison.

    Example: hmr-align annotate --name default --groups 20
    """
    chosen = settings_of_run(settings, run={"out": out, "name": name})
    how = {"groups": groups, "show": show, "seed": seed, "gen": gen or None, "port": port, "file": file}
    if answers is not None:
        refuse("beside --import", **how, agreement=agreement or None)
    if agreement:
        refuse("beside --agreement", **how)
    if file is not None:
        refuse("beside --file", port=port, json=json_file)
    from tasks.annotation.sitting import bring_in, deck_of, settle, write_file

    if answers is not None:
        tell_agreement(bring_in(chosen, answers), json_file)
        return
    if agreement:
        tell_agreement(settle(chosen), json_file)
        return
    deck = deck_of(chosen, gen or None, show or 2, groups or 40, seed or 0)
    if file is not None:
        typer.echo(f"{write_file(chosen, deck, file)}   ({len(deck.questions)} questions)")
        return

    from flows.server.annotation_server import serve

    def ready(address: str) -> None:
        typer.echo(f"{len(deck.questions)} questions: open {address}   (Ctrl-C ends it; answers are kept as they come)")
        sys.stdout.flush()  # for whoever reads it through a pipe

    tell_agreement(serve(chosen, deck, port or 0, ready), json_file)


def tell_agreement(found: "Result", file: Path | None) -> None:
    """Print what came in, and the agreement of each critic."""
    came = found.imported
    typer.echo(f"{came.answers} answers, {came.skipped} skipped; verdicts of human@1 on {came.groups} groups written")
    if came.strangers:
        typer.echo(f"{came.strangers} answers are about groups that this run does not have, and were left out")
    if not found.agreements:
        typer.echo("No critic has judged what people were shown: run hmr-align critique, then annotate --agreement")
    else:
        heads = ["critic", "agrees with people on", "95 % interval", "answers"]
        tell_table(heads, [_row(one) for one in found.agreements])
    if file is not None:
        from flows.cli.measurements import write_measurements

        rows = []
        for one in found.agreements:
            share = {"metric": f"annotate.agreement.{one.critic}", "value": one.right, "unit": "share of pairs"}
            chance = {"baseline": "chance, 0.5", "ratio": one.right / 0.5, "low": one.low, "high": one.high}
            rows.append({**share, **chance, "answers": one.answers, "pairs": one.pairs})
        write_measurements(file, rows)


def _row(one: "Accuracy") -> tuple[str, ...]:
    right, low, high = (f"{100 * share:.0f}" for share in (one.right, one.low, one.high))
    return plain(one.critic), f"{right} % of pairs", f"{low} to {high} %", str(one.answers)

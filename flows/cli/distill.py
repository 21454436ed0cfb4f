"""`hmr-align distill`: a small judge learned from the stored verdicts of any critic."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.flags import JsonFile, Name, Out, SettingsFile, settings_of_run
from flows.cli.output import tell_measurements
from flows.record.recording import recorded

UNITS = {
    "srcc": "rank correlation with the teacher, on photographs that it did not see",
    "pairs_right": "share of pairs in the teacher's order",
    "pairs_expected": "the same as the judge's own chances say",
    "surprise": "nats per hypothesis of the teacher's rankings",
    "seconds": "s",
    "bytes": "bytes",
}


def distill(
    teacher: Annotated[
        str, typer.Option(metavar="CRITIC", help="A critic that has judged here, as vlm or evidence@4.")
    ],
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A judge that learns on. [from nothing]")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="[<run>/judges/<critic>.safetensors]")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Learn a small judge from a run's stored verdicts of any critic, and say how well it stands in for it.

    It takes seconds, and is measured on photographs that it did not see. Its scores are those of critic 'distilled'.

    Example: hmr-align distill --teacher vlm --name default
    """
    chosen = settings_of_run(settings, run={"out": out, "name": name})
    with recorded():
        from flows.distill_judge import distill_judge

        path, about = distill_judge(
            chosen, teacher, start and start.expanduser().absolute(), file and file.expanduser().absolute()
        )
    from flows.cli.measurements import measured

    rows = [measured(f"distill.{key}", about[key]) | {"unit": unit} for key, unit in UNITS.items()]
    tell_measurements([measured("distill.groups", about["groups"]), *rows], json_file)
    typer.echo(f'{path}. To use it: --critic distilled with [critic] distilled = {{ judge = "{path}" }}')

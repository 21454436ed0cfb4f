"""The flags that several commands share, and how flags and a settings file become `Settings`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tasks.run.settings import Settings

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE.toml", help="Settings; flags win over it.")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Results go to DIR/NAME. [runs]")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run. [default]")]
Images = Annotated[Path | None, typer.Option(metavar="DIR", help="Your photographs. [the embedded studio]")]
Body = Annotated[Path | None, typer.Option(metavar="FILE", help="SMPL_NEUTRAL.pkl or .npz. [the embedded body]")]
Checkpoint = Annotated[
    str | None, typer.Option(metavar="MODEL", help="lab, default or a file. [lab; default with --images]")
]
Critic = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="evidence, scorer, scorenet, vlm, panel, distilled, cascade, reprojection, physics, oracle, shuffled or "
        "noisy. [evidence]",
    ),
]
Record = Annotated[bool, typer.Option("--record", help="Keep a history of the run: start a Prefect server for it.")]
Rounds = Annotated[int | None, typer.Option(metavar="N", help="Rounds of sampling, judging, training. [3]")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of the run. [0]")]
Round = Annotated[int, typer.Option("--round", metavar="N", min=0, help="The policy after N rounds; 0 = the base.")]
Hypotheses = Annotated[int | None, typer.Option(metavar="N", help="Hypotheses in a group. [20]")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the numbers there.")]


def settings_of(path: Path | None, **flags: dict[str, Any]) -> "Settings":
    """The settings file, overridden by the flags. Raises SettingsError if the file or a value cannot be used."""
    from tasks.run.settings import load_settings

    return load_settings(path, flags)


def settings_of_run(path: Path | None, **flags: dict[str, Any]) -> "Settings":
    """The same, but without a settings file it starts from the run's own settings, if the run exists."""
    from tasks.run.settings import Settings, kept_settings, load_settings, validate

    chosen = load_settings(path, flags)
    kept = None if path is not None else kept_settings(chosen.run.folder)
    if kept is None:
        return chosen
    values = kept["settings"]
    for section, keys in flags.items():  # a run of an older version may lack a section
        values[section] = values.get(section, {}) | {key: value for key, value in keys.items() if value is not None}
    return validate(Settings, values, where=str(chosen.run.folder / "settings.json"))


def refuse(where: str, **flags: object) -> None:
    """Raises SettingsError if flags were given that the command would not read."""
    idle = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None]
    if idle:
        from tasks.run.settings import SettingsError

        many = len(idle) > 1
        details = f"{', '.join(idle)} {'have' if many else 'has'} no effect {where}"
        raise SettingsError(f"{details}: leave {'them' if many else 'it'} out")


def number_or_word(text: str | None) -> float | str | None:
    """The value of a flag that takes a number or a word."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text

"""`hmr-align rescore`: stored groups judged by another critic or a new version of one, and what that changes."""

import math
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.flags import Critic, JsonFile, Name, Out, SettingsFile, settings_of_run
from flows.cli.output import plain, tell_measurements, tell_table
from flows.record.recording import recorded

PARTLY = 3  # exit code if some groups could not be judged, or nobody agreed


def rescore(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    critic: Critic = None,
    where: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Groups as GENERATION/ID, for example 'round1/*'. [*]")
    ] = None,
    order: Annotated[str | None, typer.Option(metavar="WHICH", help="First: newest or uncertain. [newest]")] = None,
    groups: Annotated[int | None, typer.Option(metavar="N", help="At most so many groups. [all]")] = None,
    budget: Annotated[float | None, typer.Option(metavar="MONEY", help="At most so much money. [no limit]")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="CRITIC", help="Compare with this one, as evidence@1. [its last version]")
    ] = None,
    controls: Annotated[
        int | None, typer.Option(metavar="N", help="Also judge N labelled people with planted controls. [0]")
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train on both versions' verdicts, and compare on val.")
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="Agreed: do not ask before money or new rules are used.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be judged, at what cost.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Judge a run's stored groups that lack a verdict of this critic's version, and report what it changes.

    Meshes are not drawn again. Before money is spent or a rule used for the first time, it waits until somebody
    presses Resume on the dashboard. Exit code 3: some groups could not be judged, or nobody agreed.

    Example: hmr-align rescore --name default --critic scorer --order uncertain --groups 200
    """
    chosen = settings_of_run(
        settings,
        run={"out": out, "name": name},
        critic={"name": critic},
        rescore={
            "where": where,
            "order": order,
            "groups": groups,
            "budget": budget,
            "against": against,
            "controls": controls,
            "retrain": retrain or None,
            **({"approve_above": "never", "approve_rules": False} if approve else {}),
        },
    )
    if plan:
        from tasks.critics.remembering import newest_memory
        from tasks.rescoring.chosen_groups import choose
        from tasks.run.plan import Plan

        made = Plan(chosen)
        made.gens(None)
        with newest_memory(made.folder, made.memory if chosen.critic.asks_server else None):
            rows = choose(chosen, made.critic_name, made.store).rows()
        tell_table(["what", "value"], [(plain(row["what"]), plain(row["value"])) for row in rows])
        return
    with recorded():
        from flows.rescore import NOT_APPROVED
        from flows.rescore import rescore as run

        state = run(chosen, return_state=True)
        found = state.result()
    numbers = {key: value for key, value in found.items() if math.isfinite(value)}
    from flows.cli.measurements import measured
    from tasks.rescoring.drift_report import PAGE, folder_of
    from tasks.run.plan import Plan

    tell_measurements([measured(f"rescore.{key}", value) for key, value in numbers.items()], json_file)
    page: Path = folder_of(chosen.run.folder, Plan(chosen).critic_name) / PAGE
    if page.exists():
        typer.echo(page)
    if state.name == NOT_APPROVED:
        typer.echo("hmr-align: nobody agreed, so nothing was judged. --approve agrees beforehand", err=True)
    if state.name == NOT_APPROVED or found["failed_groups"]:
        raise typer.Exit(PARTLY)

"""The console script `hmr-align`: flags and a settings file become `Settings`, with which a flow is called.

Slow imports are made inside the command that needs them, so that `--help` answers at once. An exception
that one of our own folders defines is meant for the user: its message alone is printed, with exit code 2. Any
other exception is one line too, with exit code 1; `--debug`, anywhere on the line, shows its traceback.
"""

import atexit
import math
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import flows.cli.protocols as protocols
from flows.cli.annotate import annotate
from flows.cli.bench import bench
from flows.cli.data import data
from flows.cli.distill import distill
from flows.cli.experiment import experiment
from flows.cli.faults import is_ours, take_debug_flag, tell
from flows.cli.flags import (
    Body,
    Checkpoint,
    Critic,
    Hypotheses,
    Images,
    JsonFile,
    Name,
    Out,
    Record,
    Round,
    Rounds,
    Seed,
    SettingsFile,
    number_or_word,
    refuse,
    settings_of,
    settings_of_run,
)
from flows.cli.memory import memory
from flows.cli.output import (
    groups_not_judged,
    plain,
    tell_events,
    tell_measurements,
    tell_results,
    tell_table,
)
from flows.cli.rehearsal import DryRun, Plan, rehearse, tell_forecast
from flows.cli.rescore import rescore
from flows.cli.store import store
from flows.cli.viewer.view import view
from flows.record.recording import recorded, unrecorded

if TYPE_CHECKING:
    from tasks.run.settings import Settings

MISUSE = 2  # exit code for what the user can fix
PARTLY = 3  # exit code of a critique that could judge some groups and not others
FAULT = 1
NO_SERVER = "hmr-align: no Prefect server runs. Start one in another terminal: hmr-align dashboard"
AWAY = "PREFECT_API_URL and PREFECT_API_AUTH_STRING set"

app = typer.Typer(
    name="hmr-align",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
app.add_typer(bench, name="bench")
app.add_typer(data, name="data")
app.add_typer(experiment, name="experiment")
app.add_typer(memory, name="memory")
app.command("protocols")(protocols.list_protocols)
app.command()(annotate)
app.command()(distill)
app.command()(view)
app.add_typer(store, name="store")
app.command()(rescore)


def main() -> None:
    """Run the command line; exceptions become a one-line message and an exit code."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that clean-up runs
    take_debug_flag(sys.argv)
    try:
        app()
    except Exception as error:
        tell(error)
        sys.exit(MISUSE if is_ours(error) else FAULT)


def run() -> NoReturn:
    """The console script: `main`, and then the end of the process.

    The interpreter is not shut down step by step: with torch and the detector loaded that takes up to two seconds, and
    sometimes a library's thread makes it abort after all work is done.
    """
    code: int | str | None = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = FAULT
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    try:  # what Python does at its end: threads, then atexit, then what is still to be written
        getattr(threading, "_shutdown", lambda: None)()
        atexit._run_exitfuncs()
        with suppress(OSError):  # whoever read our output has gone
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else FAULT if code else 0)


@app.callback()
def every_command(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.")] = False,
) -> None:
    """Align a human mesh model to photographs with a critic in the loop.

    Start here: hmr-align align
    """


@app.command()
def align(
    settings: SettingsFile = None,
    images: Images = None,
    out: Out = None,
    name: Name = None,
    critic: Critic = None,
    rounds: Rounds = None,
    checkpoint: Checkpoint = None,
    body: Body = None,
    seed: Seed = None,
    plan: Plan = False,
    dry_run: DryRun = False,
) -> None:
    """The whole job: find people, sample, judge, train, measure, report. A second call resumes it.

    Exit code 3: some groups could not be judged.

    Example: hmr-align align --images photos --out runs --rounds 2
    """
    if plan and dry_run:
        raise typer.BadParameter("--plan and --dry-run are two commands: give one of them")
    chosen = settings_of(
        settings,
        run={"out": out, "name": name, "seed": seed},
        photographs={"folder": images},
        critic={"name": critic},
        align={"rounds": rounds},
        base={"checkpoint": checkpoint, "body": body},
    )
    if plan:
        tell_forecast(chosen)
        return
    if dry_run:
        rehearse(chosen)
        return
    with recorded():
        from flows.align import align as run

        run(chosen)
    tell_results(chosen)
    if groups_not_judged(chosen):
        raise typer.Exit(PARTLY)


@app.command()
def recover(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTOS...", help="Files, folders or quoted patterns.")],
    settings: SettingsFile = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Results go to DIR/NAME. [results]")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="[after the first argument]")] = None,
    pick: Annotated[
        str | None, typer.Option(metavar="HOW", help="The mesh of a group: zero, medoid, critic or mean. [zero]")
    ] = None,
    hypotheses: Hypotheses = None,
    temperature: Annotated[float | None, typer.Option(metavar="TAU", help="1 = the model's own spread. [1]")] = None,
    temperature_spread: Annotated[
        float | None, typer.Option(metavar="F", help="Temperatures from TAU / F to TAU * F in a group. [1]")
    ] = None,
    formats: Annotated[
        str | None, typer.Option("--format", metavar="A,B", help="npz, obj, glb; npz is always written. [npz]")
    ] = None,
    vertices: Annotated[bool, typer.Option("--vertices", help="Put the vertices into the npz too.")] = False,
    refine: Annotated[bool, typer.Option("--refine", help="Fit the picked mesh to the detector's landmarks.")] = False,
    focal: Annotated[
        float | None, typer.Option(metavar="PX", help="Focal length. [EXIF, else the picture's diagonal]")
    ] = None,
    checkpoint: Annotated[str | None, typer.Option(metavar="MODEL", help="default, lab or a file. [default]")] = None,
    body: Body = None,
    seed: Seed = None,
    processes: Annotated[
        int | None, typer.Option(metavar="N", help="Photographs at once. [one a core, up to 4]")
    ] = None,
) -> None:
    """Get the best mesh of each person in your photographs, and its alternatives: arrays, pictures, a table and a page.

    A second call does only what is new or has changed. No server is started.

    Example: hmr-align recover photos --format npz,glb --out results
    """
    chosen = settings_of(
        settings,
        run={"seed": seed},
        photographs={"focal_px": focal},
        base={"checkpoint": checkpoint, "body": body},
        recover={
            "out": out,
            "name": name,
            "pick": pick,
            "hypotheses": hypotheses,
            "temperature": temperature,
            "temperature_spread": temperature_spread,
            "formats": None if formats is None else [word.strip() for word in formats.split(",")],
            "vertices": vertices or None,
            "refine": refine or None,
            "processes": processes,
        },
    )
    from flows.recover import recover as run

    done = run(photos, chosen)
    typer.echo(done.summary())
    typer.echo(done.results / "index.html")


@app.command()
def pretrain(
    which: Annotated[str, typer.Argument(metavar="[lab|default]", help="The base to train.")] = "default",
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    seed: Seed = None,
) -> None:
    """Train a base model on synthetic people; an interrupted training is resumed.

    Example: hmr-align pretrain lab --out runs --name lab-again
    """
    chosen = settings_of(settings, run={"out": out, "name": name, "seed": seed})
    with recorded():
        from flows.pretrain import pretrain as run

        run(chosen, which)


@app.command()
def sample(
    settings: SettingsFile = None,
    images: Images = None,
    out: Out = None,
    name: Name = None,
    checkpoint: Checkpoint = None,
    body: Body = None,
    hypotheses: Hypotheses = None,
    temperature: Annotated[float | None, typer.Option(metavar="TAU", help="1 = the model's own spread. [2]")] = None,
    record: Record = False,
) -> None:
    """Find the people in photographs and sample a group of hypotheses for each.

    Example: hmr-align sample --images photos --hypotheses 20 --temperature 1
    """
    chosen = settings_of(
        settings,
        run={"out": out, "name": name},
        photographs={"folder": images},
        base={"checkpoint": checkpoint, "body": body},
        sample={"hypotheses": hypotheses, "temperature": temperature},
    )
    if record:
        with recorded():
            from flows.stages.sample_groups import sample_groups as run

            run(chosen)
        return
    with unrecorded():
        from flows.stages.find_people import find_people
        from flows.stages.sample_groups import sample_groups

        find_people.fn(chosen)
        sample_groups.fn(chosen, find=False)


@app.command()
def render(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="auto, numba, pyrender or gpu. [auto]")] = None,
    size: Annotated[int | None, typer.Option(metavar="PX", help="Side of an overlay. [512]")] = None,
    groups: Annotated[int | None, typer.Option(metavar="N", help="How many groups. [12]")] = None,
    turntable: Annotated[bool | None, typer.Option("--turntable", help="Also a GIF of each first mesh.")] = None,
    mp4: Annotated[bool | None, typer.Option("--mp4", help="That as an MP4 too; needs the extra `video`.")] = None,
    gen: Annotated[str | None, typer.Option("--of", metavar="NAME", help="Which groups. [the newest]")] = None,
    record: Record = False,
) -> None:
    """Draw the meshes of a run's sampled groups over their photographs.

    Example: hmr-align render --name default --groups 4
    """
    chosen = settings_of_run(
        settings,
        run={"out": out, "name": name},
        overlay={
            "backend": backend,
            "size": size,
            "groups_shown": groups,
            "turntable": turntable,
            "turntable_mp4": mp4,
        },
    )
    if record:
        with recorded():
            from flows.stages.save_pictures import save_pictures

            folder = save_pictures(chosen, gen)
    else:
        with unrecorded():
            from flows.stages.save_pictures import save_pictures

            folder = save_pictures.fn(chosen, gen)
    typer.echo(folder)


@app.command()
def critique(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    critic: Critic = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what it would cost: requests, tokens, money, hours.")
    ] = False,
    controls: Annotated[
        int, typer.Option(metavar="N", min=0, help="Instead judge N labelled people with planted controls.")
    ] = 0,
    retry_abstained: Annotated[
        bool, typer.Option("--retry-abstained", help="Ask again where answers could not be read.")
    ] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Only print what a stored critic's version stands for.")
    ] = None,
    show_request: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Only write what a VLM would be sent about this group.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Judge a run's sampled groups that lack a verdict of this critic.

    Groups that a temporary fault (server, network, rate, truncation) kept from being judged are tried again by the next
    call. Exit code 3: some groups could not be judged, a table says why; 2: none could.

    With --controls, groups hold the truth, near misses and a mesh turned by 180 degrees: how does the critic rank them?

    Example: hmr-align critique --name default --critic vlm --settings mine.toml --plan
    """
    retry = retry_abstained or None
    if plan:
        refuse("beside --plan", controls=controls or None, json=json_file, retry_abstained=retry, explain=explain)
    if explain is not None:
        refuse("beside --explain", controls=controls or None, json=json_file, retry_abstained=retry, critic=critic)
    if controls:
        refuse("beside --controls", retry_abstained=retry)
    if show_request is not None:
        refuse("beside --show-request", plan=plan or None, controls=controls or None, json=json_file,
               retry_abstained=retry, explain=explain)  # fmt: skip
    chosen = settings_of_run(settings, run={"out": out, "name": name}, critic={"name": critic})
    if show_request is not None:
        from tasks.critics.shown_request import show_requests, summary_lines

        typer.echo("\n".join(summary_lines(show_requests(chosen, show_request))))
        return
    if explain is not None:
        from storage.group_store import GroupStore
        from tasks.critics.critic_record import explained

        typer.echo("\n".join(explained(GroupStore(chosen.run.folder / "store"), explain)))
        return
    if plan:
        from tasks.critics.request_plan import request_plan

        planned = request_plan(chosen)
        tell_table(planned.heads, [tuple(map(plain, row)) for row in planned.rows])
        typer.echo("\n".join(planned.notes))
        return
    if controls:
        with recorded():
            from flows.plant_controls import plant_controls

            found = plant_controls(chosen, controls)
        from flows.cli.measurements import measured

        tell_measurements([measured(f"controls.{name}", value) for name, value in found.items()], json_file)
        return
    with recorded():
        from flows.stages.score_groups import score_groups as run

        counts = run(chosen, retry_abstained=retry_abstained)
    from flows.cli.measurements import measured

    tell_measurements([measured(f"critique.{name}", count) for name, count in counts.items()], json_file)
    if counts["failed_groups"]:
        raise typer.Exit(PARTLY)


@app.command()
def reflect(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    checkpoint: Checkpoint = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose labels are read: val, easy_val, lab, broad; people. [val]")
    ] = None,
    memory_store: Annotated[
        Path | None, typer.Option("--memory", metavar="DIR", help="The memory that is added to. [<out>/memory]")
    ] = None,
    seed: Seed = None,
    json_file: JsonFile = None,
) -> None:
    """Let the vlm critic learn from its mistakes on labelled people: rules are proposed, tested, admitted or refused.

    With --split people no label is read: people's answers (hmr-align annotate --show 4) on the run's last groups count.

    Example: hmr-align reflect --settings mine.toml --memory memory --split val
    """
    chosen = settings_of(
        settings,
        run={"out": out, "name": name, "seed": seed},
        base={"checkpoint": checkpoint},
        critic={"name": "vlm"},
        reflect={"split": split, "memory": memory_store},
    )
    with recorded():
        from flows.reflect import reflect as run

        done = run(chosen)
    tell_events(done.events)
    numbers = {metric: value for metric, value in done.numbers.items() if math.isfinite(value)}
    from flows.cli.measurements import measured

    tell_measurements([measured(f"reflection.{metric}", value) for metric, value in numbers.items()], json_file)
    typer.echo(f'{done.memory}, version {done.version}. To use it: [critic] vlm = {{ memory = "{done.memory}", ... }}')


@app.command()
def train(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="studio, stable, paper_eq6, released_dgpo, adhmr_dpo or sft_best_of_g. [studio]"
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Steps. [the preset's]")] = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="X", help="[the preset's]")] = None,
    critic: Critic = None,
    seed: Seed = None,
    round_number: Annotated[
        int | None, typer.Option("--round", metavar="N", min=1, help="Which round, on the groups before it. [1]")
    ] = None,
    groups: Annotated[
        str | None, typer.Option(metavar="NAME", help="Groups of others, as of `data predictions`. [the policy's own]")
    ] = None,
    probe_headroom: Annotated[
        bool,
        typer.Option("--probe-headroom", help="Instead measure what the true labels of wild would gain."),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Fine-tune the model on a run's judged groups, or measure how much there is to gain.

    With --groups it learns from what other models answered (`data predictions --into`), judged by `critique`.

    A round that was trained already is kept: for other settings, choose another run name.

    Example: hmr-align train --name mine --preset paper_eq6 --steps 150
    """
    if probe_headroom:
        own = {"preset": preset, "steps": steps, "learning_rate": learning_rate}
        refuse("beside --probe-headroom, which trains on labels", **own, critic=critic, round=round_number,
               groups=groups)  # fmt: skip
    else:
        refuse("without --probe-headroom", json=json_file)
    chosen = settings_of_run(
        settings,
        run={"out": out, "name": name, "seed": seed},
        train={"preset": preset, "steps": steps, "learning_rate": learning_rate},
        critic={"name": critic},
    )
    with recorded():
        if probe_headroom:
            from flows.probe_headroom import probe_headroom as probe

            tell_measurements(probe(chosen), json_file)
        else:
            from flows.stages.train_policy import train_policy as run

            run(chosen, round_number or 1, groups)


@app.command()
def benchmark(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    checkpoint: Checkpoint = None,
    body: Body = None,
    hypotheses: Hypotheses = None,
    critic: Critic = None,
    round_number: Round = 0,
    split: Annotated[str, typer.Option(metavar="NAME", help="test, val, easy_test or easy_val.")] = "test",
    protocol: protocols.Protocol = None,
    data_file: protocols.Data = None,
    photos: protocols.Photos = None,
    predictions: protocols.Predictions = None,
    kind: protocols.Kind = "npz",
    against: protocols.Against = None,
    bodies: protocols.Bodies = None,
    regressor: protocols.Regressor = None,
    smplx_map: protocols.SmplxMap = None,
    mhr_maps: protocols.MhrMaps = None,
    label: protocols.Label = None,
    audit: protocols.Audit = None,
    json_file: JsonFile = None,
) -> None:
    """Measure a model on the studio's test people: MPJPE, PA-MPJPE and PVE in millimetres.

    With --protocol: on imported records by published rules, beside published numbers. Either predictions of any model
    (--predictions), or a model of ours, which answers itself where --photos says where the pictures are.

    Example: hmr-align benchmark --checkpoint default --json benchmark.json
    """
    given = protocols.Given(
        data_file, predictions, kind, photos, against, bodies, regressor, smplx_map, mhr_maps, label, audit
    )  # fmt: skip

    def settings_of_model() -> "Settings":
        return settings_of_run(
            settings,
            run={"out": out, "name": name},
            base={"checkpoint": checkpoint, "body": body},
            benchmark={"hypotheses": hypotheses},
            critic={"name": critic},
        )

    if protocol is not None and protocols.kind_of_protocol(protocol) != "studio":
        refuse("with --protocol: the body is SMPL_NEUTRAL of --bodies", body=body)
        of_model = {"settings": settings, "name": name, "checkpoint": checkpoint, "hypotheses": hypotheses,
                    "critic": critic, "round": round_number or None}  # fmt: skip
        protocols.benchmark_by_protocol(protocol, given, out, json_file, settings_of_model, of_model, round_number)
        return
    if protocol is None:
        refuse("without --protocol", data=data_file, photos=photos, predictions=predictions or None, against=against,
               bodies=bodies, regressor=regressor, smplx_map=smplx_map, mhr_maps=mhr_maps, label=label,
               audit=audit)  # fmt: skip
    chosen = settings_of_model()
    with recorded():
        from flows.stages.run_benchmark import run_benchmark as run

        rows = run(chosen, round_number, split)
    if protocol is not None:
        typer.echo(protocols.studio_line(protocol, given, next(
            int(row["value"]) for row in rows if row["metric"] == "benchmark.extras.people")))  # fmt: skip
    if chosen.benchmark.protocol == "published":
        typer.echo("Protocol: published. Camera and root depth are the true ones, which gives part of the answer away.")
    tell_measurements(rows, json_file)


@app.command("critic-benchmark")
def critic_benchmark(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    checkpoint: Checkpoint = None,
    body: Body = None,
    hypotheses: Hypotheses = None,
    critic: Critic = None,
    groups: Annotated[str | None, typer.Option(metavar="KIND", help="perturbed or model. [both]")] = None,
    temperature: Annotated[float, typer.Option(metavar="TAU", min=0.001, max=1000, help="Of model groups.")] = 1.0,
    split: Annotated[str, typer.Option(metavar="NAME", help="test, val, easy_test or easy_val.")] = "test",
    ablations: Annotated[bool, typer.Option("--ablations", help="Also without each kind of evidence.")] = False,
    people: Annotated[int | None, typer.Option(metavar="N", min=2, help="Only the first so many. [all]")] = None,
    instances: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="HumanData with SMPL-X bodies. [the embedded studio]")
    ] = None,
    photos: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the file's picture paths start.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="gta_human2 or dna_rendering.")] = None,
    level: Annotated[
        str | None, typer.Option(metavar="X", help="Noise about instances' truth: 1 = as published, or mixed. [1]")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure how well a critic ranks hypotheses of people with known truth: rank correlations, pairs, regret.

    The people are the studio's, or those of a dataset: --instances with --photos and --body SMPLX_NEUTRAL.npz.

    Example: hmr-align critic-benchmark --critic scorer --groups model --json critic.json
    """
    chosen = settings_of_run(
        settings,
        run={"out": out, "name": name},
        base={"checkpoint": checkpoint, "body": body},
        benchmark={"hypotheses": hypotheses},
        critic={"name": critic},
        instances={
            "file": instances,
            "photos": photos,
            "dataset": dataset,
            "level": number_or_word(level),
            "hypotheses": hypotheses,
        },
    )
    with recorded():
        from flows.critic_benchmark import critic_benchmark as run

        rows = run(chosen, groups, split, temperature, ablations, people)
    tell_measurements(rows, json_file)


@app.command()
def report(settings: SettingsFile = None, out: Out = None, name: Name = None) -> None:
    """Write report.html and summary.json of a run again from what it stored.

    Example: hmr-align report --name default
    """
    chosen = settings_of_run(settings, run={"out": out, "name": name})
    with unrecorded():
        from flows.stages.write_report import write_report

        write_report.fn(chosen)
    tell_results(chosen)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="ScoreHypo's or ADHMR's .pth, or our .safetensors.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="OUT.safetensors for ours, OUT.pth for theirs.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Of a .pth: the raw weights instead of their moving averages.")
    ] = False,
) -> None:
    """Turn an official checkpoint into our format, or one of ours back into the official layout.

    Example: hmr-align convert best_pw3d.pth scorehypo.safetensors
    """
    from hmr.models.conversion import convert as run

    typer.echo(run(source, target, use_ema=not raw))


@app.command()
def dashboard(
    port: Annotated[int | None, typer.Option(metavar="N", min=1, max=65535, help="[4200, or a free one]")] = None,
) -> None:
    """Keep the Prefect server, with the history of all runs, running until Ctrl-C.

    Example: hmr-align dashboard --port 4300
    """
    from flows.server.guarded_server import ENTER
    from flows.server.server import prefect_server, server_home
    from flows.server.server_key import server_key

    with prefect_server(port) as server:
        if server.pid:
            key = server_key(server_home())
            typer.echo(f"Dashboard: {server.url}{ENTER}#{key}   (history in {server_home()}; Ctrl-C ends it)")
            typer.echo(f"The address logs your browser in; where {server.url} asks for a password, it is {key}")
        else:
            typer.echo(f"Dashboard: {server.url}   (the server that PREFECT_API_URL names)")
        try:
            signal.pause()
        except KeyboardInterrupt:
            typer.echo("")


@app.command()
def deploy(
    settings: SettingsFile = None,
    out: Out = None,
    diff: Annotated[bool, typer.Option("--diff", help="Only say what would change.")] = False,
) -> None:
    """Set up work pools, limits, deployments, schedules and triggers on the running server; safe to repeat.

    Exit code 2: no server is running.

    Example: hmr-align deploy --settings mine.toml --out /data/runs
    """
    chosen = settings_of(settings, run={"out": out})
    from flows.server.prefect_settings import load_prefect
    from flows.server.server import find_server, recording_into, shell_variables

    server = find_server()
    if server is None:
        typer.echo(NO_SERVER, err=True)
        raise typer.Exit(MISUSE)
    with recording_into(server):
        load_prefect()
        from flows.server.set_up import deploy as set_up
        from flows.server.set_up import planned

        changes = planned(chosen) if diff else set_up(chosen)
    typer.echo("\n".join(changes) if changes else "nothing to change")
    if diff:
        return
    typer.echo(f"Start a worker:      hmr-align worker     (here; elsewhere with {AWAY})")
    typer.echo("One for each GPU:    hmr-align worker --gpu 0")
    typer.echo(f"Start a run:         {shell_variables(server)} prefect deployment run align/on-demand")


@app.command()
def worker(
    gpu: Annotated[
        str | None, typer.Option(metavar="N", help="Serve the GPU pool with this CUDA device. [the pool of CPUs]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Runs at a time. [with --gpu 1, else any]")
    ] = None,
) -> None:
    """Do the runs of deployments, until Ctrl-C or SIGTERM: then runs in hand end within seconds and say so.

    Exit code 2: no server is running. 128 + n: ended by signal n.

    Example: hmr-align worker --gpu 0
    """
    from flows.server.deployments import GPU_POOL, POOL
    from flows.server.server import find_server
    from flows.server.worker import serve_pool

    server = find_server()
    if server is None:
        typer.echo(NO_SERVER, err=True)
        raise typer.Exit(MISUSE)
    code = serve_pool(server, POOL if gpu is None else GPU_POOL, gpu, limit if gpu is None else limit or 1)
    raise typer.Exit(code)


@app.command()
def doctor(
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    free: Annotated[bool, typer.Option("--free", help="Mark runs of killed processes Crashed.")] = False,
) -> None:
    """Say what was found on this machine, and how to fix what is missing.

    Exit code 1: something that the main job needs is missing.

    Example: hmr-align doctor --settings mine.toml
    """
    chosen = settings_of(settings)
    from flows.cli.doctor import examine, free_runs
    from flows.server.server import find_server

    server = find_server() if free else None
    if server:
        typer.echo("\n".join(f"freed {name} ({run})" for run, name in free_runs(server).items()), err=True)
    findings = examine(chosen)
    ok = all(finding.state != "missing" for finding in findings)
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        marks = {"ok": "[green]ok[/]", "optional": "[yellow]-[/]", "missing": "[red]missing[/]"}
        tell_table(
            ["", "what", "found", "mend"],
            [(marks[f.state], f.name, plain(f.found), plain(f.fix)) for f in findings],
        )
    raise typer.Exit(0 if ok else 1)


@app.command("loopback-vlm")
def loopback_vlm(
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 = a free one.")] = 8765,
    seconds: Annotated[float, typer.Option(metavar="S", min=0, help="That an answer takes.")] = 0.0,
    bias: Annotated[float, typer.Option(metavar="POINTS", help="For the picture shown first.")] = 0.0,
    noise: Annotated[float, typer.Option(metavar="POINTS", min=0, help="Standard deviation of the scores.")] = 0.0,
    rude: Annotated[float, typer.Option(metavar="SHARE", min=0, max=1, help="Of answers that are bad.")] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of noise and rudeness.")] = 0,
    blind: Annotated[bool, typer.Option("--blind", help="Look at no picture: scores 90, 80, 70, ...")] = False,
    overlook_feet: Annotated[
        bool, typer.Option("--overlook-feet", help="Look above the feet alone, until a rule tells it to.")
    ] = False,
) -> None:
    """A test double of a VLM for dry runs: scores by silhouette and edges, on this machine alone. No model.

    Example: hmr-align loopback-vlm --port 8765 --noise 5 --rude 0.1
    """
    from critique.endpoint.loopback import JudgingStyle, LoopbackVlm, agreement, good, slow
    from critique.endpoint.loopback_auditor import Auditing, overlooking_feet

    look = overlooking_feet(agreement) if overlook_feet else agreement
    style = JudgingStyle(look=look, bias=bias, noise=noise, seconds=seconds, rude=rude, seed=seed)
    script = [slow(seconds, good())] if blind else Auditing(style)
    with LoopbackVlm(script, port=port, keep=False, batches=True) as server:
        typer.echo(f"OPENAI_BASE_URL={server.base_url}")
        typer.echo("OPENAI_API_KEY=any model=loopback   (a test double; Ctrl-C ends it)")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            typer.echo("")


if __name__ == "__main__":
    run()

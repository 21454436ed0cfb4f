"""The console script `hmr-align`: flags and a settings file become `Settings`, and a flow does it.

Everything heavy is imported inside the command that needs it, so that `--help` answers at once. An exception
that one of our own folders defines is meant for the user: its message alone is printed, with exit code 2. Any
other exception is a fault of ours and keeps its traceback.
"""

import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tasks.settings import Settings

FOLDERS = ("flows", "tasks", "hmr", "critique", "storage")
MISUSE = 2  # exit code for what the user can mend

app = typer.Typer(
    name="hmr-align",
    help="Align a human mesh model to photographs with a critic in the loop.\n\nStart here: hmr-align align",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
bench = typer.Typer(help="Measure the speed of a part.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(bench, name="bench")
experiment = typer.Typer(help="Run a study of several runs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(experiment, name="experiment")
memory = typer.Typer(
    help="Look into a critic's memory, write it out, bring rules in.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(memory, name="memory")

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE.toml", help="Settings; flags win over it.")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Results go to DIR/NAME. [runs]")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run. [default]")]
Images = Annotated[Path | None, typer.Option(metavar="DIR", help="Your photographs. [the embedded studio]")]
Body = Annotated[
    Path | None, typer.Option(metavar="FILE", help="SMPL_NEUTRAL.pkl or .npz. [the embedded body]")
]
Checkpoint = Annotated[
    str | None, typer.Option(metavar="MODEL", help="lab, default or a file. [lab; default with --images]")
]
Critic = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="evidence, scorer, scorenet, vlm, panel, reprojection, physics, oracle or shuffled. [evidence]",
    ),
]
Rounds = Annotated[int | None, typer.Option(metavar="N", help="Rounds of sampling, judging, training. [3]")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of the run. [0]")]
MemoryStore = Annotated[Path, typer.Argument(metavar="DIR", help="The memory.")]
Round = Annotated[
    int, typer.Option("--round", metavar="N", min=0, help="The policy after N rounds; 0 = the base.")
]
Hypotheses = Annotated[int | None, typer.Option(metavar="N", help="Hypotheses in a group. [20]")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the numbers there.")
]


def main() -> None:
    """Run the command line; our own exceptions become their message."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that clean-up runs
    try:
        app()
    except Exception as error:
        if type(error).__module__.split(".")[0] not in FOLDERS:
            raise
        typer.echo(f"hmr-align: {error}", err=True)
        sys.exit(MISUSE)


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
) -> None:
    """The whole job: find people, sample, judge, train, measure, report. A second call resumes it.

    Example: hmr-align align --images photos --out runs --rounds 2
    """
    chosen = _settings(
        settings,
        run={"out": out, "name": name, "seed": seed},
        photographs={"folder": images},
        critic={"name": critic},
        align={"rounds": rounds},
        base={"checkpoint": checkpoint, "body": body},
    )
    with _recorded():
        from flows.align import align as run

        run(chosen)
    _tell_results(chosen)


@app.command()
def pretrain(
    which: Annotated[str, typer.Argument(metavar="[lab|default]", help="The base to train.")] = "default",
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    seed: Seed = None,
) -> None:
    """Train a base model on synthetic people, resuming where it was stopped.

    Example: hmr-align pretrain lab --out runs --name lab-again
    """
    chosen = _settings(settings, run={"out": out, "name": name, "seed": seed})
    with _recorded():
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
    temperature: Annotated[
        float | None, typer.Option(metavar="TAU", help="1 = the model's own spread. [4]")
    ] = None,
) -> None:
    """Find the people in photographs and draw a group of hypotheses for each.

    Example: hmr-align sample --images photos --hypotheses 20 --temperature 1
    """
    chosen = _settings(
        settings,
        run={"out": out, "name": name},
        photographs={"folder": images},
        base={"checkpoint": checkpoint, "body": body},
        sample={"hypotheses": hypotheses, "temperature": temperature},
    )
    with _recorded():
        from flows.sample_groups import sample_groups as run

        run(chosen)


@app.command()
def render(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, numba or pyrender. [auto]")
    ] = None,
    size: Annotated[int | None, typer.Option(metavar="PX", help="Side of an overlay. [512]")] = None,
    groups: Annotated[int | None, typer.Option(metavar="N", help="How many groups. [12]")] = None,
) -> None:
    """Draw the meshes of a run's sampled groups over their photographs.

    Example: hmr-align render --name default --groups 4
    """
    chosen = _settings_of_run(
        settings,
        run={"out": out, "name": name},
        overlay={"backend": backend, "size": size, "groups_shown": groups},
    )
    with _recorded():
        from flows.draw_groups import draw_groups as run

        run(chosen)


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
    json_file: JsonFile = None,
) -> None:
    """Judge a run's sampled groups that lack a verdict of this critic.

    With --controls, groups hold the truth, near misses and a mesh that is turned round: who wins, who loses?

    Example: hmr-align critique --name default --critic vlm --settings mine.toml --plan
    """
    if plan:
        _refuse("beside --plan", controls=controls or None, json=json_file)
    chosen = _settings_of_run(settings, run={"out": out, "name": name}, critic={"name": critic})
    if plan:
        from tasks.request_plan import request_plan

        planned = request_plan(chosen)
        _tell_table(planned.heads, [tuple(map(_plain, row)) for row in planned.rows])
        typer.echo("\n".join(planned.notes))
        return
    if controls:
        with _recorded():
            from flows.plant_controls import plant_controls

            found = plant_controls(chosen, controls)
        _tell_measurements([_measured(f"controls.{name}", value) for name, value in found.items()], json_file)
        return
    with _recorded():
        from flows.score_groups import score_groups as run

        counts = run(chosen)
    _tell_measurements([_measured(f"critique.{name}", count) for name, count in counts.items()], json_file)


@app.command()
def reflect(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    checkpoint: Checkpoint = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose labels are read: val, easy_val, lab, broad. [val]")
    ] = None,
    memory_store: Annotated[
        Path | None, typer.Option("--memory", metavar="DIR", help="The memory that is added to. [<out>/memory]")
    ] = None,
    seed: Seed = None,
    json_file: JsonFile = None,
) -> None:
    """Let the vlm critic learn from its mistakes on labelled people: rules are proposed, tested, admitted or refused.

    Example: hmr-align reflect --settings mine.toml --memory memory --split val
    """
    chosen = _settings(
        settings,
        run={"out": out, "name": name, "seed": seed},
        base={"checkpoint": checkpoint},
        critic={"name": "vlm"},
        reflect={"split": split, "memory": memory_store},
    )
    with _recorded():
        from flows.reflect import reflect as run

        done = run(chosen)
    _tell_events(done.events)
    numbers = {metric: value for metric, value in done.numbers.items() if math.isfinite(value)}
    _tell_measurements([_measured(f"reflection.{metric}", value) for metric, value in numbers.items()], json_file)
    typer.echo(f'{done.memory}, version {done.version}. To use it: [critic] vlm = {{ memory = "{done.memory}", ... }}')


@memory.command("show")
def memory_show(
    store: MemoryStore,
    version: Annotated[str | None, typer.Option(metavar="N", help="[the newest]")] = None,
    ledger: Annotated[bool, typer.Option("--ledger", help="What became of every rule, and on what evidence.")] = False,
) -> None:
    """List the rules of a memory: how they fared, what they gained on held-out groups, where they came from.

    Example: hmr-align memory show memory --ledger
    """
    from tasks.remembering import load_memory

    kept = load_memory(store, version=version)
    _tell_table(
        ["rule", "state", "shown", "right", "lift", "tags", "text", "origin"],
        [
            (
                rule.id,
                rule.state,
                str(rule.uses),
                str(rule.successes),
                "" if rule.lift is None else f"{rule.lift:+.3f}",
                ", ".join(rule.tags),
                _plain(rule.text),
                _plain(rule.origin),
            )
            for rule in kept.rules
        ],
    )
    typer.echo(f"{len(kept.prototypes)} prototypes, placed by {kept.embedder or 'nothing'}")
    if ledger:
        _tell_events([event.model_dump() for event in kept.events])


@memory.command("export")
def memory_export(
    store: MemoryStore,
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for memory.toml and pictures.")],
) -> None:
    """Write a memory as TOML that people can read and edit, and its pictures.

    Example: hmr-align memory export memory written
    """
    from tasks.remembering import export_memory

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

    Rules come in as candidates, which no critic is shown: `hmr-align reflect` tests them.

    Example: hmr-align memory import written/memory.toml memory
    """
    from datetime import UTC, datetime

    from tasks.remembering import import_memory

    now = datetime.now(UTC).isoformat(timespec="seconds")
    version, rules, prototypes = import_memory(store, file, now, trust=trust)
    typer.echo(f"{store}, version {version}: {rules} rules and {prototypes} prototypes came in")


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
    probe_headroom: Annotated[
        bool,
        typer.Option("--probe-headroom", help="Instead measure what the true labels of wild would gain."),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Fine-tune the model on a run's judged groups, or measure how much there is to gain.

    A round that was trained already is kept: with other settings, choose a run of another name.

    Example: hmr-align train --name mine --preset paper_eq6 --steps 150
    """
    if probe_headroom:
        own = {"preset": preset, "steps": steps, "learning_rate": learning_rate}
        _refuse("beside --probe-headroom, which trains on labels", **own, critic=critic, round=round_number)
    else:
        _refuse("without --probe-headroom", json=json_file)
    chosen = _settings_of_run(
        settings,
        run={"out": out, "name": name, "seed": seed},
        train={"preset": preset, "steps": steps, "learning_rate": learning_rate},
        critic={"name": critic},
    )
    with _recorded():
        if probe_headroom:
            from flows.train_policy import probe_headroom as probe

            _tell_measurements(probe(chosen), json_file)
        else:
            from flows.train_policy import train_policy as run

            run(chosen, round_number or 1)


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
    json_file: JsonFile = None,
) -> None:
    """Measure a model on the studio's test people: MPJPE, PA-MPJPE and PVE in millimetres.

    Example: hmr-align benchmark --checkpoint default --json benchmark.json
    """
    chosen = _settings_of_run(
        settings,
        run={"out": out, "name": name},
        base={"checkpoint": checkpoint, "body": body},
        benchmark={"hypotheses": hypotheses},
        critic={"name": critic},
    )
    with _recorded():
        from flows.run_benchmark import run_benchmark as run

        errors = run(chosen, round_number, split)
    protocol = chosen.benchmark.protocol
    if protocol == "published":
        typer.echo("Protocol: published. Camera and root depth are the true ones, which gives part of the answer away.")
    rows = [
        {**_measured(f"benchmark.{estimate}.{metric}", value), "protocol": protocol}
        for estimate, metrics in errors.items()
        for metric, value in metrics.items()
    ]
    _tell_measurements(rows, json_file)


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
    temperature: Annotated[float, typer.Option(metavar="TAU", help="Of model groups.")] = 1.0,
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
    chosen = _settings_of_run(
        settings,
        run={"out": out, "name": name},
        base={"checkpoint": checkpoint, "body": body},
        benchmark={"hypotheses": hypotheses},
        critic={"name": critic},
        instances={
            "file": instances,
            "photos": photos,
            "dataset": dataset,
            "level": _number(level),
            "hypotheses": hypotheses,
        },
    )
    with _recorded():
        from flows.critic_benchmark import critic_benchmark as run

        rows = run(chosen, groups, split, temperature, ablations, people)
    _tell_measurements(rows, json_file)


@app.command()
def report(settings: SettingsFile = None, out: Out = None, name: Name = None) -> None:
    """Write report.html and summary.json of a run again from what it stored.

    Example: hmr-align report --name default
    """
    chosen = _settings_of_run(settings, run={"out": out, "name": name})
    from flows.write_report import write_report

    write_report(chosen)
    _tell_results(chosen)


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
    from hmr.published.checkpoint import convert as run

    typer.echo(run(source, target, use_ema=not raw))


@app.command()
def dashboard(
    port: Annotated[int | None, typer.Option(metavar="N", help="[4200, or a free one]")] = None,
) -> None:
    """Keep the Prefect server with the history of all runs up until Ctrl-C.

    Example: hmr-align dashboard --port 4300
    """
    from flows.server import prefect_server, server_home

    with prefect_server(port) as server:
        typer.echo(f"Dashboard: {server.url}   (history in {server_home()}; Ctrl-C ends it)")
        try:
            signal.pause()
        except KeyboardInterrupt:
            typer.echo("")


@app.command()
def deploy(settings: SettingsFile = None, out: Out = None) -> None:
    """Set up work pool, deployments and automation on the running server; safe to repeat.

    Example: hmr-align deploy --settings mine.toml --out /data/runs
    """
    chosen = _settings(settings, run={"out": out})
    from flows.deployments import POOL
    from flows.deployments import deploy as set_up
    from flows.server import client_environment, find_server, recording_into

    server = find_server()
    if server is None:
        typer.echo(
            "hmr-align: no Prefect server runs. Start one in another terminal: hmr-align dashboard", err=True
        )
        raise typer.Exit(MISUSE)
    with recording_into(server):
        names = set_up(chosen)
    typer.echo("\n".join(f"deployed {name}" for name in names))
    variables = " ".join(f"{key}={value}" for key, value in client_environment(server).items())
    typer.echo(f"Start a worker:  {variables} prefect worker start --pool {POOL}")
    typer.echo(f"Start a run:     {variables} prefect deployment run {names[0]}")


@app.command()
def doctor(
    settings: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    free: Annotated[bool, typer.Option("--free", help="Mark runs of killed processes Crashed.")] = False,
) -> None:
    """Say what was found on this machine, and the mend for what is missing.

    Example: hmr-align doctor --settings mine.toml
    """
    chosen = _settings(settings)
    from flows.doctor import examine, free_runs
    from flows.server import find_server

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
        _tell_table(
            ["", "what", "found", "mend"],
            [(marks[f.state], f.name, _plain(f.found), _plain(f.mend)) for f in findings],
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
    from critique.loopback import LoopbackVlm, Manner, agreement, good, slow
    from critique.loopback_auditor import Auditing, overlooking_feet

    look = overlooking_feet(agreement) if overlook_feet else agreement
    manner = Manner(look=look, bias=bias, noise=noise, seconds=seconds, rude=rude, seed=seed)
    script = [slow(seconds, good())] if blind else Auditing(manner)
    with LoopbackVlm(script, port=port, keep=False, batches=True) as server:
        typer.echo(f"OPENAI_BASE_URL={server.base_url}")
        typer.echo("OPENAI_API_KEY=any model=loopback   (a test double; Ctrl-C ends it)")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            typer.echo("")


@bench.command("render")
def bench_render(
    size: Annotated[int, typer.Option(metavar="PX", help="Side of a picture.")] = 512,
    body: Body = None,
    json_file: JsonFile = None,
) -> None:
    """Overlays per second of each back end, against pyrender used naively.

    Example: hmr-align bench render --json render.json
    """
    import numpy as np

    from hmr.body import load_body
    from hmr.render_benchmark import measure_renderers

    model = load_body(body)
    upright = model.template * np.array([1, -1, -1], dtype=np.float32)  # y down, as the camera has it
    _tell_measurements(measure_renderers(upright, model.faces, size=size), json_file)


@bench.command("sampler")
def bench_sampler(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 7,
    json_file: JsonFile = None,
) -> None:
    """Images per second of the published network's sampler, against the same network written plainly.

    Example: hmr-align bench sampler --json sampler.json
    """
    from hmr.sampler_benchmark import measure_sampler

    _tell_measurements(measure_sampler(rounds=rounds), json_file)


@bench.command("critic")
def bench_critic(
    seconds: Annotated[float, typer.Option(metavar="S", min=0.001, help="That the server takes for an answer.")] = 0.3,
    in_flight: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Requests under way at a time.")] = 32,
    groups: Annotated[int, typer.Option(metavar="N", min=64, help="Groups to judge.")] = 2000,
    json_file: JsonFile = None,
) -> None:
    """Rate of the VLM client against the ideal of a slow loopback server, and its memory over many groups.

    Example: hmr-align bench critic --groups 10000 --json critic.json
    """
    from tasks.client_benchmark import measure_client

    _tell_measurements(measure_client(seconds, in_flight, groups), json_file)


@bench.command("train")
def bench_train(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of each kind; their median counts.")] = 40,
    json_file: JsonFile = None,
) -> None:
    """Speed of a training step with and without the reference, share of loading, memory over a large store.

    Example: hmr-align bench train --json train.json
    """
    from hmr.train_benchmark import measure_device, measure_reference
    from tasks.train_benchmark import measure_streaming

    _tell_measurements([*measure_reference(rounds=rounds), *measure_streaming(), *measure_device()], json_file)


@experiment.command("alignment")
def experiment_alignment(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Seeds of each critic.")] = 3,
    critics: Annotated[str, typer.Option(metavar="A,B", help="Critics.")] = "evidence,oracle,shuffled",
    json_file: JsonFile = None,
) -> None:
    """The same alignment with several critics and seeds: what the critic adds, and what luck does.

    Example: hmr-align experiment alignment --name study --seeds 3 --json alignment.json
    """
    chosen = _settings(settings, run={"out": out, "name": name})
    with _recorded():
        from flows.experiment import alignment

        rows = alignment(chosen, seeds, tuple(critics.split(",")))
    _tell_measurements(rows, json_file)


@experiment.command("sampler")
def experiment_sampler(
    settings: SettingsFile = None, hypotheses: Hypotheses = None, json_file: JsonFile = None
) -> None:
    """What more calls, the second-order solver, fresh noise and keypoint guidance do, on val with both bases.

    Example: hmr-align experiment sampler --json sampler_val.json
    """
    chosen = _settings(settings, benchmark={"hypotheses": hypotheses})
    with _recorded():
        from flows.experiment import sampler

        rows = sampler(chosen)
    _tell_measurements(rows, json_file)


@experiment.command("rounds")
def experiment_rounds(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Seeds of each arm.")] = 3,
    arms: Annotated[
        str | None, typer.Option(metavar="A,B", help="These arms (or parts) alone. [group,dpo,scorer,oracle,shuffled]")
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Instead: change one thing at a time, one seed, on val.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Rounds of group preference against DPO, other critics and shuffled scores, as shares of the headroom, on test.

    Example: hmr-align experiment rounds --name rounds --seeds 3 --json rounds.json
    """
    chosen = _settings(settings, run={"out": out, "name": name})
    with _recorded():
        from flows.experiment_rounds import ARMS, rounds, rounds_parts

        named = tuple(arms.split(",")) if arms else None
        rows = rounds_parts(chosen, named) if parts else rounds(chosen, seeds, named or tuple(ARMS))
    _tell_measurements(rows, json_file)


def _settings(path: Path | None, **flags: dict[str, Any]) -> "Settings":
    """The settings file with the flags laid over it."""
    from tasks.settings import load_settings

    return load_settings(path, flags)


def _settings_of_run(path: Path | None, **flags: dict[str, Any]) -> "Settings":
    """The same, but without a file the run's own settings come first, where it has been started already."""
    import json

    from tasks.settings import Settings, load_settings, validate

    chosen = load_settings(path, flags)
    kept = chosen.run.folder / "settings.json"
    if path is not None or not kept.exists():
        return chosen
    values = json.loads(kept.read_text())["settings"]
    for section, keys in flags.items():  # a run of an older version may lack a section
        values[section] = values.get(section, {}) | {key: value for key, value in keys.items() if value is not None}
    return validate(Settings, values, where=str(kept))


def _refuse(where: str, **flags: object) -> None:
    """Refuse flags that were given and that the command would not read."""
    idle = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None]
    if idle:
        from tasks.settings import SettingsError

        many = len(idle) > 1
        told = f"{', '.join(idle)} {'have' if many else 'has'} no effect {where}"
        raise SettingsError(f"{told}: leave {'them' if many else 'it'} out")


def _number(text: str | None) -> float | str | None:
    """A flag that takes a number or a word."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


@contextmanager
def _recorded() -> Iterator[None]:
    """Flows called inside are recorded by the running server, or by one started for them."""
    from flows.server import prefect_server

    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")  # the bars say how far it is
    with prefect_server() as server:
        from prefect import tags

        from flows.console import keep_faults_to_one_line, send_logs
        from flows.deployments import TAG

        typer.echo(f"Dashboard: {server.url}", err=True)
        keep_faults_to_one_line(FOLDERS)
        try:
            with tags(TAG):
                yield
        finally:
            send_logs()


def _measured(metric: str, value: float) -> dict[str, Any]:
    """A number on its own, with the unit that its name ends in."""
    units = {"mm": "mm", "px": "px", "percent": "%"}
    unit = units.get(metric.rpartition("_")[2], "")
    return {"metric": metric, "value": value, "unit": unit, "baseline": None, "ratio": None}


def _tell_events(events: list[dict[str, Any]]) -> None:
    """The ledger of a memory."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:+.3f}"

    heads = ["date", "what", "lift", "at least", "groups", "text", "detail"]
    rows = [
        (
            event.get("time", "")[:10],
            event["what"],
            number(event.get("lift")),
            number(event.get("low")),
            str(event.get("groups") or ""),
            _plain(event.get("text", "")),
            _plain(event.get("detail", "")),
        )
        for event in events
    ]
    _tell_table(heads, rows)


def _tell_results(settings: "Settings") -> None:
    summary = settings.run.folder / "summary.json"
    if summary.exists():
        import json

        from tasks.report_tables import benchmark_rows

        rows = benchmark_rows(json.loads(summary.read_text()))
        _tell_table(list(rows[0]), [tuple(_plain(value) for value in row.values()) for row in rows])
    for name in ("report.html", "summary.json"):
        if (file := settings.run.folder / name).exists():
            typer.echo(file)


def _tell_measurements(results: list[dict[str, Any]], file: Path | None) -> None:
    """Print measured numbers as a table, and write them where `--json` says."""
    rows = [
        (
            _plain(one["metric"]),
            f"{one['value']:.4g} {one['unit']}",
            _plain(one["baseline"] or ""),
            f"{one['ratio']:.3g}x" if one["ratio"] is not None else "",
        )
        for one in results
    ]
    _tell_table(["metric", "value", "compared with", "ratio"], rows)
    if file:
        from flows.measurements import write_measurements

        write_measurements(file, results)


def _tell_table(heads: list[str], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _plain(text: object) -> str:
    """Text that rich shows as it is."""
    from rich.markup import escape

    return escape(str(text))


if __name__ == "__main__":
    main()

"""`hmr-align bench`: the speed of a part, as ratios in one run."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.flags import Body, JsonFile
from flows.cli.output import tell_measurements

DRAWN = 24  # pictures of one person that are searched quickly and thoroughly

bench = typer.Typer(help="Measure the speed of a part.", no_args_is_help=True, rich_markup_mode=None)


@bench.command("render")
def bench_render(
    size: Annotated[int, typer.Option(metavar="PX", min=16, max=4096, help="Side of a picture.")] = 512,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 7,
    views: Annotated[int, typer.Option(metavar="N", min=4, help="Pictures held against pyrender's.")] = 500,
    body: Body = None,
    json_file: JsonFile = None,
) -> None:
    """Overlays per second against pyrender used naively and carefully; agreement with it in pixels and depth.

    Example: hmr-align bench render --json render.json
    """
    from flows.cli.measuring.render_bench import measure_render

    tell_measurements(measure_render(size, body, rounds=rounds, views=views), json_file)


@bench.command("bodies")
def bench_bodies(
    hypotheses: Annotated[int, typer.Option(metavar="N", min=1, help="Hypotheses of a person.")] = 20,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 7,
    body: Body = None,
    json_file: JsonFile = None,
) -> None:
    """Posed bodies per second, complete and as joints and keypoints alone, against smplx.

    Example: hmr-align bench bodies --json bodies.json
    """
    from hmr.body.body_benchmark import measure_bodies

    tell_measurements(measure_bodies(body, hypotheses=hypotheses, rounds=rounds), json_file)


@bench.command("view")
def bench_view(
    groups: Annotated[int, typer.Option(metavar="N", min=100, help="Groups of the made-up run.")] = 10_000,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the made-up run there for another time.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """The viewer and the report in a real browser: first page, filter, memory, size, groups written a second.

    Example: hmr-align bench view --json view.json
    """
    from flows.cli.viewer.report_benchmark import measure_report
    from flows.cli.viewer.view_benchmark import measure_viewer

    tell_measurements([*measure_viewer(groups, folder), *measure_report()], json_file)


@bench.command("sampler")
def bench_sampler(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 7,
    json_file: JsonFile = None,
) -> None:
    """Images per second of the published network's sampler, against the same network written plainly.

    Example: hmr-align bench sampler --json sampler.json
    """
    from hmr.published.sampler_benchmark import measure_sampler

    tell_measurements(measure_sampler(rounds=rounds), json_file)


@bench.command("critic")
def bench_critic(
    seconds: Annotated[
        list[float] | None,
        typer.Option(metavar="S", min=0.001, help="That the server takes for an answer; may be repeated. [0.3 and 5]"),
    ] = None,
    in_flight: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Requests under way at a time.")] = 32,
    groups: Annotated[int, typer.Option(metavar="N", min=12, help="Groups to judge in each way.")] = 96,
    processes: Annotated[int, typer.Option(metavar="N", min=1, help="Processes that make pictures.")] = 2,
    json_file: JsonFile = None,
) -> None:
    """Groups per second of the VLM client, 20 overlays of 512 px each, against a slow server and the cores' limit.

    Example: hmr-align bench critic --seconds 0.3 --seconds 5 --json critic.json
    """
    from tasks.benchmarks.client_benchmark import measure_client

    tell_measurements(measure_client(seconds or (0.3, 5.0), in_flight, groups, processes), json_file)


@bench.command("train")
def bench_train(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of each kind; their median counts.")] = 40,
    json_file: JsonFile = None,
) -> None:
    """Speed of a training step with and without the reference, where its time goes, memory over a large store.

    Example: hmr-align bench train --json train.json
    """
    from hmr.alignment.train_benchmark import measure_device, measure_reference, measure_step
    from tasks.benchmarks.train_benchmark import measure_streaming

    rows = [*measure_reference(rounds=rounds), *measure_step(rounds=rounds), *measure_streaming(), *measure_device()]
    tell_measurements(rows, json_file)


@bench.command("metrics")
def bench_metrics(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 5,
    share: Annotated[float, typer.Option(metavar="X", min=0.0001, max=1, help="Of the whole benchmark to run.")] = 0.1,
    json_file: JsonFile = None,
) -> None:
    """Speed of PA-MPJPE against a loop over samples; time and memory of 3DPW's test people at M = 100.

    Example: hmr-align bench metrics --json metrics.json
    """
    from hmr.metrics.metrics_benchmark import measure_metrics

    tell_measurements(measure_metrics(rounds=rounds, share=share), json_file)


@bench.command("import")
def bench_import(
    records: Annotated[int, typer.Option(metavar="N", min=1000, help="In the file.")] = 100_000,
    json_file: JsonFile = None,
) -> None:
    """Records a second of `data import` from a HumanData file that is made up before, and whether memory grows.

    Example: hmr-align bench import --json import.json
    """
    from tasks.benchmarks.import_benchmark import measure_import

    tell_measurements(measure_import(records), json_file)


@bench.command("startup")
def bench_startup(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Seconds until commands on one photograph are done, and what takes them.

    Example: hmr-align bench startup --json startup.json
    """
    from flows.cli.measuring.startup_benchmark import measure_startup

    tell_measurements(measure_startup(rounds), json_file)


@bench.command("pipeline")
def bench_pipeline(
    photographs: Annotated[int, typer.Option(metavar="N", min=2, help="Drawn photographs.")] = 192,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Photographs a second from file to verdict, through Prefect and without it, in one process and in two.

    Example: hmr-align bench pipeline --json pipeline.json
    """
    from flows.cli.measuring.pipeline_benchmark import measure_pipeline

    tell_measurements(measure_pipeline(photographs, rounds), json_file)


@bench.command("growth")
def bench_growth(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 3,
    most: Annotated[int, typer.Option(metavar="N", min=2, help="Largest number of photographs.")] = 400,
    hypotheses: Annotated[int, typer.Option(metavar="N", min=3, help="Largest number of hypotheses.")] = 200,
    json_file: JsonFile = None,
) -> None:
    """How the time from photograph to verdict grows with photographs, hypotheses and critics.

    Example: hmr-align bench growth --json growth.json
    """
    from flows.cli.measuring.growth_benchmark import PHOTOGRAPHS, SIZES, measure_growth

    counts = [count for count in PHOTOGRAPHS if count < most] or [most // 2]
    sizes = [size for size in SIZES if size < hypotheses] or [hypotheses // 2]
    tell_measurements(measure_growth([*counts, most], [*sizes, hypotheses], rounds), json_file)


@bench.command("people")
def bench_people(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 3,
    processes: Annotated[int, typer.Option(metavar="N", min=1, help="Processes of the second row.")] = 2,
    json_file: JsonFile = None,
) -> None:
    """Photographs per second of the search for people, against a search through every square, on the shipped ones.

    And the quick search against the thorough one, on drawn pictures.

    Example: hmr-align bench people --json people.json
    """
    import tempfile
    from importlib import resources

    from hmr.detection.people_benchmark import measure_people, measure_quick
    from tasks.photographs import save_scenes

    with resources.as_file(resources.files("tasks") / "assets" / "photographs") as folder:
        rows = measure_people(sorted(folder.glob("*.jpg")), rounds=rounds, processes=processes)
    with tempfile.TemporaryDirectory() as drawn:
        save_scenes("val", range(DRAWN), Path(drawn))
        rows += measure_quick(sorted(Path(drawn).iterdir()), rounds=rounds)
    tell_measurements(rows, json_file)


@bench.command("store")
def bench_store(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")] = 7,
    share: Annotated[float, typer.Option(metavar="X", min=0.0008, max=1, help="Of 1,250 shards to judge anew.")] = 0.1,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", exists=True, file_okay=False, help="Whose disk to measure.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="URI", help="Instead measure an object store: s3://bucket/new-prefix.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Groups written and read per second against pyarrow alone; time for one group of many, for commits, for judging
    again.

    Example: hmr-align bench store --json store.json
    """
    from storage.remote_path import RemotePath, place_of
    from storage.upkeep.store_benchmark import measure_remote, measure_store

    if at is not None and isinstance(place := place_of(at), RemotePath):
        tell_measurements(measure_remote(place, rounds=rounds), json_file)
        return
    tell_measurements(measure_store(folder=folder, rounds=rounds, share=share), json_file)


@bench.command("scale")
def bench_scale(
    images: Annotated[int, typer.Option(metavar="N", min=640, help="Photographs, with a person in each.")] = 2_100_000,
    share: Annotated[float, typer.Option(metavar="X", min=0.0001, max=1, help="Of their shards that are made.")] = 0.1,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", exists=True, file_okay=False, help="On whose disk.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """A made-up store of 2.1 million photographs' groups and verdicts: opened, listed, a re-score planned and done.

    Example: hmr-align bench scale --share 0.02 --json scale.json
    """
    from tasks.benchmarks.scale_benchmark import measure_scale

    tell_measurements(measure_scale(images=images, share=share, folder=folder), json_file)


@bench.command("endurance")
def bench_endurance(
    groups: Annotated[int, typer.Option(metavar="N", min=100, help="Groups of the made-up run.")] = 10_000,
    json_file: JsonFile = None,
) -> None:
    """Ten thousand photographs' worth of groups written, judged again and looked at: memory in quarters of the time of
    each part, the slowest pages of viewer and dashboard.

    Example: hmr-align bench endurance --json endurance.json
    """
    from flows.cli.measuring.endurance_benchmark import measure_endurance

    tell_measurements(measure_endurance(groups), json_file)


@bench.command("all")
def bench_all(json_file: JsonFile = None) -> None:
    """Every benchmark, each cut down, some 15 minutes in all on two cores; exit code 1 if one failed.

    Example: hmr-align bench all --json all.json
    """
    from flows.cli.measuring.all_benchmarks import measure_all

    found = measure_all(lambda line: typer.echo(line, err=True))
    tell_measurements(found.rows, json_file)
    if found.failed:
        typer.echo(f"failed: {', '.join(found.failed)}; `hmr-align bench PART` alone says more", err=True)
        raise typer.Exit(1)


@bench.command("compare")
def bench_compare(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="What an older version measured.")],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="What this one measured.")],
    tolerance: Annotated[
        float, typer.Option(metavar="X", min=0, max=1, help="Share that a ratio may fall by before it counts.")
    ] = 0.2,
) -> None:
    """Hold two files of measurements against each other; exit code 3 if a ratio fell.

    Example: hmr-align bench compare deploy/experiments/bench.json new.json
    """
    from flows.cli.comparison import compared
    from flows.cli.output import plain, tell_table

    found = compared(old, new, tolerance)
    rows = [
        (row.metric, row.before, row.after, "" if row.change is None else f"{row.change:+.0%}", "worse" * row.worse)
        for row in found
    ]
    tell_table(["metric", "before", "after", "ratio", ""], [tuple(map(plain, row)) for row in rows])
    if any(row.worse for row in found):
        raise typer.Exit(3)

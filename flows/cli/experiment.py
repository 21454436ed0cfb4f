"""`hmr-align experiment`: studies of several runs."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.flags import Body, Checkpoint, Hypotheses, JsonFile, Name, Out, SettingsFile, settings_of
from flows.cli.output import tell_measurements
from flows.record.recording import recorded

experiment = typer.Typer(help="Run a study of several runs.", no_args_is_help=True, rich_markup_mode=None)


@experiment.command("alignment")
def experiment_alignment(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Seeds of each critic.")] = 3,
    critics: Annotated[str, typer.Option(metavar="A,B", help="Critics.")] = "evidence,oracle,shuffled",
    json_file: JsonFile = None,
) -> None:
    """The same alignment with several critics and seeds: the effect of the critic, and the spread over seeds.

    Example: hmr-align experiment alignment --name study --seeds 3 --json alignment.json
    """
    chosen = settings_of(settings, run={"out": out, "name": name})
    with recorded():
        from flows.experiments.alignment import alignment

        rows = alignment(chosen, seeds, tuple(critics.split(",")))
    tell_measurements(rows, json_file)


@experiment.command("sampler")
def experiment_sampler(
    settings: SettingsFile = None, hypotheses: Hypotheses = None, json_file: JsonFile = None
) -> None:
    """The effect of more calls, the second-order solver, fresh noise and keypoint guidance, on val with both bases.

    Example: hmr-align experiment sampler --json sampler_val.json
    """
    chosen = settings_of(settings, benchmark={"hypotheses": hypotheses})
    with recorded():
        from flows.experiments.alignment import sampler

        rows = sampler(chosen)
    tell_measurements(rows, json_file)


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
    chosen = settings_of(settings, run={"out": out, "name": name})
    with recorded():
        from flows.experiments.rounds import ARMS, rounds, rounds_parts

        named = tuple(arms.split(",")) if arms else None
        rows = rounds_parts(chosen, named) if parts else rounds(chosen, seeds, named or tuple(ARMS))
    tell_measurements(rows, json_file)


@experiment.command("table2")
def experiment_table2(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Of each arm; the deciding ones get two more.")] = 3,
    arms: Annotated[str | None, typer.Option(metavar="A,B", help="[all of them]")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, no search, on val.")] = False,
    search: Annotated[bool, typer.Option(help="Also: the arms of the headline, each at its own best.")] = True,
    curves: Annotated[
        bool, typer.Option("--curves", help="Instead: gain over the number of verdicts, and critics step by step.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Instead: trained arms on photographs. Needs --witness.")
    ] = None,
    witness: Annotated[
        Path | None, typer.Option(metavar="FILE", help="BlazePose landmarks (.tflite) that measure there.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Group preference, DPO, SFT and others on one stored set of groups and verdicts: same steps, and each at its best.

    Also writes a page with plots into the folder of the run NAME-groups. Finished arms are not trained again, nor by
    --curves, which measures on val alone, or --images, which measures with a network that neither the base nor a critic
    reads. Exit code 2 if several of --quick, --curves and --images are given, or one of --images and --witness alone.

    Example: hmr-align experiment table2 --settings deploy/settings/table2.toml --json table2.json
    """
    chosen = settings_of(settings, run={"out": out, "name": name})
    if quick + curves + (images is not None) > 1:
        raise typer.BadParameter("--quick, --curves and --images are parts of the study: give one of them")
    if (images is None) != (witness is None):
        raise typer.BadParameter("--images and --witness belong together: give both, or neither")
    named = {"arms": tuple(arms.split(","))} if arms else {}
    with recorded():
        if curves:
            from flows.experiments.table2_curves import table2_curves

            rows = table2_curves(chosen, seeds, **named)
        elif images is not None and witness is not None:
            from flows.experiments.table2_photographs import table2_photographs

            where, judge = (path.expanduser().absolute() for path in (images, witness))
            rows = table2_photographs(chosen, where, judge, seeds, **named)
        else:
            from flows.experiments.table2 import table2

            rows = table2(chosen, seeds, quick=quick, search=search, **named)
    tell_measurements(rows, json_file)


@experiment.command("distill")
def experiment_distill(
    settings: SettingsFile = None,
    out: Out = None,
    name: Name = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Seeds of each teacher.")] = 2,
    teachers: Annotated[str, typer.Option(metavar="A,B", help="Teachers.")] = "noisy,scorer,loopback",
    json_file: JsonFile = None,
) -> None:
    """A small judge and a tenth of a teacher's verdicts against all of them: agreement, and gain on val.

    Example: hmr-align experiment distill --settings deploy/settings/distill.toml --json distill.json
    """
    chosen = settings_of(settings, run={"out": out, "name": name})
    with recorded():
        from flows.experiments.distill import distill

        rows = distill(chosen, seeds, tuple(teachers.split(",")))
    tell_measurements(rows, json_file)


@experiment.command("refine")
def experiment_refine(
    settings: SettingsFile = None,
    checkpoint: Checkpoint = None,
    people: Annotated[int | None, typer.Option(metavar="N", min=2, help="Scenes of val that are drawn. [300]")] = None,
    json_file: JsonFile = None,
) -> None:
    """The effect of the short fit of `recover --refine` on the zero-noise mesh of people of val, at several strengths.

    Example: hmr-align experiment refine --people 60 --json refine.json
    """
    chosen = settings_of(settings, base={"checkpoint": checkpoint}, studio={"val": people})
    with recorded():
        from flows.experiments.refine import refine

        rows = refine(chosen)
    tell_measurements(rows, json_file)


@experiment.command("photographs")
def experiment_photographs(
    images: Annotated[Path, typer.Option(metavar="DIR", help="Photographs with people in them.")],
    settings: SettingsFile = None,
    checkpoint: Checkpoint = None,
    body: Body = None,
    json_file: JsonFile = None,
) -> None:
    """Do bodies land on people? 2-D distance and mask overlap of a base on photographs; evidence, not accuracy.

    Example: hmr-align experiment photographs --images photos --json photographs.json
    """
    chosen = settings_of(settings, base={"checkpoint": checkpoint, "body": body})
    with recorded():
        from flows.experiments.photographs import photographs

        rows = photographs(chosen, images.expanduser().absolute())
    tell_measurements(rows, json_file)


@experiment.command("people")
def experiment_people(
    images: Annotated[Path, typer.Option(metavar="DIR", help="Photographs.")],
    counts: Annotated[Path, typer.Option(metavar="FILE", help="People by file name: a number, or boxes.")],
    settings: SettingsFile = None,
    json_file: JsonFile = None,
) -> None:
    """Who is found? Found, missed and false people in photographs whose people you counted, and rejected detections.

    Example: hmr-align experiment people --images photos --counts counts.json --json people.json
    """
    chosen = settings_of(settings)
    with recorded():
        from flows.experiments.people import people_found

        rows = people_found(chosen, images.expanduser().absolute(), counts.expanduser().absolute())
    tell_measurements(rows, json_file)


@experiment.command("coverage")
def experiment_coverage(
    settings: SettingsFile = None, checkpoint: Checkpoint = None, json_file: JsonFile = None
) -> None:
    """Is the spread right? How often the truth lies within 50, 80 and 95 % intervals of the hypotheses.

    Example: hmr-align experiment coverage --json coverage_default.json
    """
    chosen = settings_of(settings, base={"checkpoint": checkpoint})
    with recorded():
        from flows.experiments.coverage import spread_coverage

        rows = spread_coverage(chosen)
    tell_measurements(rows, json_file)


@experiment.command("detector")
def experiment_detector(
    settings: SettingsFile = None,
    annotations: Annotated[Path | None, typer.Option(metavar="FILE", help="COCO keypoints of photographs.")] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="The photographs that they are of.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Errors of the detector on drawn people, of simulated detections, and of the detector on annotated photographs.

    The options --annotations and --images belong together; exit code 2 if only one is given.

    Example: hmr-align experiment detector --annotations person_keypoints.json --images photos --json detector.json
    """
    chosen = settings_of(settings)
    if (annotations is None) != (images is None):
        raise typer.BadParameter("--annotations and --images belong together: give both, or neither")
    with recorded():
        from flows.experiments.detector import detector

        rows = detector(chosen, annotations and annotations.absolute(), images and images.absolute())
    tell_measurements(rows, json_file)

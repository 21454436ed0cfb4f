"""A model of ours by a published protocol: its people are found, answers drawn, judged and measured."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from hmr.models.weights_file import SHIPPED
from tasks.benchmarking import choosing_critic
from tasks.data.importing import body_path
from tasks.data.record_people import record_shards
from tasks.data.selection import some_of
from tasks.protocols.benchmark import Benchmarked, benchmark
from tasks.protocols.bodies import Bodies
from tasks.protocols.evaluation import check_truth
from tasks.protocols.own_answers import Answering, answer_shard, check_pictures, find_shard, people_key
from tasks.protocols.people import choose
from tasks.protocols.protocol import NamedProtocol
from tasks.run.plan import Plan
from tasks.run.run_lock import held
from tasks.run.settings import Settings, SettingsError, kept_settings
from tasks.scoring import make_critic

PREFIX = "people"


class Wanted(NamedTuple):
    """What is measured by which rules, and with which files of the user's."""

    protocol: NamedProtocol
    data: Path  # records
    photos: Path  # where their picture paths start
    bodies: Bodies
    against: bool = False
    label: str = ""
    audit: Path | None = None


class Shown(NamedTuple):
    """How progress is shown."""

    tracked: Callable[[Sequence[Any], str], Iterator[Any]]  # the items one by one
    shares: Callable[[str], AbstractContextManager[Callable[[float], object]]]  # of work that tells its share, 0..1


def measure_by_protocol(
    settings: Settings, wanted: Wanted, out: Path, shown: Shown, round_number: int = 0
) -> Benchmarked:
    """Measure the policy after `round_number` rounds (0 = the base); table, plots and page go to `out`.

    Everything that was found and drawn is kept in `out`, so that a second call measures it again in little time.
    Raises the errors of `benchmark`, and SettingsError if there is no picture or no body of SMPL.
    """
    how = answering(settings, wanted, round_number)
    chosen = choose(wanted.data, wanted.protocol)
    selected = some_of(chosen.file, chosen.rows, wanted.photos)
    check_pictures(selected, wanted.photos)
    check_truth(chosen, wanted.protocol.rules, wanted.bodies)
    photographs, run = settings.photographs, settings.run
    with held(out):
        margin, focal = photographs.crop_margin, photographs.focal_px
        people = out / f"people-{people_key(selected, margin, focal)}"
        shards = record_shards(selected, run.shard_size, PREFIX)
        lost = Counter(selected.skipped)
        for name, rows in shown.tracked(shards, "find people"):
            lost.update(find_shard(selected, name, tuple(rows), people, margin, focal, run.processes))
        chooser = make_critic(how.critic, seed=0, folder=out).name
        answers = out / f"answers-{how.key(f'{chooser} {people.name}')}"
        counts = Counter[str]()
        for name, _ in shown.tracked(shards, f"draw {how.sample.hypotheses} of each"):
            counts.update(answer_shard(name, people, answers, how))
        answered, pending = counts.pop("people", 0), counts.pop("pending", 0)
        lost.update(counts)
        if not answered:
            raise SettingsError(f"{wanted.data}: nobody could be measured ({told(lost)})")
        remarks = tuple(remarks_on(how, lost, pending))
        with shown.shares("measure") as progress:
            return benchmark(
                wanted.protocol, wanted.data, [answers], "npz", wanted.bodies, out, against=wanted.against,
                name=wanted.label, audit=wanted.audit, chooser=chooser, remarks=remarks, progress=progress,
            )  # fmt: skip


def answering(settings: Settings, wanted: Wanted, round_number: int) -> Answering:
    """How the model of the settings answers. Raises SettingsError if the protocol is not about people, or if there is
    no folder of bodies.
    """
    if wanted.bodies.folder is None:
        raise SettingsError("a model of ours draws SMPL's bodies: give --bodies DIR with SMPL_NEUTRAL.npz or .pkl")
    plan, section = Plan(settings), settings.benchmark
    path = plan.policy(round_number)
    if path == "lab" and kept_settings(plan.folder) is None and settings.base.checkpoint is None:
        path = "default"  # nobody asked for the one that knows drawn people alone
    sample = settings.sample.model_copy(update={"hypotheses": section.hypotheses})
    critic = choosing_critic(settings.critic, section.critic)
    neutral = body_path(wanted.bodies.folder, "smpl", "neutral")
    return Answering(path, neutral, sample, section.protocol, critic, settings.overlay, settings.run.processes)


def remarks_on(how: Answering, lost: Counter[str], pending: int) -> Iterator[str]:
    """What must be known of answers of ours beside the protocol."""
    if how.placed == "published":
        yield (
            "Bodies are placed with the TRUE camera and root depth, as ScoreHypo's and ADHMR's evaluations do: that "
            "much of the answer is given away."
        )
    else:
        yield "No truth but the box is used: the camera is guessed from the picture, and the root's depth fitted."
    if how.model in SHIPPED:
        yield (
            f"Model '{how.model}' was trained on drawn people of the free body, not on SMPL: these numbers say what it "
            "does elsewhere, not what the method can do. Pretrain one on your body, or give --checkpoint."
        )
    if lost:
        yield f"Not measured, because the detector did not find them: {told(lost)}."
    if pending:
        yield f"{pending} groups were not judged for a passing reason: call again, and the critic is asked again."


def told(counts: Counter[str]) -> str:
    """Counts by reason, in words."""
    return "; ".join(f"{count:,} {'record' if count == 1 else 'records'} {why}" for why, count in counts.items())

"""Kills workers (kill -9) at random moments over all stages of small runs, and counts what was lost, doubled or wrong.

    python deploy/soak.py --kills 200 --minutes 15 --json deploy/experiments/soak.json

Two workers share each run: shards are dealt out in turn, as by a work pool, and what is no matter of shards is the
first one's. A worker that was killed is started again, like a service. When a run is done it is held against one that
nobody disturbed: groups and verdicts as they are read from the store, and the trained model. Prefect is left out: it
keeps no results.

Work that was begun and not ended when its worker died is done again, at most one shard for each kill; ended work that
is done again is counted too. No worker is ever told to stop.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch

from critique.critic import Sight
from flows.cli.measurements import measured, write_measurements
from storage.finished_file import remove_strays
from storage.group_store import GroupStore
from tasks.benchmarking import benchmark_model, look_at
from tasks.finding import find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import studio_photographs
from tasks.rendering import render_shard
from tasks.rounds.train_worker import RoundSpec, finished, train
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.sampling import sample_shard
from tasks.scoring import score_shard

GEN = "round0"
WORKERS = 2
LOOK = 0.02  # seconds between two looks for the other worker's shards

Step = tuple[str, str, Callable[[], Any]]
"""Stage, shard ("" = the whole run) and the work."""


def settings_of(out: Path, name: str, people: int) -> Settings:
    """As small as every stage allows, with a shard for each photograph."""
    return Settings.model_validate(
        {
            "run": {"name": name, "out": out, "shard_size": 1},
            "sample": {"hypotheses": 4},
            "overlay": {"size": 64},
            "train": {
                "steps": 3, "evaluate_every": 1, "groups_per_step": 2, "save_every": 1,
                "overrides": {"advantage": {"min_std": 0.1}},
            },
            "benchmark": {"hypotheses": 2, "bootstrap": 10},
            "studio": {"wild": people, "val": 2, "test": 2},
        }
    )  # fmt: skip


class Soak(NamedTuple):
    """A run, and the file in which its workers note what they begin and end."""

    plan: Plan
    notes: Path

    @property
    def stages(self) -> list[tuple[str, Callable[[], list[Step]]]]:
        """The stages in order; their steps are known once the stage before is done."""
        return [
            ("photographs", lambda: [("photographs", "", self.list_photographs)]),
            ("find", lambda: self.of_shards("find", self.photograph_shards(), self.find)),
            ("sample", lambda: self.of_shards("sample", self.plan.store.people_shards(), self.sample)),
            ("render", lambda: self.of_shards("render", self.plan.store.group_shards(GEN), self.render)),
            ("score", lambda: self.of_shards("score", self.plan.store.group_shards(GEN), self.score)),
            ("train", lambda: [("train", "", self.train)]),
            ("benchmark", lambda: [("benchmark", "", self.benchmark)]),
        ]

    def of_shards(self, stage: str, shards: list[str], work: Callable[[str], Any]) -> list[Step]:
        return [(stage, shard, lambda shard=shard: work(shard)) for shard in shards]

    def list_photographs(self) -> list[str]:
        wild = studio_photographs.fn("wild", self.plan.settings.studio.wild, self.plan.folder / "photographs" / "wild")
        source = [Source(wild, thorough=False)]
        return list(list_photographs.fn(source, wild.parent, self.plan.store_root, 1).shards)  # type: ignore[arg-type]

    def photograph_shards(self) -> list[Any]:
        return self.list_photographs()

    def find(self, shard: Any) -> None:
        find_shard.fn(shard, self.plan.store_root, None, 1.25, False)

    def sample(self, shard: str) -> None:
        p = self.plan
        sample_shard.fn(shard, GEN, p.store_root, p.base, p.body_path, p.settings.sample, p.settings.run.seed)

    def render(self, shard: str) -> None:
        p = self.plan
        render_shard.fn(shard, GEN, p.store_root, p.body_path, p.settings.overlay, Sight(), "nobody@1")

    def score(self, shard: str) -> None:
        p, s = self.plan, self.plan.settings
        score_shard.fn(shard, GEN, s.run.name, p.store_root, p.body_path, s.critic, s.overlay, s.run.seed)

    def train(self) -> None:
        p, s = self.plan, self.plan.settings
        look_at.fn(p.people("val"))
        spec = RoundSpec(
            gen=GEN, critic=p.critic_name, store_root=p.store_root, model_path=p.base, body_path=p.body_path,
            folder=p.round_folder(1), train=p.training(1), sample=s.sample, judge=s.critic, val=p.people("val"),
            seed=s.run.seed,
        )  # fmt: skip
        if finished(spec.folder) is None:
            train(spec, lambda message: None)

    def benchmark(self) -> None:
        p, s = self.plan, self.plan.settings
        look_at.fn(p.people("test"))
        benchmark_model.fn(
            "after", p.policy(1), p.body_path, p.people("test"), s.benchmark, s.sample, s.critic, s.overlay,
            p.benchmark("after"),
        )  # fmt: skip

    def ended(self) -> set[tuple[str, str]]:
        """The steps that some worker noted as ended."""
        return {(stage, shard) for what, _, stage, shard in self.noted() if what == "end"}

    def noted(self) -> Iterator[tuple[str, str, str, str]]:
        """All notes: begin or end, worker, stage, shard. A note that a kill cut short is left out."""
        if self.notes.exists():
            for line in self.notes.read_text().splitlines():
                parts = line.split("\t")
                if len(parts) == 5 and parts[4] == ".":
                    yield parts[0], parts[1], parts[2], parts[3]

    def note(self, what: str, worker: int, stage: str, shard: str) -> None:
        with self.notes.open("a") as file:  # one write of less than a page: lines of two processes do not mix
            file.write(f"{what}\t{worker}\t{stage}\t{shard}\t.\n")


def work(soak: Soak, worker: int, workers: int) -> None:
    """Do this worker's steps of all stages; a stage begins when all workers have ended the one before."""
    remove_strays(soak.plan.folder)
    for stage, steps_of in soak.stages:
        steps = [(stage, str(getattr(shard, "name", shard)), act) for stage, shard, act in steps_of()]
        for stage_, shard, act in steps[worker::workers]:
            if (stage_, shard) not in soak.ended():
                soak.note("begin", worker, stage_, shard)
                act()
                soak.note("end", worker, stage_, shard)
        while not {(stage, shard) for stage, shard, _ in steps} <= soak.ended():
            time.sleep(LOOK)


def forked(soak: Soak, worker: int, workers: int) -> int:
    """A worker in a process of its own; returns its id."""
    if child := os.fork():
        return child
    try:
        work(soak, worker, workers)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


class Result(NamedTuple):
    """What a run left, as readers of its store see it."""

    groups: dict[str, str]  # digest by id
    doubled: int
    verdicts: dict[str, str]
    model: str


def result_of(plan: Plan) -> Result:
    """Read everything back."""
    store: GroupStore = plan.store
    groups = [group for shard in store.group_shards(GEN) for group in store.read_groups(GEN, shard)]
    verdicts = [
        verdict
        for shard in store.verdict_shards(GEN, plan.critic_name)
        for verdict in store.read_verdicts(GEN, plan.critic_name, shard)
    ]
    policy = Path(plan.policy(1))
    return Result(
        groups={one.person.group_id: _digest(one.latents, one.joints, one.seeds) for one in groups},
        doubled=len(groups) - len({one.person.group_id for one in groups}),
        verdicts={one.group_id: _digest(one.scores, np.array(one.comments)) for one in verdicts},
        model=_weights(policy),
    )


def _digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _weights(path: Path) -> str:
    from safetensors import safe_open

    total = hashlib.sha256()
    with safe_open(path, framework="np") as file:
        for name in sorted(file.keys()):
            total.update(name.encode() + file.get_tensor(name).tobytes())
    return total.hexdigest()


def disturbed(soak: Soak, kills: int, deadline: float, dice: random.Random, counts: Counter[str], most: float) -> bool:
    """Run to the end while workers are killed; returns whether every worker ended well.

    most: seconds of a processor that a worker may use before it is killed.
    """
    running = {worker: forked(soak, worker, WORKERS) for worker in range(WORKERS)}
    while running:
        victim, moment = dice.choice(sorted(running)), dice.uniform(0.02, most)
        while running and _worked(running.get(victim)) < moment:
            for worker, child in list(running.items()):
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    del running[worker]
                    if status:
                        return False
            time.sleep(LOOK)
        if running and counts["kills"] < kills and time.monotonic() < deadline:
            if victim not in running:
                continue
            os.kill(running[victim], signal.SIGKILL)
            os.waitpid(running[victim], 0)
            counts["kills"] += 1
            counts[f"kills in {stage_of(soak)}"] += 1
            running[victim] = forked(soak, victim, WORKERS)
    return True


def _worked(process: int | None) -> float:
    """Seconds of a processor that a process has used; infinite if it has ended.

    Moments are counted so, for on a busy machine a worker that is killed by the clock would never end a step.
    """
    try:
        used = psutil.Process(process).cpu_times() if process else None
    except psutil.NoSuchProcess:
        used = None
    return used.user + used.system if used else float("inf")


def stage_of(soak: Soak) -> str:
    """The stage that was begun last."""
    return ([stage for what, _, stage, _ in soak.noted() if what == "begin"] or ["start"])[-1]


def tally(soak: Soak, expected: Result, counts: Counter[str]) -> None:
    """Add what went wrong in a run, and what was done again."""
    found = result_of(soak.plan)
    counts["runs"] += 1
    counts["groups"] += len(expected.groups)
    counts["lost groups"] += len(expected.groups.keys() - found.groups.keys())
    counts["doubled groups"] += found.doubled
    counts["wrong groups"] += sum(found.groups.get(key, value) != value for key, value in expected.groups.items())
    counts["lost verdicts"] += len(expected.verdicts.keys() - found.verdicts.keys())
    counts["wrong verdicts"] += sum(found.verdicts.get(key, value) != value for key, value in expected.verdicts.items())
    counts["other models"] += found.model != expected.model
    counts["store faults"] += len(soak.plan.store.verify())
    begun = Counter((stage, shard) for what, _, stage, shard in soak.noted() if what == "begin")
    ended = Counter((stage, shard) for what, _, stage, shard in soak.noted() if what == "end")
    counts["steps"] += len(ended)
    counts["steps begun again"] += sum(begun.values()) - len(begun)
    counts["ended steps done again"] += sum(ended.values()) - len(ended)


def rows_of(counts: Counter[str], broken: int) -> list[dict[str, Any]]:
    """The counts as measurements."""
    rows = [measured(f"soak.{name.replace(' ', '_')}", float(count)) for name, count in sorted(counts.items())]
    return [*rows, measured("soak.workers_that_failed", float(broken))]


def main() -> int:
    """Kill, compare, count; exit code 1 if anything was lost, doubled or wrong."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--kills", type=int, default=200)
    reader.add_argument("--minutes", type=float, default=15.0, help="no more kills after that")
    reader.add_argument("--people", type=int, default=10, help="photographs of each run")
    reader.add_argument("--most", type=float, default=1.5, help="seconds of a processor before a worker is killed")
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--json", type=Path, default=None)
    chosen = reader.parse_args()
    torch.set_num_threads(1)
    counts: Counter[str] = Counter()
    dice, deadline = random.Random(chosen.seed), time.monotonic() + 60 * chosen.minutes
    broken = 0
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        os.environ.setdefault("HMR_ALIGN_CACHE", str(out / "cache"))

        def fresh(name: str) -> Soak:
            return Soak(Plan(settings_of(out, name, chosen.people)), out / f"{name}.notes")

        calm = fresh("calm")
        if os.waitpid(forked(calm, 0, 1), 0)[1]:
            return 1
        expected = result_of(calm.plan)
        while counts["kills"] < chosen.kills and time.monotonic() < deadline and not broken:
            soak = fresh(f"run{counts['runs']}")
            if disturbed(soak, chosen.kills, deadline, dice, counts, chosen.most):
                tally(soak, expected, counts)
            else:
                broken += 1
            shutil.rmtree(soak.plan.folder)
            sys.stdout.write(f"{dict(counts)}\n")
            sys.stdout.flush()
            if chosen.json:
                write_measurements(chosen.json, rows_of(counts, broken))
    faults = broken + sum(counts[k] for k in counts if k.split()[0] in ("lost", "doubled", "wrong", "other", "store"))
    again = counts["steps begun again"] - counts["kills"]
    return int(bool(faults) or again > 0)


if __name__ == "__main__":
    sys.exit(main())

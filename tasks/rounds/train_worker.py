"""One round of fine-tuning, from the store to a checkpoint: as a function, and as a process of its own.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m tasks.rounds.train_worker SPEC.json
    accelerate launch -m tasks.rounds.train_worker SPEC.json

The process reports its progress as lines of JSON on standard output: `{"row": ...}` after a step, `{"seen": ...}`
after a look at `val` and `{"advice": ...}` if a setting seems wrong. If its input cannot be used, it ends with
`{"error": ...}` and exit code 2.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from accelerate import Accelerator
from pydantic import BaseModel as Specification
from pydantic import ConfigDict
from tensorboardX import SummaryWriter

from hmr.alignment.guard import GuardLook
from hmr.alignment.objectives import advice_after, trainer_settings
from hmr.alignment.trainer import TrainSettings, make_accelerator, train_policy
from hmr.diffusion.condition import Condition
from hmr.models.base_model import HmrModel, save_model
from storage.finished_file import finished_file, read_again, write_text
from storage.group_store import GroupStore
from storage.records import DrawnGroup
from tasks.benchmarking import BenchmarkPeople, DrawnPeople, draw_people, encode_split, evaluate_people
from tasks.groups.overlays import draw_group
from tasks.rounds.group_stream import GroupsWanted, joined, open_groups
from tasks.rounds.second_opinion import preferred
from tasks.rounds.stop_page import write_stop_page
from tasks.run.devices import compute_for
from tasks.run.settings import CriticSection, Sample, SettingsError, Train, validate
from tasks.sampling import body, groups_from, model
from tasks.scoring import make_critic

RESULT = "result.json"
"""File of a finished round, written last."""

CURVES = ("curves", "evaluations")
"""Tables of a round: a row after each step, and one after each look at `val`."""

MISUSE = 2  # exit code where the message is for the user
OURS = ("flows", "tasks", "hmr", "critique", "storage")
MONITORED = 100  # people of `val` whose groups critics compare with the first ones


class Trained(NamedTuple):
    """The result of a round of training."""

    checkpoint: Path
    best_step: int
    reason: str


class RoundSpec(Specification):
    """All that a round needs; `train_worker` reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gen: str
    older: tuple[str, ...] = ()  # generations of earlier models that are trained on too
    reference_path: str | None = None  # none = the model that is trained
    critic: str
    store_root: Path
    model_path: str
    body_path: Path | None
    folder: Path
    train: Train
    sample: Sample
    judge: CriticSection
    val: BenchmarkPeople
    seed: int


Tell = Callable[[Mapping[str, Any]], None]


def train_settings(section: Train, seed: int) -> TrainSettings:
    """The settings of the trainer from those of the run.

    Raises SettingsError if values do not fit together, or a setting needs a package that is not installed.
    """
    given: dict[str, Any] = {**trainer_settings(section.preset), "objective": section.overrides, "seed": seed}
    for name in sorted(TrainSettings.model_fields.keys() & Train.model_fields.keys()):
        if getattr(section, name) is not None:
            given[name] = getattr(section, name)
    settings = validate(TrainSettings, given, "settings", "train")
    try:
        settings.resolved()
    except ValueError as error:
        raise SettingsError(f"[train]: {error}") from None
    for wanted, key, name in ((section.lora_rank > 0, "lora_rank", "peft"), (bool(section.wandb), "wandb", "wandb")):
        if wanted and find_spec(name) is None:
            extra = "lora" if name == "peft" else name
            raise SettingsError(f"[train] {key}: {name} is not installed. pip install 'hmr-align[{extra}]'")
    return settings


def finished(folder: Path) -> Trained | None:
    """The result of a round that was trained before, else None; damaged curves are written again from it."""
    kept = read_again(folder / RESULT, _result)
    if kept is None:
        return None
    shutil.rmtree(folder / "states", ignore_errors=True)  # left by a process killed between its last two steps
    for name in CURVES:
        path = folder / f"{name}.parquet"
        if name in kept and read_again(path, pd.read_parquet) is None:
            _write_rows(path, kept[name])
    return Trained(folder / "policy.safetensors", kept["best_step"], kept["reason"])


def _result(path: Path) -> dict[str, Any]:
    kept = json.loads(path.read_text())
    return {**kept, "best_step": int(kept["best_step"]), "reason": str(kept["reason"])}


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with finished_file(path) as unfinished:
        pd.DataFrame(rows).to_parquet(unfinished, index=False)


def made_of(spec: RoundSpec) -> dict[str, Any]:
    """What a round's result depends on, as stored in `result.json`."""
    return {
        **train_settings(spec.train, spec.seed).alike(),
        "groups": [*spec.older, spec.gen],
        "critic": spec.critic,
        "second_critic": spec.train.second_critic,
        "base": model(spec.model_path).digest(),
        "reference": model(spec.reference_path or spec.model_path).digest(),
    }


def refuse_other(spec: RoundSpec) -> None:
    """Raises SettingsError if the folder holds a round with other inputs; older rounds do not record them and pass."""
    kept = json.loads((spec.folder / RESULT).read_text()).get("made_of", {})
    now = made_of(spec)
    other = [name for name in kept if name in now and kept[name] != now[name]]
    if other:
        was, wanted = ("; ".join(f"{name} = {details[name]!r}" for name in other) for details in (kept, now))
        raise SettingsError(
            f"{spec.folder} holds a round of {was}; now {wanted}: "
            f"choose another --name, or remove {spec.folder} to train anew"
        )


def train(spec: RoundSpec, tell: Tell, accelerator: Accelerator | None = None) -> Trained:
    """Train one round and write policy, curves and the page that says why it stopped; only the first process writes.

    It also writes `evaluations.parquet`, `result.json`, TensorBoard files, and the groups in the form for training.
    `tell` is called with each progress message. Raises SettingsError if the folder holds a round with other inputs, and
    the TrainError of `open_groups`.
    """
    accelerator = accelerator or make_accelerator()
    settings = train_settings(spec.train, spec.seed)
    base, body_model, compute = model(spec.model_path), body(spec.body_path), compute_for(spec.sample)
    section = spec.train
    wanted = GroupsWanted(
        spec.gen, spec.critic, section.train_encoder, section.unjudged, section.off_policy, section.shards_in_memory
    )
    store, prepared = GroupStore(spec.store_root), spec.store_root.parent / "prepared"
    every = [*(wanted._replace(gen=gen, off_policy=True) for gen in spec.older), wanted]
    with accelerator.main_process_first():  # the others find the files that it wrote
        source = joined([open_groups(store, one, base, body_model, prepared, compute) for one in every])
    log = _Logs(spec, settings, tell) if accelerator.is_main_process else None
    result = train_policy(
        base, source, settings, _look_at_val(spec, base, log),
        states=spec.folder / "states", report=log.step if log else None, accelerator=accelerator,
        reference=None if spec.reference_path is None else model(spec.reference_path),
    )  # fmt: skip
    best = result.decision.best
    trained = Trained(spec.folder / "policy.safetensors", best.step, result.decision.reason)
    if log is not None:
        log.end()
        tables = dict(zip(CURVES, (result.curves, [asdict(one) for one in result.evaluations])))
        for name, rows in tables.items():
            _write_rows(spec.folder / f"{name}.parquet", rows)
        write_stop_page(spec.folder, result, settings)
        about = {
            "trained_on": ", ".join((*spec.older, spec.gen)), "critic": spec.critic, "from": base.digest(),
            "best_step": best.step, "settings": settings.model_dump(mode="json"), "objective": settings.resolved().name,
        }  # fmt: skip
        save_model(result.model, trained.checkpoint, about)
        counts = {**result.counts._asdict(), "shards_without_verdict": len(source.skipped)}
        details = {"best_step": trained.best_step, "reason": trained.reason, "groups": counts, "made_of": made_of(spec)}
        write_text(spec.folder / RESULT, json.dumps(details | tables))
        shutil.rmtree(spec.folder / "states", ignore_errors=True)
    accelerator.wait_for_everyone()
    return trained


def _look_at_val(spec: RoundSpec, base: HmrModel, log: "_Logs | None") -> Callable[[HmrModel], GuardLook]:
    """A function that measures a model on `val`, with the second critic if any; only the first process measures."""
    if log is None:
        return lambda candidate: GuardLook(0, 0.0, 0.0, 0.0)  # never called: the others receive the result
    section, body_model, compute = spec.train, body(spec.body_path), compute_for(spec.sample)
    details = None if section.train_encoder else encode_split(base, body_model, spec.val, compute)

    watching = _watching(spec, base, details) if section.second_critic else None

    def look(candidate: HmrModel) -> GuardLook:
        drawn = draw_people(candidate, body_model, spec.val, hypotheses=20, compute=compute, condition=details)
        measured = evaluate_people(body_model, drawn, vertices=False)
        found = GuardLook(
            step=0,
            zero_noise_mm=float(measured.errors["zero_noise"]["mpjpe_mm"].mean()),
            best_of_g_mm=float(measured.errors["best_of_g"]["mpjpe_mm"].mean()),
            diversity_mm=float(measured.diversity_mm.mean()),
        )
        if watching is not None:
            found = replace(found, **watching(drawn))
        log.look(found)
        return found

    return look


def _watching(
    spec: RoundSpec, base: HmrModel, details: Condition | None
) -> Callable[[DrawnPeople], dict[str, float | None]]:
    """A function for how often the second critic, and the one that is trained on, prefer a policy's groups of `val`.

    The latter is left out if it asks a server, reads the truth, or learns while it judges.
    """
    critics = {"critic_score": make_critic(spec.judge.named(str(spec.train.second_critic)), spec.seed)}
    own = spec.judge
    if not (own.asks_server or own.needs_truth or own.name == "cascade"):
        critics["own_score"] = make_critic(own, spec.seed)
    some, compute = slice(0, MONITORED), compute_for(spec.sample)
    if details is not None:
        details = details.select(torch.arange(len(details.betas))[some])
    first = draw_people(
        base, body(spec.body_path), spec.val, hypotheses=20, compute=compute, condition=details, some=some
    )
    start = _drawn_groups(spec, first)
    return lambda drawn: preferred(critics, _drawn_groups(spec, drawn), start)


def _drawn_groups(spec: RoundSpec, drawn: DrawnPeople) -> list[DrawnGroup]:
    """The first groups of `val`, with silhouettes, as critics judge them."""
    count, body_model = min(MONITORED, len(drawn.latents)), body(spec.body_path)
    posed = type(drawn.posed)(*(part[:count] for part in drawn.posed))
    groups = groups_from(
        drawn.known.people[:count], drawn.latents[:count], posed, drawn.framing.betas[:count], body_model, "", 1.0,
        drawn.seeds[:count].numpy(),
    )  # fmt: skip
    return [draw_group(body_model, group) for group in groups]


class _Logs:
    """Where a run's numbers go while it runs: the caller, TensorBoard, and Weights & Biases if wanted."""

    def __init__(self, spec: RoundSpec, settings: TrainSettings, tell: Tell) -> None:
        self.tell, self.steps, self.objective, self.taken = tell, settings.steps, settings.resolved(), 0
        self.board = SummaryWriter(str(spec.folder / "tensorboard"), flush_secs=5)
        self.remote = _wandb(spec, settings) if spec.train.wandb else None

    def step(self, row: dict[str, float]) -> None:
        """Log the numbers of one step."""
        self.taken = int(row["step"])
        self._write(row)
        self.tell({"row": row, "steps": self.steps})
        if advice := advice_after(row, self.objective):
            self.tell({"advice": advice})

    def look(self, seen: GuardLook) -> None:
        """Log the measurements on `val` after the last step."""
        row = {f"val/{name}": value for name, value in asdict(seen).items() if name != "step" and value is not None}
        self._write(row)
        self.tell({"seen": row})

    def _write(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            self.board.add_scalar(name, value, self.taken)
        if self.remote is not None:
            self.remote.log(row, step=self.taken)

    def end(self) -> None:
        """Close all logs."""
        self.board.close()
        if self.remote is not None:
            self.remote.finish()


def _wandb(spec: RoundSpec, settings: TrainSettings) -> Any:
    import wandb  # type: ignore[import-not-found]

    name = f"{spec.store_root.parent.name}-{spec.folder.name}"
    return wandb.init(
        project=spec.train.wandb, name=name, dir=str(spec.folder), config=settings.model_dump(mode="json")
    )


def main(arguments: list[str]) -> int:
    """The process: read the specification, train, report; returns the exit code."""
    launcher = os.getppid()

    def tell(message: Mapping[str, Any]) -> None:
        if os.getppid() != launcher:  # nothing else would stop an orphan that writes into its successor's folder
            os._exit(1)
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    try:
        train(RoundSpec.model_validate_json(Path(arguments[0]).read_text()), tell)
    except Exception as error:
        if type(error).__module__.split(".")[0] not in OURS:
            raise
        tell({"error": str(error)})
        sys.stdout.flush()
        os._exit(MISUSE)  # the other processes wait for this one, so do not wait for them
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

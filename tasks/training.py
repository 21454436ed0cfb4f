"""Stage 4: one round of fine-tuning on scored groups, its curves in Parquet and TensorBoard."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from tensorboardX import SummaryWriter

from hmr.base_model import BaseModel, save_model
from hmr.compute import Compute, encode
from hmr.guard import Evaluation
from hmr.latent import DIMS
from hmr.trainer import ScoredGroups, TrainError, TrainSettings, train_policy
from storage.group_store import GroupStore
from tasks.benchmarking import StudioPeople, draw_people, encode_split, evaluate_people
from tasks.devices import compute_for
from tasks.retrying import may_pass
from tasks.sampling import body, model, observe
from tasks.settings import Sample, SettingsError, Train, validate


class Trained(NamedTuple):
    """What a round of training left behind."""

    checkpoint: Path
    best_step: int
    reason: str


def train_settings(section: Train, seed: int) -> TrainSettings:
    """The settings of the trainer from those of the run."""
    given: dict[str, Any] = {"preset": section.preset, "objective": section.overrides, "seed": seed}
    for name in ("steps", "groups_per_step", "learning_rate", "evaluate_every", "ema"):
        if getattr(section, name) is not None:
            given[name] = getattr(section, name)
    if section.guard:
        given["guard"] = section.guard
    settings = validate(TrainSettings, given, "settings", "train")
    try:
        settings.resolved()
    except ValueError as error:
        raise SettingsError(f"[train] overrides: {error}") from None
    return settings


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="train on {gen}")
def train_round(
    gen: str,
    critic: str,
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    folder: Path,
    section: Train,
    sample: Sample,
    val: StudioPeople,
    seed: int,
) -> Trained:
    """Fine-tune a model on one generation's verdicts; what is already done is not done again.

    Networks run where and as precisely as `sample` says; nothing else of it counts here.
    Writes `policy.safetensors`, `curves.parquet`, `evaluations.parquet`, `result.json` and TensorBoard files.
    """
    done = folder / "result.json"
    if done.exists():
        kept = json.loads(done.read_text())
        return Trained(folder / "policy.safetensors", kept["best_step"], kept["reason"])
    settings = train_settings(section, seed)
    base = model(model_path)
    compute = compute_for(sample)
    groups = scored_groups(GroupStore(store_root), gen, critic, base, compute)
    writer = SummaryWriter(str(folder / "tensorboard"), flush_secs=5)
    logger = get_run_logger()
    frame = body(body_path)
    told = encode_split(base, frame, val, compute)

    def validate_model(candidate: BaseModel) -> Evaluation:
        drawn = draw_people(candidate, frame, val, hypotheses=20, compute=compute, condition=told)
        measured = evaluate_people(frame, drawn, vertices=False)
        return Evaluation(
            step=0,
            zero_noise_mm=float(measured.errors["zero_noise"]["mpjpe_mm"].mean()),
            best_of_g_mm=float(measured.errors["best_of_g"]["mpjpe_mm"].mean()),
            diversity_mm=float(measured.diversity_mm.mean()),
        )

    def report(row: dict[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["step"]))

    result = train_policy(base, groups, settings, validate_model, states=folder / "states", report=report)
    for one in result.evaluations:
        for name in ("zero_noise_mm", "best_of_g_mm", "diversity_mm"):
            writer.add_scalar(f"val/{name}", getattr(one, name), one.step)
    writer.close()
    best = result.decision.best
    logger.info("%s; %s", gen, result.decision.reason)
    pd.DataFrame(result.curves).to_parquet(folder / "curves.parquet", index=False)
    pd.DataFrame([asdict(e) for e in result.evaluations]).to_parquet(folder / "evaluations.parquet", index=False)
    checkpoint = folder / "policy.safetensors"
    save_model(
        result.model,
        checkpoint,
        {"trained_on": gen, "critic": critic, "from": base.digest(), "best_step": best.step,
         "settings": settings.model_dump(mode="json"), "objective": settings.resolved().name},
    )  # fmt: skip
    unfinished = done.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"best_step": best.step, "reason": result.decision.reason}))
    unfinished.replace(done)
    shutil.rmtree(folder / "states", ignore_errors=True)
    return Trained(checkpoint, best.step, result.decision.reason)


def scored_groups(store: GroupStore, gen: str, critic: str, base: BaseModel, compute: Compute) -> ScoredGroups:
    """Groups and scores of one generation, with the condition that the model makes of each person.

    Raises TrainError if there is no group, if groups differ in size, or if another model's groups are among them.
    """
    pairs = list(store.judged(gen, critic))
    if not pairs:
        raise TrainError(
            f"no group of '{gen}' has a verdict of critic '{critic}' in {store.root}: run sampling and critique first"
        )
    sizes = {len(group) for group, _ in pairs}
    if len(sizes) > 1:
        raise TrainError(f"groups of '{gen}' hold {sorted(sizes)} hypotheses: sample them with one number")
    dims = {group.latents.shape[1] for group, _ in pairs}
    if dims != {DIMS}:
        raise TrainError(
            f"groups of '{gen}' hold vectors of {sorted(dims)} numbers, models diffuse {DIMS}: "
            "they were drawn by another kind of network"
        )
    people = [group.person for group, _ in pairs]
    return ScoredGroups(
        encode(base, observe(people, base.picture_side), compute),
        torch.from_numpy(np.stack([group.latents for group, _ in pairs])),
        torch.from_numpy(np.stack([verdict.scores for _, verdict in pairs])),
    )

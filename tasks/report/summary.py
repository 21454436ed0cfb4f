"""All numbers of a run, as in `summary.json`, from the files in its folder."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hmr.pretraining.headroom_record import measured_headroom
from storage.finished_file import read_again
from tasks.benchmarking import (
    StudioPeople,
    benchmark_sampler,
    compare,
    extras,
    lifting_rows,
    measured_against,
    quality,
    table,
    uncertainty,
)
from tasks.critics.judges import saving_text, savings
from tasks.critics.monitoring import watched
from tasks.data.audit import kept_verdict
from tasks.data.imported_people import ImportedPeople
from tasks.groups.sampled_groups import body, model
from tasks.rounds.train_worker import Trained, finished
from tasks.run.plan import Plan
from tasks.run.settings import SettingsError, differences, settings_sha256
from tasks.scoring import COUNTS, verdict_counts

LOOKED_AT = ("zero_noise_mm", "best_of_g_mm", "diversity_mm")


class Done(NamedTuple):
    """What the stages of a run did."""

    photographs: int
    people: int
    skipped: list[tuple[str, str]]  # file name, reason
    groups: int
    verdicts: dict[str, int]  # numbers of hypotheses scored, abstained on and pending, and of groups that failed
    rounds: list[Trained]


def done_by(plan: Plan) -> Done:
    """What a finished run did, from its folder. Raises SettingsError if one of its rounds is missing."""
    found = read_again(plan.people_found, lambda path: json.loads(path.read_text()))
    if found is None:  # a run of version 0.1, or a lost file
        raise SettingsError(
            f"{plan.people_found} is lacking: run `hmr-align align` with the run's settings, which writes it and does "
            "nothing twice"
        )
    store, groups, rounds = plan.store, 0, []
    verdicts: dict[str, int] = dict.fromkeys(COUNTS, 0)
    for number in range(1, plan.settings.align.rounds + 1):
        gen, trained = plan.gen(number - 1), finished(plan.round_folder(number))
        if trained is None:
            raise SettingsError(f"{plan.folder}: round {number} was not trained: run `hmr-align align` again")
        rounds.append(trained)
        groups += sum(len(store.hypotheses_of(gen, shard)) for shard in store.group_shards(gen))
        for name, count in verdict_counts(store, gen, plan.critic_of(gen)).items():
            verdicts[name] += count
    skipped = [(name, why) for name, why in found["skipped"]]
    return Done(found["photographs"], found["people"], skipped, groups, verdicts, rounds)


def looks_at_val(folder: Path) -> list[dict[str, float]]:
    """What a round measured on `val` at each look, the first one before its first step: mm."""
    looks = pd.read_parquet(folder / "evaluations.parquet", columns=["step", *LOOKED_AT])
    return [{str(name): value for name, value in look.items()} for look in looks.to_dict("records")]


def summarise(plan: Plan, done: Done) -> dict[str, Any]:
    """All measurements except those on photographs."""
    settings, monitor = plan.settings, plan.settings.critic.monitor
    body_model, (before, after) = body(plan.body_path), (plan.benchmark(when) for when in ("before", "after"))
    improvement = compare(before, after, settings.benchmark.bootstrap)
    base = model(plan.base)
    # The probe measured with the defaults: its gain cannot be compared with that of another sampler or protocol.
    test = plan.people("test")
    own = benchmark_sampler(settings.sample, base) == base.sampler
    as_probed = isinstance(test, StudioPeople) and settings.benchmark.protocol == "fit" and own
    headroom = measured_headroom(base.digest(), settings.studio.wild) if as_probed else None
    share = headroom and {
        e: improvement[e]["mpjpe_mm"]["value"] / headroom[e]["value"] for e in ("zero_noise", "best_of_g")
    }
    return {
        "run": settings.run.name,
        "settings_sha256": settings_sha256(settings),
        "differences": list(differences(settings)),
        "images": done.photographs,
        "skipped": len(done.skipped),
        "people": done.people,
        "groups": done.groups,
        "hypotheses": done.groups * settings.sample.hypotheses,
        "critic": plan.critic_name,
        "audit": kept_verdict(plan.folder / "audit.json"),
        "verdicts": done.verdicts,
        "cascade": savings(plan.folder),
        "saving": saving_text(plan.folder),
        "rounds": [
            {"best_step": t.best_step, "reason": t.reason, "val": looks_at_val(t.checkpoint.parent)}
            for t in done.rounds
        ],
        "stages": json.loads((plan.folder / "stages.json").read_text()),
        "split": "test",
        "measured_on": f"{test.name}" if isinstance(test, ImportedPeople) else "test: studio",
        "measured_against": measured_against(after),
        "benchmark": {"before": table(before), "after": table(after)},
        "protocol": settings.benchmark.protocol,
        "benchmark_extras": {"before": extras(before), "after": extras(after)},
        "uncertainty": {"before": uncertainty(before), "after": uncertainty(after)},
        "improvement_percent": improvement,
        "critic_quality": quality(before),
        "monitor": watched(plan.folder, plan.critic_name, plan.judged_by(monitor).critic_name) if monitor else [],
        "lifting": lifting_rows(plan.base if plan.base in ("lab", "default") else "default", body_model, test),
        "headroom": headroom,
        "share_of_headroom": share,
        "body": body_model.name,
        "base": plan.base,
        "checkpoint": plan.policy(settings.align.rounds),
    }

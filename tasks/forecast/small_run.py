"""The settings of a dry run: those of a run with every step kept and every count made small.

What changes: how many people, hypotheses, steps and rounds; the run's name; and the judge's server, for which one on
this machine stands in. All else is the user's: files, models, critics, objective, protocol, runner, place of the store.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.data.selection import counted, files_of
from tasks.forecast.missing import asks_somewhere, vlm_of
from tasks.run.settings import Records, Settings, validate

SUFFIX = "-dry-run"
EACH = 4  # people of each dataset, and photographs
MEASURED = 4  # people of val and of test
HYPOTHESES = 5
STEPS = 2
ROUNDS = 2
KEY = "HMR_ALIGN_DRY_RUN_KEY"
"""Environment variable that stands for the one with the key of the real server."""


def small_settings(settings: Settings, server: str, photographs: Path | None) -> Settings:
    """The settings of the dry run.

    server: address of the judge that stands in. photographs: a folder with some of the user's, if the run has any.
    Raises SettingsError if they do not fit together any more, or a file of records cannot be used.
    """
    values = settings.model_dump()
    changes: dict[str, dict[str, Any]] = {
        "run": {
            "name": settings.run.name + SUFFIX,
            "shard_size": min(settings.run.shard_size, 4),
        },
        "photographs": {"folder": photographs} if settings.photographs.folder is not None else {},
        "data": _data(settings),
        "sample": {"hypotheses": min(settings.sample.hypotheses, HYPOTHESES)},
        "overlay": {"groups_shown": min(settings.overlay.groups_shown, 1)},
        "critic": {"vlm": _judge(settings, server)},
        "align": {
            "rounds": min(settings.align.rounds, ROUNDS),
            "later": _short(settings.align.later) if settings.align.later else {},
        },
        "train": _short({"warmup": 0, "wandb": None, "groups_per_step": 2 * settings.train.processes}),
        "benchmark": {
            "hypotheses": min(settings.benchmark.hypotheses, HYPOTHESES),
            "bootstrap": min(settings.benchmark.bootstrap, 20),
        },
        "studio": {"wild": 6, "val": MEASURED, "test": MEASURED},
    }
    if settings.store.uri is not None:
        changes["store"] = {"uri": settings.store.uri.rstrip("/") + SUFFIX}
    for section, keys in changes.items():
        values[section] = {**values[section], **keys}
    return validate(Settings, values, "dry run")


def _short(training: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training of a few steps."""
    found = {**training, "steps": STEPS, "evaluate_every": STEPS, "save_every": STEPS, "watch_every": 1}
    return found | ({"warmup": 0} if "warmup" in training else {})


def _data(settings: Settings) -> dict[str, Any]:
    """The same datasets with equal weights, and few people of val and test, spread evenly over the first file."""
    data = settings.data
    if not data.train:
        found: dict[str, Any] = {}
    else:
        alike = tuple({**one.model_dump(), "weight": 1.0} for one in data.train)
        most = min(counted([one.model_copy(update={"weight": 1.0})])[0] for one in data.train)
        found = {"train": alike, "people": len(alike) * min(EACH, most)}
    return found | {name: tuple(map(_few, getattr(data, name))) for name in ("val", "test")}


def _few(one: Records) -> dict[str, Any]:
    first = one.model_copy(update={"records": files_of(one.records)[0]})
    count = counted([first])[0]
    return {**first.model_dump(), "stride": one.stride * max(count // MEASURED, 1)}


def _judge(settings: Settings, server: str) -> dict[str, Any]:
    """The critic's settings with another server, no limits on money, and no waiting; {} if nobody asks one."""
    if not asks_somewhere(settings):
        return {}
    changes: dict[str, Any] = {
        "base_url": server, "model": "loopback", "api_key_variable": KEY, "budget": None, "budget_tokens": None,
        "batch_poll_seconds": 0.05,
    }  # fmt: skip
    if vlm_of(settings).recall.embedder.startswith("endpoint:"):  # its vectors come from the real server
        changes["memory"] = None
    return {**settings.critic.vlm, **changes}

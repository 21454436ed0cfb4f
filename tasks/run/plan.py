"""Paths of a run, and which model, body and people each stage works with."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from critique.critic import Critic, Sight, sight_of
from critique.judge.asking import ENOUGH, allowance
from critique.vlm.vlm_settings import VlmSettings
from hmr.body.body import body_digest
from hmr.detection.pose_networks import detector_digest
from hmr.studio.studio import VERSION, Split
from storage.finished_file import remove_strays, write_text
from storage.group_store import GroupStore
from storage.remote_path import keep_tables_at
from tasks.benchmarking import BenchmarkPeople, StudioPeople, record_errors, wild_errors
from tasks.critics.critic_names import stored_name
from tasks.critics.remembering import pin_memory
from tasks.data.imported_people import ImportedPeople, selected
from tasks.run.devices import compute_for
from tasks.run.run_lock import held
from tasks.run.settings import (
    Records,
    Settings,
    SettingsError,
    Train,
    WeightedRecords,
    changed_since,
    differences,
    kept_settings,
    settings_sha256,
    validate,
)
from tasks.sampling import body, model, sampler_settings
from tasks.scoring import Errors, make_critic

FREE = "free"
"""Folder of the free photographs, and so the prefix of the names of their shards."""


DATA = "data"
"""Prefix of the names of shards of imported people."""


@dataclass(frozen=True)
class Plan:
    """The paths and choices that follow from the settings; no work is done here."""

    settings: Settings

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.settings.run.folder

    @property
    def store_root(self) -> Path:
        """Folder of the run's store."""
        return self.folder / "store"

    @property
    def store(self) -> GroupStore:
        """The run's store."""
        return GroupStore(self.store_root)

    @property
    def on_studio(self) -> bool:
        """Whether the run uses the embedded studio instead of the user's photographs or records."""
        return self.settings.photographs.folder is None and not self.settings.data.train

    @property
    def base(self) -> str:
        """Name or path of the model that alignment starts from."""
        chosen = self.settings.base.checkpoint
        return str(chosen) if chosen is not None else "lab" if self.on_studio else "default"

    @property
    def body_path(self) -> Path | None:
        """File of the body model; None = the embedded body."""
        return self.settings.base.body

    @cached_property
    def critic_name(self) -> str:
        """Name and version under which verdicts are stored."""
        return stored_name(self.settings.critic, self.settings.run.seed, self.folder)

    def critic_of(self, gen: str) -> str:
        """Name and version under which the verdicts of a generation are stored: a cascade's judge learns on."""
        return stored_name(self.settings.critic, self.settings.run.seed, self.folder, gen)

    def judged_by(self, name: str) -> "Plan":
        """The same run with another critic, and no monitor."""
        return Plan(self.settings.model_copy(update={"critic": self.settings.critic.named(name)}))

    @cached_property
    def truth(self) -> Errors | None:
        """A function for the true errors of a group, for a critic that needs them; None where nobody's truth is told:
        on the user's photographs, and on records without joints or bodies in space.
        """
        if not self.settings.critic.needs_truth:
            return None
        if self.on_studio:
            return wild_errors(body(self.body_path))
        people = self.labelled
        if self.settings.photographs.folder is not None or not isinstance(people, ImportedPeople):
            return None
        table = selected(people).table
        if all(table[name].null_count == len(table) for name in ("kp3d", "global_orient")):
            return None
        return record_errors(body(self.body_path), self.folder)

    def people(self, split: Split) -> BenchmarkPeople:
        """People with truth: for val and test the user's own if [data] names some, else a split of the studio.

        What is detected of them is cached, and shared by all runs.
        """
        sets = {"val": self.settings.data.val, "test": self.settings.data.test}.get(split, ())
        if sets:
            return self._imported(split, sets)
        return self.studio(split)

    @property
    def labelled(self) -> BenchmarkPeople:
        """The people whose labels a declared upper bound may read: `wild`, or those of [data] train."""
        train, data = self.settings.data.train, self.settings.data
        if not train:
            return self.studio("wild")
        return replace(self._imported("train", train), people=data.people, seed=self.settings.run.seed)

    def _imported(self, split: str, sets: Sequence[WeightedRecords | Records]) -> ImportedPeople:
        how, run = self.settings.photographs, self.settings.run
        cache = data_cache(run.out)
        return ImportedPeople(split, tuple(sets), cache, how.crop_margin, how.focal_px, run.shard_size, run.processes)

    def studio(self, split: Split) -> StudioPeople:
        """A studio split; its detections are cached and shared by all runs."""
        counts = self.settings.studio
        count = {"wild": counts.wild, "val": counts.val, "easy_val": counts.val}.get(split, counts.test)
        return StudioPeople(split, count, studio_cache(self.settings.run.out), self.settings.run.processes)

    def photographed(self) -> tuple[str, ...]:
        """Shards of the store with people of real photographs; in a run on the studio these are the free ones."""
        shards = self.store.people_shards()
        return tuple(name for name in shards if not self.on_studio or name.startswith(f"{FREE}-"))

    def policy(self, round_number: int) -> str:
        """The model after some rounds; 0 = the base."""
        return self.base if round_number == 0 else str(self.round_folder(round_number) / "policy.safetensors")

    def gen(self, round_number: int) -> str:
        """Name of the groups that the policy after some rounds draws."""
        return f"round{round_number}"

    def gens(self, names: Sequence[str] | None, use: str = "judge") -> list[str]:
        """The store's generations with these names, or all. Raises SettingsError if a named one is missing, or there is
        none.
        """
        sampled = self.store.gens()
        wanted = sampled if names is None else [*names]
        if not wanted or set(wanted) - set(sampled):
            lacking = ", ".join(sorted(set(wanted) - set(sampled)))
            raise SettingsError(
                f"{self.folder}: there is no run with groups{f' of {lacking}' if lacking else ''} to {use}; "
                "sample first (hmr-align sample), or check --name and --out"
            )
        return wanted

    def benchmark(self, name: str) -> Path:
        """File with a model's errors for each person; name: "before" or "after" alignment, or another name."""
        return self.folder / "benchmark" / f"{name}.npz"

    @property
    def people_found(self) -> Path:
        """File with the number of people found, and the photographs that could not be used."""
        return self.folder / "people.json"

    @cached_property
    def sight(self) -> Sight | None:
        """What the critic's pictures show; None if it looks at no pictures."""
        return sight_of(self._make_critic())

    @property
    def trained(self) -> bool:
        """Whether a round of this run was trained."""
        return (self.round_folder(1) / "result.json").exists()

    def older_gens(self, round_number: int) -> tuple[str, ...]:
        """The earlier generations that round 1, 2, ... trains on in addition to its own, oldest first."""
        own = round_number - 1
        return tuple(self.gen(k) for k in range(max(own - self.settings.align.max_age, 0), own))

    def temperature(self, round_number: int) -> float:
        """Temperature of the groups that the policy after some rounds draws."""
        details = self.settings.align.temperatures
        return details[min(round_number, len(details) - 1)] if details else self.settings.sample.temperature

    def training(self, round_number: int) -> Train:
        """[train] for round 1, 2, ...; `overrides` of later rounds are laid over those of the first."""
        first, later = self.settings.train, self.settings.align.later
        if round_number <= 1 or not later:
            return first
        values = first.model_dump() | later
        values["overrides"] = first.overrides | later.get("overrides", {})
        return validate(Train, values, "settings", "align.later")

    def round_folder(self, round_number: int) -> Path:
        """Folder of round 1, 2, ..."""
        return self.folder / "training" / f"round{round_number}"

    def check(self) -> None:
        """Check body, models, critic and the user's records before any work.

        Raises SettingsError, or the error of the reader of a file, if one of them cannot be used.
        """
        from tasks.training import train_settings  # here: it takes a second, which sampling alone does not need

        self.check_sampling()
        self._make_critic()
        if (monitor := self.settings.critic.monitor) is not None:
            with _about("[critic] monitor"):
                self.judged_by(monitor)._make_critic()
        self.check_second_critic()
        if self.settings.critic.name == "cascade":
            self._check_cascade()
        for people in (self.people("val"), self.people("test")):
            if isinstance(people, ImportedPeople):
                selected(people)
        for number in (1, 2):
            train_settings(self.training(number), self.settings.run.seed)

    def check_sampling(self) -> None:
        """The same for what sampling needs: body, base, device and the sampler's settings."""
        body(self.body_path)
        compute_for(self.settings.sample)
        sampler_settings(self.settings.sample, model(self.base).sampler)

    def check_second_critic(self) -> None:
        """Raises SettingsError for a second critic that needs pictures or truth: the groups of `val` come
        without them.
        """
        if (name := self.settings.train.second_critic) is None:
            return
        section, fix = self.settings.critic.named(name), "choose evidence, physics or scorer"
        with _about("[train] second_critic"):
            if section.needs_truth:
                raise SettingsError(f"'{name}' judges by ground truth, which training may not read: {fix}")
            if section.asks_server or make_critic(section, self.settings.run.seed).needs_pictures:
                raise SettingsError(
                    f"'{name}' looks at pictures, and none are drawn of the groups of val that it would score: {fix}, "
                    "or have it watch as [critic] monitor"
                )

    def _check_cascade(self) -> None:
        """Raises SettingsError for a cascade whose judge could not learn, or whose rounds mix several judges."""
        section, rounds = self.settings.critic.cascade, self.settings.align.rounds
        if self.settings.align.max_age:
            raise SettingsError(
                "[align] max_age: the judge of a cascade learns on from round to round, so verdicts on earlier groups "
                "are another judge's; leave max_age at 0"
            )
        share = allowance(section.budget, 0, 0, rounds)
        if section.judge is None and share < ENOUGH:
            raise SettingsError(
                f"[critic.cascade] budget = {section.budget}: the first of {rounds} rounds may ask about {share} "
                f"groups, and a judge needs {ENOUGH} to begin with: set budget to {ENOUGH * max(rounds, 1)} or more, "
                "or name a judge of hmr-align distill"
            )

    def _make_critic(self) -> Critic:
        return make_critic(self.settings.critic, self.settings.run.seed, self.truth)

    @property
    def memory(self) -> Path | None:
        """The store of the memory that the remote critic is shown; None = no memory."""
        return validate(VlmSettings, self.settings.critic.vlm, "settings", "critic.vlm").memory

    @contextmanager
    def held(self) -> Iterator[None]:
        """Context in which this process alone works in the run's folder, with the memory that the run began with.

        Unfinished files of killed processes are removed. Raises RunInUse if another process works there.
        """
        with held(self.folder):
            remove_strays(self.folder)
            if self.settings.store.uri is not None:
                keep_tables_at(self.store_root, self.settings.store.uri)
            if self.memory is not None:
                pin_memory(self.folder, self.memory)
            yield

    def claim(self) -> None:
        """Bind the folder of the run to these settings.

        Raises SettingsError if it was filled with other settings, or if files used by the run have changed since.
        """
        path = self.folder / "settings.json"
        base, body_ = model(self.base).digest(), body_digest(self.body_path)
        sampler = str(sampler_settings(self.settings.sample, model(self.base).sampler))
        made_with = {"detector": detector_digest(), "base": base, "body": body_, "sampler": sampler}
        if self.settings.data.train:
            made_with["data"] = selected(self.labelled).digest()  # type: ignore[arg-type]  # imported, so long as named
        kept = kept_settings(self.folder)
        if kept is not None:
            known = kept["made_with"]
            other = list(changed_since(kept["settings"], self.settings))
            other += [f"the {what} was {known[what]}, is {now}" for what, now in made_with.items()
                      if known.get(what, now) != now]  # fmt: skip
            if other:
                raise SettingsError(
                    f"{self.folder} holds a run with other settings ({'; '.join(other)}): "
                    "choose another --name, or remove the folder to start anew"
                )
            if known == made_with:
                return
        values = {
            "sha256": settings_sha256(self.settings),
            "differences": list(differences(self.settings)),
            "settings": self.settings.model_dump(mode="json"),
            "made_with": made_with,
        }
        write_text(path, json.dumps(values, indent=1))


@contextmanager
def _about(key: str) -> Iterator[None]:
    """Adds the key to the message of a SettingsError raised inside."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"{key}: {error}") from None


def data_cache(out: Path) -> Path:
    """Folder for what is detected of the user's people with truth: HMR_ALIGN_CACHE, else beside the runs."""
    return Path(os.environ.get("HMR_ALIGN_CACHE") or out / "studio-cache") / "data"


def studio_cache(out: Path) -> Path:
    """Folder for cached detections of studio people: HMR_ALIGN_CACHE, else beside the runs."""
    return Path(os.environ.get("HMR_ALIGN_CACHE") or out / "studio-cache") / VERSION

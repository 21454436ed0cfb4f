"""Reflection: groups of labelled people are judged, audited and tested, and a memory gets a new version."""

import hashlib
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from critique.annotation.verdicts import NAME
from critique.memory.embedders import text_embedder
from critique.memory.gate import LEAST_JUDGED
from critique.memory.learning import Case, Parts, Session, Tools, cut_into_parts, planned_groups, run_session
from critique.memory.memory import Memory
from critique.memory.reflection import Auditor
from critique.vlm.vlm_critic import VlmCritic, name_of
from critique.vlm.vlm_settings import VlmSettings
from hmr.body.body import Body
from hmr.metrics.evaluation import joint_errors, some_of, true_joints
from hmr.rendering.overlay import OverlayRenderer
from hmr.rendering.renderers import open_renderer
from hmr.studio.studio import Split, truths
from storage.finished_file import write_text
from storage.group_store import GroupStore
from storage.records import Group, Verdict
from tasks.critics.remembering import embedder_of, load_memory, newest, save_memory
from tasks.data.imported_people import ImportedPeople, measurable_people
from tasks.groups.overlays import mesh_of
from tasks.rendering import framed_photograph, group_vertices
from tasks.run.plan import Plan
from tasks.run.settings import CriticSection, OverlaySection, Reflect, SettingsError, validate
from tasks.run.shard_task import task
from tasks.sampling import body, model
from tasks.scoring import judge_all

LEAST_CASES = 15
"""Groups that people must have judged: five for each of exploring, testing and checking."""

PROTOTYPE_SIDE = 256  # px, of a prototype's picture


@dataclass(frozen=True)
class Reflected:
    """The result of one session of reflection."""

    memory: Path
    version: str
    numbers: dict[str, float]
    events: list[dict[str, Any]]


def reflecting_critic(section: CriticSection) -> VlmSettings:
    """The settings of the critic that reflects. Raises SettingsError for a critic that has no memory."""
    if section.name != "vlm":
        raise SettingsError(
            f"critic '{section.name}' takes no rules and cannot reflect; set [critic] name = \"vlm\" and its model"
        )
    return validate(VlmSettings, section.vlm, "settings", "critic.vlm")


def draw_name(plan: Plan) -> str:
    """A generation's name that depends on all that affects its groups: model, body, sampler and seed."""
    settings = plan.settings
    shaping = (settings.sample.model_dump_json(), str(plan.body_path), settings.run.seed)
    return f"{model(plan.base).digest()}-{hashlib.sha256(repr(shaping).encode()).hexdigest()[:8]}"


def labelled_errors(
    body_model: Body, split: Split, groups: Sequence[Group], people: ImportedPeople | None = None
) -> list[NDArray[np.float64]]:
    """MPJPE (G,), mm, of the hypotheses of each group; people: the user's own, None = the studio's.

    Raises SealedLabelsError for a split whose labels reflection may not read, SettingsError for a photograph that is
    not of the split.
    """
    if people is not None:
        return _told_errors(body_model, people, groups)
    scenes = [re.fullmatch(rf"{split}-(\d+)", Path(group.person.photo).stem) for group in groups]
    found = []
    for group, scene in zip(groups, scenes):
        if scene is None:
            raise SettingsError(f"{group.person.photo} is no photograph of the split '{split}'")
        truth = truths(body_model, split, [int(scene[1])], purpose="reflection")
        true = body_model.points(*map(torch.from_numpy, (truth.rotations, truth.betas, truth.translation))).joints
        found.append(np.asarray(joint_errors(torch.from_numpy(group.joints)[None], true)[0][0], np.float64))
    return found


def judged_by_people(store: GroupStore, gen: str) -> list[Case]:
    """The groups of a generation on which people's verdicts rank three hypotheses or more.

    Raises SettingsError if there are fewer than five: nothing could be tested on them.
    """
    found = [
        Case(group, np.full(len(group), np.nan), verdict)
        for group, verdict in store.judged(gen, NAME)
        if (~np.isnan(verdict.scores)).sum() >= LEAST_JUDGED
    ]
    if len(found) < LEAST_CASES:
        raise SettingsError(
            f"{store.root}: people have ranked {LEAST_JUDGED} bodies or more of {len(found)} groups of '{gen}', and "
            f"rules are tested on {LEAST_CASES} at least: hmr-align annotate --show 4 --gen {gen}"
        )
    return found


def _told_errors(body_model: Body, people: ImportedPeople, groups: Sequence[Group]) -> list[NDArray[np.float64]]:
    told = measurable_people(body_model, people)
    place = {person.group_id: k for k, person in enumerate(told.people)}
    rows = torch.tensor([place[group.person.group_id] for group in groups], dtype=torch.int64)
    true = true_joints(body_model, some_of(told.truth.bodies, rows))
    joints = torch.from_numpy(np.stack([group.joints for group in groups]))
    return [np.asarray(errors, np.float64) for errors in joint_errors(joints, true)[0]]


@task(task_run_name="take labelled people")
def take_labelled(people: ImportedPeople, body_path: Path | None, count: int, store_root: Path, seed: int) -> int:
    """Write `count` of the user's people with truth into a store, always the same; returns how many there are."""
    told, store = measurable_people(body(body_path), people).people, GroupStore(store_root)
    some = np.sort(np.random.default_rng(seed).permutation(len(told))[:count])
    for start in range(0, len(some), people.shard_size):
        part = some[start : start + people.shard_size]
        store.write_people(f"{people.split}-{start // people.shard_size:04d}", [told[k] for k in part])
    return len(some)


@task(task_run_name="reflect on {gen}", retries=0)
def reflect_on(
    gen: str,
    store_root: Path,
    body_path: Path | None,
    section: CriticSection,
    reflect: Reflect,
    overlay: OverlaySection,
    memory_root: Path,
    answers: Path | None,
    people: ImportedPeople | None = None,
) -> Reflected:
    """One session on all groups of a generation; commits the memory's next version.

    people: whose groups they are, if they are the user's own. Answers are stored in the file `answers`, so that a
    killed session, run again, pays only for what it had not asked.
    """
    critic, body_model, store = reflecting_critic(section), body(body_path), GroupStore(store_root)
    groups = [group for shard in store.group_shards(gen) for group in store.read_groups(gen, shard)]
    if reflect.split == "people":
        cases = judged_by_people(store, gen)
    else:
        cases = [Case(*pair) for pair in zip(groups, labelled_errors(body_model, reflect.split, groups, people))]
    before = newest(memory_root)
    memory = Memory(settings=critic.recall, embed=embedder_of(critic))
    if before is not None:
        memory = load_memory(memory_root, critic)
    session = hold_session(
        memory, cut_into_parts(cases, reflect), critic, body_model, body_path, reflect, overlay, answers
    )
    version = save_memory(memory_root, session.memory, before)
    events = [event.model_dump(exclude_defaults=True) for event in session.events]
    return Reflected(memory_root, version, session.numbers, events)


def hold_session(
    memory: Memory,
    parts: Parts,
    critic: VlmSettings,
    body_model: Body,
    body_path: Path | None,
    reflect: Reflect,
    overlay: OverlaySection,
    answers: Path | None,
) -> Session:
    """A session with a real critic: pictures are drawn and requests are sent; only answers are stored."""
    without_memory = critic.model_copy(update={"memory": None})  # the session decides which memory is shown
    remote = reflect.text_embedder.startswith("endpoint:")

    def judge(shown: Memory, groups: Sequence[Group]) -> list[Verdict]:
        return judge_all(list(groups), VlmCritic(without_memory, memory=shown, cache=answers), body_path, overlay)

    renderer = open_renderer(overlay.backend)
    try:
        tools = Tools(
            judge=judge,
            audit=Auditor(critic, answers).audit,
            picture=lambda group, place: overlay_jpeg(body_model, group, place, renderer),
            likeness=text_embedder(reflect.text_embedder, critic.address if remote else None, critic.api_key_variable),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            critic=name_of(without_memory, memory),
        )
        return run_session(memory, parts, tools, reflect)
    finally:
        renderer.close()


def overlay_jpeg(body_model: Body, group: Group, place: int, renderer: OverlayRenderer) -> bytes:
    """One hypothesis drawn over its photograph, as the bytes of a JPEG file."""
    photograph, camera = framed_photograph(group, PROTOTYPE_SIDE)
    mesh = mesh_of(body_model, group_vertices(body_model, group)[place], f"hypothesis {place}")
    picture = renderer.draw([mesh], camera, photograph).image
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=88)
    return buffer.getvalue()


def session_plan(memory_root: Path, reflect: Reflect) -> str:
    """The most that a session will ask for, as text."""
    memory = load_memory(memory_root) if newest(memory_root) is not None else Memory()
    judged = planned_groups(memory, reflect)
    return f"At most {judged} groups are judged and {reflect.audits} audited."


def write_session(reflected: Reflected, folder: Path) -> Path:
    """Write the numbers and the ledger of a session as JSON; returns the file."""
    file = folder / f"session-{reflected.version}.json"
    numbers = {name: value if math.isfinite(value) else None for name, value in reflected.numbers.items()}
    content = {"memory": str(reflected.memory), "version": reflected.version, "numbers": numbers}
    write_text(file, json.dumps({**content, "events": reflected.events}, indent=1))
    return file

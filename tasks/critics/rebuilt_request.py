"""What a critic of the store was sent about a group: its requests, made anew from what the store tells of it.

Requests are not stored, for they hold megabytes of pictures. All that one depends on is: the critic's record, its
memory, the group and the photograph. Each answer is kept under a digest of its request, so a request made anew is
proved to be the one that was sent if an answer is kept under its digest. Nothing is sent, and nothing is written.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from critique.critic import needs_of
from critique.endpoint.cache import FILE, AnswerCache, digest_of
from critique.memory.memory import Recalled
from critique.vlm.prompt import PROMPT_VERSION
from critique.vlm.vlm_critic import VlmCritic
from critique.vlm.vlm_settings import VlmSettings
from storage.records import Group
from tasks.critics.remembering import load_memory
from tasks.groups.overlays import drawn_groups
from tasks.run.settings import OverlaySection, SettingsError


class RebuiltRequest(NamedTuple):
    """The first request about some hypotheses of a group."""

    order: tuple[int, ...]  # hypotheses in the order shown: the k-th as image_{k + 2}
    body: bytes  # JSON; no key is in it
    answer: str | None  # the body of the answer that is kept to exactly this request; None = none is kept


class Rebuilt(NamedTuple):
    """All first requests about a group, and what of the memory they show."""

    requests: list[RebuiltRequest]
    recalled: Recalled


def server_records(record: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The records of the vision-language critics in a critic's record: its own, or those of its members."""
    if record is None:
        return
    if "prompt_version" in record:
        yield record
    inner = [*record.get("members", ()), record.get("of")]
    for one in inner:
        if isinstance(one, Mapping):
            yield from server_records(one)


def rebuilt_requests(
    record: Mapping[str, Any], group: Group, folder: Path, body_path: Path | None, overlay: OverlaySection
) -> Rebuilt:
    """The requests of the vision-language critic with this record, about a group of the run in `folder`.

    Raises SettingsError if the words or the memory of today are not those of the record, or the memory's examples are
    found by asking a server; PhotographError if the photograph is gone or has changed; MemoryStoreError if the memory
    cannot be read.
    """
    settings = settings_of(record)
    if settings.memory is not None and settings.recall.embedder.startswith("endpoint:"):
        raise SettingsError(
            f"the examples of {settings.memory} were found by asking a server ({settings.recall.embedder}), "
            "and nothing is sent here"
        )
    if settings.memory is not None and not settings.memory.is_dir():
        raise SettingsError(f"the memory {settings.memory} is not there any more; restore it to see what was shown")
    memory = None if settings.memory is None else load_memory(settings.memory, settings, record.get("memory_version"))
    cache = folder / FILE
    critic = VlmCritic(settings, memory=memory, cache=cache if cache.exists() else None, ready=False)
    if critic.name != record["critic"]:
        words = record["prompt_version"]
        why = (
            f"it was asked in the words of version {words}, and this program has version {PROMPT_VERSION}"
            if words != PROMPT_VERSION
            else "its settings or its memory were others"
        )
        raise SettingsError(f"{record['critic']}: its request cannot be made again: {why}. Its answers are kept")
    needs = needs_of(critic)
    (drawn,) = drawn_groups(
        [group], body_path, overlay, sight=needs.sight, shapes=needs.shapes, pack=needs.pack
    )  # fmt: skip
    firsts = critic.first_requests(drawn)
    asked = [digest_of(record["address"], first.request) for first in firsts]
    answers: list[str | None] = [None] * len(firsts)
    if critic.cache is not None:
        with AnswerCache(critic.cache, read_only=True) as kept:
            answers = [None if (found := kept.get(digest)) is None else found.body for digest in asked]
    return Rebuilt(
        [RebuiltRequest(tuple(one.order), one.body, answer) for one, answer in zip(firsts, answers)],
        critic.memory.recall(group.person),
    )


def settings_of(record: Mapping[str, Any]) -> VlmSettings:
    """The settings in a vision-language critic's record: all that its requests depend on."""
    own = {key: record[key] for key in ("memory", "recall", "token_limit_field") if key in record}
    return VlmSettings.model_validate({**record["settings"], **own, "base_url": record["address"]})

"""What a vision-language critic would be sent about one group, as files to look at: nothing is sent.

    requests/<critic>/<group>/request_1.json              the body, byte for byte as it would be sent
                              request_1.txt               its messages, with names of files in the place of pictures
                              request_1_picture_01.jpg ...  its pictures, in their order

Address and key are no part of a body, so neither is written.
"""

import base64
import json
import shutil
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from critique.critic import needs_of
from critique.endpoint.cache import FILE
from critique.vlm.cost import price
from critique.vlm.vlm_critic import FirstRequest, VlmCritic
from critique.vlm.vlm_settings import VlmSettings
from storage.finished_file import write_bytes, write_text
from storage.group_store import GroupStore
from storage.records import Group
from tasks.critics.remembering import memory_of
from tasks.groups.overlays import drawn_groups, picture_store
from tasks.run.settings import Settings, SettingsError, validate

FOLDER = "requests"
ENDINGS = {"jpeg": "jpg"}


class ShownRequest(NamedTuple):
    """One request, written to files."""

    text: str  # its messages, with names of files in the place of pictures
    files: list[str]  # names of its pictures' files
    size: int  # bytes of the body
    prompt_tokens: int  # by rule of thumb
    completion_tokens: int
    money: float


class ShownGroup(NamedTuple):
    """All first requests about a group."""

    gen: str
    critic: str
    folder: Path
    requests: list[ShownRequest]


def show_requests(settings: Settings, group_id: str) -> ShownGroup:
    """Write the first requests about a group, of the newest generation that has it, to a folder of the run.

    Raises SettingsError for a critic that asks no server, for a group that does not exist, and for a memory whose
    examples are only found by asking a server.
    """
    section, folder = settings.critic, settings.run.folder
    asked = [section, *([section.named(section.monitor)] if section.monitor else [])]
    if not any(one.asks_server for one in asked):
        raise SettingsError(f"critic '{section.name}' sends no request; choose the one that does: --critic vlm")
    vlm = validate(VlmSettings, section.vlm, "settings", "critic.vlm")
    if vlm.memory is not None and vlm.recall.embedder.startswith("endpoint:"):
        raise SettingsError(
            f"the examples of {vlm.memory} are found by asking a server ([critic.vlm.recall] embedder = "
            f"'{vlm.recall.embedder}'), and nothing is sent here; choose an embedder of this machine"
        )
    gen, group = _find(GroupStore(folder / "store"), group_id)
    critic = VlmCritic(vlm, memory=memory_of(vlm, folder), cache=folder / FILE, ready=False)
    needs = needs_of(critic)
    (drawn,) = drawn_groups(
        [group], settings.base.body, settings.overlay, sight=needs.sight, shapes=needs.shapes, pack=needs.pack,
        kept=picture_store(folder / "store"),
    )  # fmt: skip
    place = folder / FOLDER / quote(critic.name, safe="@") / quote(group_id, safe="")
    shutil.rmtree(place, ignore_errors=True)  # of earlier settings
    found = [
        _written(request, f"request_{number}", place, vlm)
        for number, request in enumerate(critic.first_requests(drawn), start=1)
    ]
    return ShownGroup(gen, critic.name, place, found)


def _find(store: GroupStore, group_id: str) -> tuple[str, Group]:
    known: list[str] = []
    for gen in reversed(store.gens()):
        for shard in store.group_shards(gen):
            ids = list(store.hypotheses_of(gen, shard))
            if group_id in ids:
                return gen, next(one for one in store.read_groups(gen, shard) if one.person.group_id == group_id)
            known += ids
    if not known:
        raise SettingsError(f"{store.root}: no groups yet; sample first (hmr-align sample), or check --name and --out")
    near = get_close_matches(group_id, known, n=3, cutoff=0.3) or known[:3]
    raise SettingsError(f"{store.root}: there is no group '{group_id}'; there is for example {', '.join(near)}")


def _written(request: FirstRequest, name: str, folder: Path, settings: VlmSettings) -> ShownRequest:
    """One request as files; the pictures are numbered as they are shown."""
    write_bytes(folder / f"{name}.json", request.body)
    files: list[str] = []

    def kept(url: str) -> str:
        kind, data = _picture(url)
        files.append(f"{name}_picture_{len(files) + 1:02d}.{ENDINGS.get(kind, kind)}")
        write_bytes(folder / files[-1], data)
        return files[-1]

    text = request_words(request.body, kept)
    write_text(folder / f"{name}.txt", text + "\n")
    tokens = request.guess
    return ShownRequest(
        text, files, len(request.body), int(tokens.prompt), int(tokens.completion), price(settings, tokens)
    )


def request_words(content: bytes, picture: Callable[[str], str]) -> str:
    """The messages and options of a request's body as text; `picture` gives a name to each picture's data URL."""
    body = json.loads(content)
    lines: list[str] = []
    for message in body["messages"]:
        lines.append(f"[{message['role']}]")
        for part in message["content"]:
            lines.append(part["text"] if part["type"] == "text" else f"<{picture(part['image_url']['url'])}>")
    options = {key: value for key, value in body.items() if key not in ("messages", "response_format")}
    lines.append(f"[options] {json.dumps(options)}")
    if "response_format" in body:
        lines.append("[response_format] the JSON schema of an answer, in the .json file")
    return "\n".join(lines)


def _picture(url: str) -> tuple[str, bytes]:
    """Kind and contents of a picture in a data URL."""
    head, data = url.split(",", 1)
    return head.removeprefix("data:image/").removesuffix(";base64"), base64.b64decode(data)


def summary_lines(shown: ShownGroup) -> list[str]:
    """What a user reads: the messages of the first request, then what all of them would take."""
    first, count = shown.requests[0], len(shown.requests)
    size, files = sum(one.size for one in shown.requests), sum(len(one.files) for one in shown.requests)
    sent = [f"{count} request{'s' * (count > 1)}", f"{files} pictures", f"{size / 1e6:.2f} MB"]
    given, back = (sum(part) for part in zip(*((one.prompt_tokens, one.completion_tokens) for one in shown.requests)))
    money = sum(one.money for one in shown.requests)
    return [
        first.text,
        "",
        *([f"... and {count - 1} more, of the same form."] if count > 1 else []),
        f"{shown.critic} about this group of {shown.gen}: {', '.join(sent)}; about {given:,} tokens in, {back:,} out, "
        f"money {money:,.4f}, by rules of thumb. Nothing was sent.",
        str(shown.folder),
    ]

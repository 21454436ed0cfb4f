"""Settings of a remote critic, and checks that stop a run before it spends anything."""

import logging
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from critique.memory.memory_settings import RECALL, RecallSettings
from critique.vlm.aggregate import Link
from critique.vlm.blocks import Mode
from critique.vlm.picture_encoder import Detail, Encoding, Views
from critique.vlm.prompt import Layout, PromptOrder
from critique.vlm.reply import plain_text

log = logging.getLogger(__name__)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class VlmConfigError(ValueError):
    """The remote critic cannot work as configured; the message says what is missing and how to fix it."""


class VlmSettings(BaseModel):
    """Address of the critic, what it is shown, and how long and how often it is asked.

    The key itself is not a setting: it stays in the environment variable that `api_key_variable` names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    base_url: str | None = None  # of an OpenAI-compatible API, usually ending in /v1; None = OPENAI_BASE_URL
    model: str | None = None  # as the server lists it; there is no default
    api_key_variable: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")] = "OPENAI_API_KEY"
    check_model: bool = True  # ask the server's list of models before the first group
    memory: Path | None = None  # store of rules and prototypes, made by `hmr-align reflect` or `memory import`
    recall: RecallSettings = RECALL  # how much of it a group is shown

    connect_seconds: Seconds = 10.0
    read_seconds: Seconds = 180.0  # longest silence within one try
    deadline_seconds: Seconds = 600.0  # for one judgement with all its tries, repairs and second chances
    retries: Annotated[int, Field(ge=0, le=10)] = 2  # after 429, 5xx, a timeout or a lost connection
    max_in_flight: Annotated[int, Field(ge=1, le=256)] = 8  # requests in progress at the same time
    second_chances: Annotated[int, Field(ge=0, le=10)] = 2  # a judgement that failed is asked for in another order

    max_tokens: Annotated[int, Field(ge=1)] = 4096  # of one answer; doubled once if an answer is cut off
    # options that servers may refuse can be "not sent" (or None); if a server refuses one, it is left out by itself
    token_limit_field: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"  # the latter: newer models
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    structured: bool = True  # ask for the JSON schema; left out by itself if the server refuses it

    long_side: Annotated[int, Field(ge=64, le=4096)] = 1024  # px of each picture sent, also of a contact sheet
    encoding: Encoding = "jpeg"
    max_picture_bytes: Annotated[int, Field(ge=4096)] | None = None  # quality, then size is lowered to keep to it
    layout: Layout = "separate"  # each overlay in a picture of its own, or all of a call numbered on one contact sheet
    detail: Detail | None = None  # None = not sent
    views: Views = "front"
    frame: Literal["person", "photograph"] = "person"  # pictures show the area around the person, or everything
    prompt_order: PromptOrder = "paper"  # task, pictures, memory; "memory_first": the memory before the pictures
    shuffle: bool = True  # show the hypotheses of each group in a seeded random order, against order bias
    seed: int = 0  # of that order

    mode: Mode = "list"  # what is judged together: the whole group, overlapping blocks, or pairs; see blocks.py
    repeats: Annotated[int, Field(ge=1, le=32)] = 1  # of the whole mode, each in another order
    block_size: Annotated[int, Field(ge=3, le=20)] = 7  # overlays in one call of mode "blocks"
    anchors: Annotated[int, Field(ge=1, le=10)] = 3  # of them in every block
    link: Link | None = None  # how calls are combined into one score, see aggregate.py; None = the mode's default
    expected_scores: bool = False  # means over token probabilities, if the server gives them

    prompt_price: Price = 0.0  # money per million tokens
    completion_price: Price = 0.0
    budget: Price | None = None  # money that one run may spend
    budget_tokens: Annotated[int, Field(ge=1)] | None = None  # tokens that one run may spend, sent and received
    batch: bool = False  # send first questions as a batch (JSONL), if the server takes batches
    batch_price: Annotated[float, Field(ge=0, le=1)] = 0.5  # of an answer by batch, as a share of the full price
    batch_poll_seconds: Seconds = 60.0
    batch_hours: Seconds = 24.0  # hours after which a batch is abandoned and its rest is asked one by one

    @field_validator("temperature", "token_limit_field", "detail", mode="before")
    @classmethod
    def _not_sent(cls, value: object) -> object:
        """TOML has no null: "not sent" stands for it."""
        return None if value == "not sent" else value

    @model_validator(mode="after")
    def _possible(self) -> "VlmSettings":
        if self.anchors >= self.block_size - 1:
            raise ValueError(f"anchors = {self.anchors} leaves no room in blocks of {self.block_size}; lower it")
        if self.budget is not None and not self.prompt_price + self.completion_price:
            raise ValueError("a budget needs prices: set prompt_price and completion_price, or use budget_tokens")
        return self

    @property
    def linked_by(self) -> Link:
        """How several calls are combined into one score: `link`, or the mode's default."""
        own: dict[Mode, Link] = {"list": "median", "blocks": "affine", "pairs": "bradley_terry"}
        return self.link or own[self.mode]

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        if value is not None:
            check_address(value, "base_url")
        return value

    @property
    def address(self) -> str:
        """The one address that requests go to: `base_url`, else OPENAI_BASE_URL.

        Raises VlmConfigError if neither is set, or if it is no plain http(s) URL.
        """
        if self.base_url is not None:
            return self.base_url
        address = os.environ.get("OPENAI_BASE_URL", "").strip()
        if not address:
            raise VlmConfigError(
                "no address for the remote critic: photographs are sent only to a server that you name. Set "
                "`base_url` or OPENAI_BASE_URL, for example http://localhost:8000/v1 or "
                "https://api.openai.com/v1"
            )
        check_address(address, "OPENAI_BASE_URL")
        return address

    @property
    def key(self) -> str:
        """The API key, read from the environment at each use and never stored.

        Raises VlmConfigError if the variable is not set.
        """
        key = os.environ.get(self.api_key_variable, "").strip()
        if not key:
            raise VlmConfigError(
                f"no API key for the remote critic: {self.api_key_variable} is not set. "
                "Set it (any word will do for a local server without keys), or name another variable in "
                "`api_key_variable`"
            )
        return key


def check_address(address: str, where: str) -> None:
    """Raises VlmConfigError if an address is no plain http(s) URL; the message does not repeat it, as it may hold a
    password.
    """
    try:
        url = urlsplit(address)
        plain = url.scheme in ("http", "https") and bool(url.hostname) and "@" not in url.netloc
        plain = plain and not url.query and not url.fragment and url.port != 0
    except ValueError:  # a port that is no number, brackets without an end
        plain = False
    if not plain:
        raise VlmConfigError(
            f"{where} is not a plain http or https address without user, password and query; write it as "
            "https://host/v1 and put the key into its environment variable"
        )


def check_model(settings: VlmSettings) -> None:
    """Asks the server for its models.

    Raises VlmConfigError if no model is set, the server does not list it, the server refuses the key, or there is no
    connection. A server that gives no list of models passes the check.
    """
    key, address = settings.key, settings.address
    if not settings.model:
        raise VlmConfigError("no model for the remote critic: set `model` to a name that the server lists")
    if not settings.check_model:
        return
    import openai  # here: half a second that most commands, which ask no server, can spare

    with openai.OpenAI(
        api_key=key,
        base_url=address,
        max_retries=0,
        timeout=openai.Timeout(settings.connect_seconds),
        http_client=openai.DefaultHttpxClient(follow_redirects=False),
    ) as client:
        try:
            answer = client.models.with_raw_response.list().http_response.json()
            known = sorted(str(entry["id"]) for entry in answer["data"])
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            raise VlmConfigError(
                f"the server at {address} refuses the key in {settings.api_key_variable}; check the variable"
            ) from None
        except openai.APIConnectionError as error:
            raise VlmConfigError(
                f"no answer from {address} ({type(error.__cause__ or error).__name__}); is the server "
                "running, and is `base_url` right?"
            ) from None
        except (openai.APIStatusError, ValueError, KeyError, TypeError) as error:
            log.info("%s gives no list of models (%s); going on", address, type(error).__name__)
            return
    if settings.model not in known and f"{settings.model}:latest" not in known:
        near = get_close_matches(settings.model, known, n=1)
        listed = ", ".join(known[:20]) or "none"
        fix = f"Did you mean '{near[0]}'?" if near else f"It lists: {listed}."
        raise VlmConfigError(f"the server at {address} has no model '{settings.model}'. {plain_text(fix, 500)}")

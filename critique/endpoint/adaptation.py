"""Parts of a request that a server refuses, found in its error message, and the request without them. Pure.

An error in the configuration affects every request. What can be adapted is adapted once and reported; for the rest
`setting_to_change` names the setting that fixes it.
"""

import re
from collections.abc import Iterable
from typing import Any

OPTIONS = {"logprobs": ("logprobs", "top_logprobs"), "response_format": ("response_format",)}
"""Optional parts of a request and their keys: they may be left out even if the error message names none of them."""

LIMITS = ("max_tokens", "max_completion_tokens")
"""Two names of the same limit; a server that refuses one accepts the other."""

_NAMES = {
    "temperature": r"temperature",
    "token limit": r"max_completion_tokens|max_tokens",
    "response_format": r"response_format|json_schema|json schema|structured output|guided|grammar",
    "logprobs": r"logprobs",
}
_UNKNOWN_MODEL = re.compile(
    r"(?i)\bmodel\b.{0,120}\b(not found|does not exist|doesn't exist|not available|unknown|invalid|not supported)"
    r"|\b(no such|unknown|invalid) model\b|model_not_found"
)
_NO_ENDPOINT = re.compile(r"(?i)unexpected endpoint|no route|unknown (path|endpoint|url)|invalid url")
_QUOTA = re.compile(r"(?i)insufficient_quota|insufficient (funds|credit|balance)|billing|out of credits")
_SOON = re.compile(r"(?i)per (minute|second|hour)|retry (in|after)|retrydelay|try again (in|later)|requests? per")
_PICTURES = re.compile(r"(?i)\b(images?|pictures?|multi-?modal)\b")
_TOO_MANY = re.compile(r"(?i)at most|too many|up to|maximum|exceed|limit|only|more than")
_CONTEXT = re.compile(r"(?i)context (length|window|size)|maximum context|prompt is too long|too many tokens")


def named_change(words: str, request: dict[str, Any], done: Iterable[str]) -> str | None:
    """The part of a request that an error message names as refused, of those that can be left out or renamed; else
    None.

    words: the server's error message; done: changes that were made already.
    """
    if _CONTEXT.search(words):
        return None
    for change, pattern in _NAMES.items():
        if change not in done and _present(change, request) and re.search(pattern, words, re.IGNORECASE):
            return change
    return None


def _present(change: str, request: dict[str, Any]) -> bool:
    keys = LIMITS if change == "token limit" else OPTIONS.get(change, (change,))
    return any(key in request for key in keys)


def changed(request: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """The request without the parts that a server refuses; a refused token limit gets its other name."""
    made = dict(request)
    for change in changes:
        if change == "token limit":
            for name, other in (LIMITS, LIMITS[::-1]):
                if name in request:
                    made[other] = made.pop(name)
        else:
            for key in OPTIONS.get(change, (change,)):
                made.pop(key, None)
    return made


def describe(change: str, address: str) -> str:
    """A sentence that reports an adaptation."""
    if change == "token limit":
        return f"{address} wants the limit of tokens by its other name; it is sent so from now on"
    return f"{address} takes no `{change}`; it is asked without from now on"


def picture_limit(words: str) -> int | None:
    """The most pictures that a server takes in one request, if its error message is about that; 0 = no number given."""
    if not (_PICTURES.search(words) and _TOO_MANY.search(words)):
        return None
    for pattern in (
        r"(?i)(?:at most|up to|maximum|limit|only|more than|exceeds?)\D{0,40}?([0-9]{1,3})",
        r"(?i)[0-9]{1,3}\s*(?:>|/|of)\s*([0-9]{1,3})",
    ):
        if found := re.search(pattern, words):
            return int(found[1])
    return 0


def is_quota(code: int, words: str) -> bool:
    """Whether the account's quota is used up, rather than the request rate too high."""
    return code == 402 or ("insufficient_quota" in words) or bool(_QUOTA.search(words) and not _SOON.search(words))


def setting_to_change(code: int, words: str, address: str, model: str, key_variable: str) -> str | None:
    """How to fix an error that affects every request; None for what may be the fault of a single request.

    code: HTTP status; words: the server's error message.
    """
    if is_quota(code, words):
        fix = "see to its quota, or name another key's variable in `api_key_variable`"
        return f"The account of the key in {key_variable} is used up: {fix}"
    if code in (401, 407):
        return f"Check the key in {key_variable}"
    if code in (404, 405) or _NO_ENDPOINT.search(words) or _UNKNOWN_MODEL.search(words):
        version = re.search(r"/v[0-9]+\w*$", address.rstrip("/"))
        fix = "" if version else f"`base_url` should probably be {address.rstrip('/')}/v1. "
        return f"{fix}Check `base_url`, the model '{model}' (`model`) and the key in {key_variable}"
    return None

"""Reads the body of a chat completion in the variants that servers send. Pure; its text is untrusted.

The text may be a string, a list of parts or an object, the arguments of a tool call, or an answer that is only in the
field for reasoning. An error in a body with HTTP 200 is an error and no answer.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from critique.vlm.expectation import Token

REASONING = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message in which servers put a model's reasoning."""


class CompletionError(ValueError):
    """The body is no chat completion; the message says what it is instead, in the server's own words."""


@dataclass(frozen=True)
class Completion:
    """What is read from a chat completion."""

    text: str
    finish: str = ""
    refusal: str = ""
    model: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    tokens: tuple[Token, ...] = ()
    note: str = ""  # why there is no text, if the server gives a reason


def read_completion(body: str) -> Completion:
    """The completion in a response's body.

    Raises CompletionError if the body is no chat completion, reports an error, or holds no choice.
    """
    try:
        found = json.loads(body.lstrip("\ufeff \t\r\n"))
    except (ValueError, RecursionError):
        raise CompletionError(f"the server's answer is not a chat completion: {body.strip() or '(nothing)'}") from None
    if not isinstance(found, dict):
        raise CompletionError(f"the server's answer is not a chat completion: {body}")
    choices = found.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    error = error_words(found) or (error_words(choice) if isinstance(choice, dict) else "")
    if error:
        raise CompletionError(f"the server answers with an error: {error}")
    if choices is None and "choices" not in found:
        raise CompletionError(f"the server's answer is not a chat completion: {body}")
    if not choices:
        raise CompletionError("the server's answer holds no choice")
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise CompletionError(f"the server's answer is not a chat completion: {body}")
    text, note = _answer(message)
    usage = _table(found.get("usage"))
    return Completion(
        text,
        _word(choice.get("finish_reason")),
        _word(message.get("refusal")),
        _word(found.get("model")),
        _count(usage.get("prompt_tokens")),
        _count(_table(usage.get("prompt_tokens_details")).get("cached_tokens")),
        _count(usage.get("completion_tokens")),
        _tokens(choice.get("logprobs")),
        note,
    )


def error_words(table: Mapping[str, Any]) -> str:
    """The error message that a body holds next to or instead of choices; "" if there is none."""
    error = table.get("error")
    if error is None and not table.get("choices") and not table.get("message_id") and "finish_reason" not in table:
        error = table.get("detail") or (table.get("message") if table.get("object") == "error" else None)
    if not error:
        return ""
    if isinstance(error, dict):
        details = [error.get(key) for key in ("code", "type", "message")]
        return ": ".join(str(one) for one in details if one) or json.dumps(error)
    return error if isinstance(error, str) else json.dumps(error)


def error_text(body: str) -> str:
    """A server's error message: the error in a JSON body, or the body itself."""
    try:
        found = json.loads(body.lstrip("\ufeff \t\r\n"))
    except (ValueError, RecursionError):
        return body
    return (error_words(found) if isinstance(found, dict) else "") or body


def _answer(message: Mapping[str, Any]) -> tuple[str, str]:
    """The text of a message, and if there is none why."""
    text = _text(message.get("content"))
    if text.strip():
        return text, ""
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else [{"function": message.get("function_call")}]
    given = [_table(_table(call).get("function")).get("arguments") for call in calls]
    details = [one if isinstance(one, str) else json.dumps(one) for one in given if one]
    if details:
        return details[0] if len(details) == 1 else f"[{', '.join(details)}]", ""
    thought = next((words for name in REASONING if (words := _text(message.get(name)).strip())), "")
    if thought.startswith("{") and thought.endswith("}"):
        return thought, ""  # a reasoning parser that took the whole answer for reasoning
    note = "all that came is reasoning, and no answer after it: raise max_tokens or switch the reasoning off"
    return "", note if thought else ""


def _text(content: Any) -> str:
    """Content as a string, in parts (reasoning left out), or as the object that was asked for."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return _part(content) if "type" in content or "text" in content else json.dumps(content)
    if isinstance(content, list):
        if any(isinstance(part, dict) and "type" not in part and "text" not in part for part in content):
            return json.dumps(content)
        return "".join(part if isinstance(part, str) else _part(part) for part in content)
    return ""


def _part(part: Any) -> str:
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    return _word(_table(text).get("value")) if isinstance(text, dict) else _word(text)


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    """Probabilities of tokens; () where they are of another form than the usual one."""
    content = _table(logprobs).get("content")
    try:
        return tuple(Token.model_validate(one) for one in content) if isinstance(content, list) else ()
    except ValidationError:
        return ()


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    """A token count, which may come as a float; 0 for what is no number."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return int(value) if usable else 0

"""What a vision-language critic was sent about a group, as the page shows it: words, pictures, memory, whole answer."""

import base64
import json
from typing import Any

from critique.memory.memory import Recalled
from tasks.critics.rebuilt_request import Rebuilt


def asked_page(rebuilt: Rebuilt, number: int) -> dict[str, Any]:
    """One of the requests as JSON would hold it; pictures are data URLs, byte for byte as they were sent.

    Raises IndexError if there is no such request.
    """
    request = rebuilt.requests[number]
    body = json.loads(request.body)
    return {
        "number": number,
        "count": len(rebuilt.requests),
        "order": request.order,
        "bytes": len(request.body),
        "proved": request.answer is not None,
        "messages": [{"role": one["role"], "parts": list(map(_part, one["content"]))} for one in body["messages"]],
        "options": {key: value for key, value in body.items() if key != "messages"},
        "answer": request.answer,
        "memory": _memory(rebuilt.recalled),
    }


def _part(part: dict[str, Any]) -> dict[str, str]:
    return {"text": part["text"]} if part["type"] == "text" else {"picture": part["image_url"]["url"]}


def _memory(recalled: Recalled) -> dict[str, Any]:
    """Rules and prototypes that the request shows."""
    return {
        "rules": [{"id": rule.id, "text": rule.text, "tags": rule.tags} for rule in recalled.rules],
        "prototypes": [
            {
                "id": one.id,
                "rationale": one.rationale,
                "score": one.score,
                "tags": one.tags,
                "overlay": one.overlay,
                "picture": None if one.picture is None else _data_url(one.picture),
            }
            for one in recalled.prototypes
        ],
    }


def _data_url(file: bytes) -> str:
    kind = "png" if file.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"

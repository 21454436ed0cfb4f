"""What judging will cost, before anything is sent: requests, tokens, money and hours. Pure.

If the run's ledger already has answers of this critic, their means are used; else rough rules: a picture is
ceil(w / 28) x ceil(h / 28) tokens, as in the Qwen-VL family (other models differ by up to a factor of three).
"""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

from critique.endpoint.cache import Spent
from critique.vlm.blocks import calls
from critique.vlm.contact_sheet import grid_of
from critique.vlm.vlm_settings import VlmSettings

PATCH = 28  # px of a picture's side that make one token
TASK_TOKENS = 330  # of the words of a request
LABEL_TOKENS = 6  # of a picture's label
VERDICT_TOKENS = 35  # of a score with its comment
MEMORY_TOKENS = 200  # of five rules
PROTOTYPE_TOKENS = 60  # of a rationale, without its picture
LETTERS = 4  # of a token of English text
ASSUMED_SECONDS = 15.0  # of an answer, where none was measured


class Tokens(NamedTuple):
    """Number of tokens of one request and its answer."""

    prompt: int | float
    completion: int | float


class Estimate(NamedTuple):
    """What judging some groups will take."""

    requests: int
    pictures: int
    prompt_tokens: int
    completion_tokens: int
    money: float
    hours: float
    measured: bool  # from the mean of answers in the ledger, not by rule


def picture_tokens(settings: VlmSettings, size: int) -> int:
    """Tokens of one overlay that is drawn `size` px high and wide, by rule."""
    width = 2 * size if settings.views == "front+side" else size
    shrink = min(1.0, settings.long_side / width)
    return ceil(width * shrink / PATCH) * ceil(size * shrink / PATCH)


def sheet_tokens(settings: VlmSettings, overlays: int, size: int) -> int:
    """Tokens of a contact sheet of so many overlays that are drawn `size` px high and wide, by rule."""
    width = 2 * size if settings.views == "front+side" else size
    height, wide = grid_of(overlays, size, width, settings.long_side).size
    return ceil(wide / PATCH) * ceil(height / PATCH)


def request_tokens(settings: VlmSettings, overlays: int, size: int, prototypes: int = 0) -> Tokens:
    """Tokens, by rule, of a request with so many overlays of `size` px; repairs and retries are not counted."""
    words = TASK_TOKENS + (MEMORY_TOKENS if settings.memory else 0) + prototypes * PROTOTYPE_TOKENS
    one, answer = picture_tokens(settings, size) + LABEL_TOKENS, overlays * VERDICT_TOKENS
    if settings.layout == "sheet":
        sheet = sheet_tokens(settings, overlays, size) + LABEL_TOKENS
        return Tokens((1 + prototypes) * one + sheet + words, answer)
    return Tokens((overlays + 1 + prototypes) * one + words, answer)


def text_tokens(text: str, sentences: int) -> Tokens:
    """Tokens, by rule, of a request without pictures that is answered by so many sentences."""
    return Tokens(len(text) // LETTERS, sentences * VERDICT_TOKENS)


def price(settings: VlmSettings, tokens: Tokens) -> float:
    """Money, in the currency of the configured prices, without the batch discount."""
    return (tokens.prompt * settings.prompt_price + tokens.completion * settings.completion_price) / 1e6


def estimate(
    settings: VlmSettings,
    groups: Mapping[int, int],
    size: int,
    prototypes: int = 0,
    known: Spent | None = None,
) -> Estimate:
    """The cost of judging `groups[g]` groups of g hypotheses, drawn `size` px; repairs and retries are not counted.

    prototypes: pictures that the memory adds to each request. known: what answers of this same critic took so far.
    """
    s = settings
    shown = [
        (overlays, count)
        for hypotheses, count in groups.items()
        for overlays in calls(s.mode, hypotheses, s.repeats, s.block_size, s.anchors)
    ]
    requests = sum(count for _, count in shown)
    overlays = sum(count * number for number, count in shown)
    pictures = (requests if s.layout == "sheet" else overlays) + requests * (1 + prototypes)
    if known is not None and known.answers:
        prompt = requests * known.prompt_tokens // known.answers
        completion = requests * known.completion_tokens // known.answers
        seconds = known.seconds / known.answers
    else:
        each = [(count, request_tokens(s, number, size, prototypes)) for number, count in shown]
        prompt = sum(count * int(tokens.prompt) for count, tokens in each)
        completion = sum(count * int(tokens.completion) for count, tokens in each)
        seconds = ASSUMED_SECONDS
    money = (s.batch_price if s.batch else 1.0) * price(s, Tokens(prompt, completion))
    hours = requests * seconds / s.max_in_flight / 3600
    return Estimate(requests, pictures, prompt, completion, money, hours, bool(known and known.answers))


MODES: dict[str, dict[str, object]] = {
    "list, once (as in the paper)": {"mode": "list", "repeats": 1},
    "list, 3 orders": {"mode": "list", "repeats": 3},
    "blocks, once": {"mode": "blocks", "repeats": 1},
    "blocks, twice": {"mode": "blocks", "repeats": 2},
    "pairs, 2 rings": {"mode": "pairs", "repeats": 2},
}
"""Ways of judging whose costs are shown for comparison."""


def alternatives(settings: VlmSettings) -> dict[str, VlmSettings]:
    """The settings with each other way of judging, by its name."""
    return {name: settings.model_copy(update=change) for name, change in MODES.items()}

"""Scores as expectations over a model's token probabilities, if the server gives them. Pure.

A model that is undecided between 60 and 80 writes one of them; the mean over what it might have written ranks better.
Source: expectation over score tokens, as judges of image and text quality use it.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

MIDDLE_DIGIT = 4.5  # mean of a second digit that is unknown


class Alternative(BaseModel):
    """A token that the model might have written."""

    token: str
    logprob: float


class Token(Alternative):
    """A token that the model wrote, and the most likely alternatives."""

    top_logprobs: list[Alternative] = []


def expected_scores(text: str, tokens: Sequence[Token], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(G,) the scores 0-100 of a reply, each replaced by its expectation where the token probabilities allow it.

    scores: (G,) as read from `text`, NaN = none; tokens: those of the whole text.
    """
    if "".join(token.token for token in tokens) != text:
        return scores
    ends = np.cumsum([len(token.token) for token in tokens])
    found = scores.copy()
    for index, said in enumerate(scores):
        label = rf'"(?i:image)[\s._-]*0*{index + 2}"\s*:\s*\{{[^{{}}]*?"(?i:score)"\s*:\s*"?([0-9]{{1,3}})(?![0-9.])'
        numbers = list(re.finditer(label, text))
        if not numbers or float(numbers[-1][1]) != said:
            continue
        start, stop = numbers[-1].span(1)
        first, last = np.searchsorted(ends, [start, stop - 1], side="right")
        expected = _expected(tokens[first : last + 1], numbers[-1][1])
        found[index] = said if expected is None else expected
    return found


def _expected(tokens: Sequence[Token], number: str) -> float | None:
    """Expectation of a number of one token, or of two digits in two tokens; None for any other."""
    if [_digits(token.token) for token in tokens] == [number]:
        likely = _likely(tokens[0])
        return sum(value * share for value, share in likely.items())
    if len(number) == 2 and [_digits(token.token) for token in tokens] == list(number):
        tens, ones = ({d: p for d, p in _likely(token).items() if d < 10} for token in tokens)
        tens_total, ones_total = sum(tens.values()), sum(ones.values())
        same = tens.get(int(number[0]), 0.0) / tens_total
        one = sum(value * share for value, share in ones.items()) / ones_total
        ten = sum(value * share for value, share in tens.items()) / tens_total
        return 10 * ten + same * one + (1 - same) * MIDDLE_DIGIT
    return None


def _likely(token: Token) -> dict[int, float]:
    """Probabilities of the numbers 0-100 at a token's position, including the one written; they sum to 1."""
    shares: dict[int, float] = {}
    for alternative in (token, *(other for other in token.top_logprobs if other.token != token.token)):
        digits = _digits(alternative.token)
        if digits is not None and int(digits) <= 100:
            shares[int(digits)] = shares.get(int(digits), 0.0) + float(np.exp(min(alternative.logprob, 0.0)))
    total = sum(shares.values())
    return {value: share / total for value, share in shares.items()}


def _digits(text: str) -> str | None:
    found = re.fullmatch(r'[\s":]*([0-9]{1,3})[\s",}]*', text)
    return found[1] if found else None

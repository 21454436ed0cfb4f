"""What people's answers about a group say of its hypotheses: worths by the model of Plackett and Luce, as scores.

    u = argmax  sum_answers log chance(answer | u) - |u|^2 / 2,      score = 100 sigmoid(u)

A member has worth 0, 50 points, before anything is known. One answer "A is better than B" puts A at 58 and B at 42.
Hypotheses that nobody was shown have no score: people abstained on them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from critique.annotation.answers import Answer
from critique.judge.plackett_luce import ranking, surprise
from storage.records import Verdict

Floats = NDArray[np.float64]

NAME = "human@1"
NOT_SHOWN = "not shown to anybody"


def places(answer: Answer, size: int) -> Floats:
    """(size,) an answer as scores: larger is better, equal = tied, NaN = not shown."""
    found = np.full(size, np.nan)
    found[list(answer.shown)] = 0.0
    for place, hypothesis in enumerate(answer.best_first):
        found[hypothesis] = len(answer.best_first) - place
    return found


def human_worths(answers: Sequence[Answer], size: int) -> Floats:
    """(size,) worth of each hypothesis, nats; NaN for one that no answer is about. Skipped questions say nothing."""
    said = [answer for answer in answers if not answer.skipped]
    if not said:
        return np.full(size, np.nan)
    told = np.stack([places(answer, size) for answer in said])
    open_ended = np.array([not answer.equal for answer in said])
    parts = [
        (rows, ranking(told[rows], ends)) for ends in (True, False) if len(rows := np.flatnonzero(open_ended == ends))
    ]

    def loss(worths: Floats) -> tuple[float, Floats]:
        total, slope = float(worths @ worths) / 2, worths.copy()
        for rows, ranked in parts:
            nats, gradient = surprise(np.tile(worths, (len(rows), 1)), ranked)
            total, slope = total + nats, slope + gradient.sum(0)
        return total, slope

    found = minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-15})
    return np.where(np.isnan(told).all(0), np.nan, found.x)


def human_verdict(answers: Sequence[Answer], size: int) -> Verdict | None:
    """The verdict of critic `human@1` on a group of `size` hypotheses; None if all answers about it were skipped.

    Raises ValueError if an answer is about a hypothesis that the group does not have.
    """
    said = [answer for answer in answers if not answer.skipped]
    if not said:
        return None
    if max(max(answer.shown) for answer in said) >= size:
        raise ValueError(f"{said[0].group_id}: answers about hypotheses that the group of {size} does not have")
    worths = human_worths(said, size)
    scores = 100 / (1 + np.exp(-worths))
    comments = [_comment(said, place) for place in range(size)]
    statuses = tuple("abstained" if np.isnan(score) else "ok" for score in scores)
    seconds = sum(answer.seconds for answer in said)
    return Verdict(said[0].group_id, NAME, scores, statuses, tuple(comments), seconds=seconds)


def _comment(answers: Sequence[Answer], place: int) -> str:
    """What people said of one hypothesis."""
    about = [answer for answer in answers if place in answer.shown]
    if not about:
        return NOT_SHOWN
    words = []
    for answer in about:
        if answer.equal:
            words.append("as good as the others shown")
        elif answer.best_first[0] == place:
            words.append(f"best of {len(answer.shown)} shown")
        else:
            words.append("worse than another shown" + (f": {answer.why}" if answer.why else ""))
    return "; ".join(dict.fromkeys(words))

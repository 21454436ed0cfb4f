"""Whether a critic's scores are on another scale than 0-100: detected and reported, never converted. Pure."""

from collections.abc import Iterable

import numpy as np

from storage.records import Verdict

LEAST = 6  # fewest scores, from two groups or more, for a warning
SCALES = ((1.0, "0-1"), (5.0, "1-5"), (10.0, "0-10"))


def likely_scale(scores: Iterable[int | float]) -> str | None:
    """The scale that scores seem to be on, if it is not 0-100; NaN = no score.

    A shorter scale is assumed if all scores lie within it and one lies in its upper half: bad bodies can get 3 points,
    but hardly ever in a whole run.
    """
    known = np.array([score for score in scores if np.isfinite(score)])
    if len(known) < LEAST or not known.any():
        return None
    return next((name for top, name in SCALES if top / 2 < known.max() <= top), None)


def scale_fault(verdicts: Iterable[Verdict]) -> str | None:
    """A warning about the scale of a critic's scores; None if they are probably on 0-100."""
    given = [verdict for verdict in verdicts if verdict.replies]
    scale = likely_scale(float(score) for verdict in given for score in verdict.scores) if len(given) > 1 else None
    if scale is None:
        return None
    return (
        f"no score is above {scale.split('-')[1]}: the model seems to answer on a scale of {scale}, not of 0-100 as it "
        "is asked. Ranks within a group are not harmed, but scores compare with no other critic's; say the scale in a "
        "rule of its memory, or choose a model that follows the prompt"
    )

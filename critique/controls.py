"""Planted controls: a useful critic ranks the true mesh first and a grossly wrong mesh last. Pure."""

from collections.abc import Sequence

import numpy as np

from storage.records import Verdict


def control_rates(verdicts: Sequence[Verdict], truth: Sequence[int], corrupted: Sequence[int]) -> dict[str, float]:
    """Shares of groups, 0..1, given the index of the true and of the corrupted hypothesis in each.

    `truth_wins`: the truth has the highest score of its group; `corrupted_loses`: the corrupted mesh has the lowest;
    `truth_beats_corrupted`: of the two alone. A tie of n counts 1 / n. Groups in which one of the two has no score
    count in `unjudged` alone. Chance is 1 / G, 1 / G and 1 / 2.
    """
    wins, losses, beats = [], [], []
    for verdict, best, worst in zip(verdicts, truth, corrupted, strict=True):
        scores = verdict.scores
        if np.isnan(scores[[best, worst]]).any():
            continue
        known = scores[~np.isnan(scores)]
        wins.append((scores[best] == known.max()) / (known == known.max()).sum())
        losses.append((scores[worst] == known.min()) / (known == known.min()).sum())
        beats.append(0.5 * (np.sign(scores[best] - scores[worst]) + 1))
    rates = {"truth_wins": wins, "corrupted_loses": losses, "truth_beats_corrupted": beats}
    found = {name: float(np.mean(values)) if values else float("nan") for name, values in rates.items()}
    return found | {"unjudged": 1 - len(wins) / len(verdicts) if verdicts else float("nan")}

import numpy as np

from storage.unsureness import unsureness

NAN = np.nan


def test_unsure_is_who_leads_by_little():
    scores = {
        "sure": [90, 10, 50], "close": [50, 89, 90], "measured": [90, 10, 50], "alone": [NAN, 90, NAN], "two": [7, 7],
        "no one": [NAN], "nobody": [], "last": [5],
    }  # fmt: skip
    errors = [100.0 if name == "measured" else NAN for name, own in scores.items() for _ in own]
    sizes = np.array([len(own) for own in scores.values()])
    inf = float("inf")
    found = unsureness(sizes, np.concatenate([*scores.values()]).astype(float), np.array(errors))
    assert found.tolist() == [-40, -1, 60, inf, 0, inf, inf, inf]
    assert len(unsureness(sizes[:0], np.empty(0), np.empty(0))) == 0

import numpy as np

from storage.rows import rows_of_groups, rows_of_verdicts
from storage.shards.notes import (
    notes_of,
    notes_of_groups,
    notes_of_verdicts,
    sizes_noted,
    unsure_noted,
    unsureness,
)
from tests.factories import make_group, make_verdict

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


def test_notes_from_records_are_those_from_tables():
    """What a writer notes, and what `repair` notes of the files."""
    rng = np.random.default_rng(0)
    groups = [make_group(rng, size) for size in (4, 4, 1, 3)]
    verdicts = [make_verdict(group) for group in groups]
    verdicts[1] = make_verdict(groups[1], [50, np.nan, 40, 3], uncertainty=np.array([8.0, np.nan, 1, 1]))
    verdicts[3] = make_verdict(groups[3], [np.nan, 5, 6], statuses=("timeout", "ok", "ok"))
    noted = notes_of_verdicts(verdicts)
    assert notes_of(rows_of_verdicts(verdicts)) == noted and noted["pending"] == 1
    assert unsure_noted(noted).tolist() == [-10, -2, np.inf, -1]
    drawn = {group.person.group_id: len(group) for group in groups}
    assert (
        notes_of(rows_of_groups(groups)) == notes_of_groups(drawn) and noted["order"] == notes_of_groups(drawn)["order"]
    )
    assert notes_of_groups(drawn)["sizes"] == [4, 2, 1, 1, 3, 1]
    assert sizes_noted(notes_of_groups(drawn)).tolist() == [4, 4, 1, 3]
    assert sizes_noted({}) is None and unsure_noted({"pending": 0}) is None

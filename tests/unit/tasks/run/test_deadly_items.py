"""What a process died on is tried alone after some deaths, and left out with the reason if that kills it too."""

from tasks.run.deadly_items import MOST, deaths


def test_a_process_that_dies_again_and_again(tmp_path):
    file = tmp_path / "note.json"
    for count in range(MOST):
        died = deaths(file)
        assert not died.suspected("bad") and died.counts.get("bad", 0) == count
        died.begin(["good"])
        died.end("good")
        died.begin(["bad"])  # and here it dies
    died = deaths(file)
    assert died.suspected("bad") and not died.suspected("good") and died.quarantined("bad") is None
    died.begin(["bad"])  # and the machine loses power once more: that convicts nobody
    died = deaths(file)
    assert died.suspected("bad") and died.quarantined("bad") is None
    died.convict("bad")
    died = deaths(file)
    assert "died 6 times" in (died.quarantined("bad") or "") and str(file) in (died.quarantined("bad") or "")
    assert died.quarantined("good") is None and not died.suspected("bad")
    died.end_all()
    assert deaths(file).counts == {"bad": MOST + 1}  # it stays out


def test_one_death_is_forgotten_when_all_goes_well(tmp_path):
    file = tmp_path / "note.json"
    deaths(file).begin(["a", "b"])  # several at once, and it dies
    died = deaths(file)
    assert died.counts == {"a": 1, "b": 1}
    for item in "ab":
        died.begin([item])
        died.end(item)
    died.end_all()
    assert not file.exists()

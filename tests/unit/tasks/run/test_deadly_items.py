"""What a process died on is left out after some deaths, with the reason; the others are done."""

from tasks.run.deadly_items import MOST, deaths


def test_a_process_that_dies_again_and_again(tmp_path):
    file = tmp_path / "note.json"
    for count in range(MOST):
        died = deaths(file)
        assert died.quarantined("bad") is None and died.counts.get("bad", 0) == count
        died.begin(["good"])
        died.end("good")
        died.begin(["bad"])  # and here it dies
    died = deaths(file)
    assert "died 5 times" in (died.quarantined("bad") or "") and str(file) in (died.quarantined("bad") or "")
    assert died.quarantined("good") is None
    died.end_all()
    assert deaths(file).counts == {"bad": MOST}  # it stays out


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

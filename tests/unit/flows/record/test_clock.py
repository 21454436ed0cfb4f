from flows.record.clock import warning_of


def test_what_is_said_of_clocks():
    assert warning_of(0.0) is None and warning_of(-14.0) is None
    assert "3,600 s ahead of the Prefect server's" in (warning_of(3600.2) or "")
    assert "60 s behind the Prefect server's" in (warning_of(-60.0) or "") and "NTP" in (warning_of(-60.0) or "")

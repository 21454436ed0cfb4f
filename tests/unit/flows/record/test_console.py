"""What reaches the terminal of what is logged."""

import logging

import pytest

from flows.record.console import terminal


@pytest.fixture
def ours():
    logger = logging.getLogger("critique.endpoint.endpoint")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(before)


@pytest.mark.parametrize("debug", [False, True])
def test_our_lines_stand_bare_and_once(ours, debug, capsys, monkeypatch):
    monkeypatch.delenv("PREFECT_LOGGING_LEVEL")
    with terminal(debug):
        ours.info("a very long line [which] is not cut, %s", 90 * "x")
        logging.getLogger("prefect.flow_runs").info("Beginning flow run")
    details = capsys.readouterr()
    assert details.out == f"a very long line [which] is not cut, {90 * 'x'}\n" and details.err == ""
    ours.info("afterwards")
    assert capsys.readouterr().out == ""

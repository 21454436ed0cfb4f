"""A person agrees, or not, before money is spent or a new rule is used: from the dashboard, or nobody does in time."""

import logging
from typing import Literal

from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput

log = logging.getLogger(__name__)

POLL = 5  # seconds between two looks for an answer


class Approval(RunInput):
    """What the dashboard asks for when somebody presses Resume."""

    approve: bool = False
    why: str = ""


def approved(question: str, minutes: float, unanswered: Literal["stop", "continue"]) -> bool:
    """Pause the flow run until somebody answers the question on the dashboard (Resume), at most so many minutes.

    Returns the answer, or whether `unanswered` says "continue". The process waits; its heartbeats go on.
    """
    form = Approval.with_initial_data(description=question, approve=False)
    log.warning("waiting for approval, at most %g minutes: on the dashboard, press Resume. %s", minutes, question)
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=max(1, round(60 * minutes)), poll_interval=POLL)
    except FlowPauseTimeout:
        log.warning("nobody answered within %g minutes: %s, as [rescore] unanswered says", minutes, unanswered)
        return unanswered == "continue"
    log.info("approval: %s%s", "yes" if answer.approve else "no", f" ({answer.why})" if answer.why else "")
    return answer.approve

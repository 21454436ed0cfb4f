"""A person agrees, or not, before money is spent or a new rule is used: from the dashboard, or nobody does in time."""

import logging
import threading
from contextvars import copy_context
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run as current

log = logging.getLogger(__name__)

POLL = 5  # seconds between two looks for an answer
MARGIN = 600  # seconds: the server fails a run whose pause has timed out, so we end the waiting before
NOBODY = "nobody answered in time"


class Approval(RunInput):
    """What the dashboard asks for when somebody presses Resume."""

    approve: bool = False
    why: str = ""


def approved(question: str, minutes: float, unanswered: Literal["stop", "continue"]) -> bool:
    """Pause the flow run until somebody answers the question on the dashboard (Resume), at most so many minutes.

    Returns the answer; if nobody gives one, whether `unanswered` says "continue". The process waits, and goes on
    sending heartbeats.
    """
    form = Approval.with_initial_data(description=question, approve=False)
    log.warning("waits for approval, at most %g minutes: on the dashboard, press Resume. %s", minutes, question)
    here = copy_context()  # Prefect's settings are in it, and a thread begins without
    last = threading.Timer(60 * minutes, here.run, (_answer, UUID(str(current.id)), unanswered == "continue"))
    last.daemon = True
    last.start()
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=round(60 * minutes) + MARGIN, poll_interval=POLL)
    finally:
        last.cancel()
    log.info("approval: %s%s", "yes" if answer.approve else "no", f" ({answer.why})" if answer.why else "")
    return answer.approve


def _answer(run: UUID, approve: bool) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.resume_flow_run(run, run_input={"approve": approve, "why": NOBODY})
    except Exception as error:  # somebody may have answered just now; else the server ends the run after MARGIN
        log.info("could not end the waiting: %s", error)

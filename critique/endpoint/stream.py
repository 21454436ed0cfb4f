"""Many groups through one asynchronous judge: a few at a time, each taken when there is room for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from storage.records import DrawnGroup, Verdict

Judge = Callable[[DrawnGroup], Awaitable[Verdict]]


class BudgetSpent(ValueError):
    """The budget is used up: nothing more is sent; answers so far are kept. The message says how to continue."""


async def for_each(
    judge: Judge, groups: Iterable[DrawnGroup], at_once: int, done: Callable[[int, Verdict], None]
) -> None:
    """Have every group judged, `at_once` at a time, and call `done(index, verdict)` as soon as each is ready.

    Groups are drawn in another thread, one by one. When the budget is spent, groups in progress are finished as far as
    they were paid for, and then BudgetSpent is raised. Any other error of `judge` stops everything and is raised.
    """
    waiting = enumerate(groups)
    taking = asyncio.Lock()
    spent: list[BudgetSpent] = []

    async def work() -> None:
        while not spent:
            async with taking:
                taken = await asyncio.to_thread(next, waiting, None)
            if taken is None:
                return
            place, group = taken
            try:
                done(place, await judge(group))
            except BudgetSpent as error:
                spent.append(error)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if spent:
        raise spent[0]


async def judge_all(judge: Judge, groups: Iterable[DrawnGroup], at_once: int) -> list[Verdict]:
    """The verdicts of all groups, in their order. Raises the errors of `for_each`."""
    verdicts: dict[int, Verdict] = {}
    await for_each(judge, groups, at_once, verdicts.__setitem__)
    return [verdicts[place] for place in range(len(verdicts))]

"""Many groups through one asynchronous judge: a few at a time, taken as places come free, none piled up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from storage.records import DrawnGroup, Verdict

Judge = Callable[[DrawnGroup], Awaitable[Verdict]]


class BudgetSpent(ValueError):
    """The budget is used up: nothing more is sent; what was answered is kept. The message says how to go on."""


async def for_each(
    judge: Judge, groups: Iterable[DrawnGroup], at_once: int, done: Callable[[int, Verdict], None]
) -> None:
    """Have every group judged, `at_once` at a time, and call `done(place, verdict)` as each is ready.

    Groups are drawn in another thread, one by one. If the budget is spent, groups under way are finished as far
    as they were paid for, and then `BudgetSpent` is raised; any other error ends all at once.
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
    """The verdicts of all groups, in their order."""
    verdicts: dict[int, Verdict] = {}
    await for_each(judge, groups, at_once, verdicts.__setitem__)
    return [verdicts[place] for place in range(len(verdicts))]

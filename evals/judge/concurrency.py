"""Many questions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from dragoman.evals.gateway.calls import BudgetReached

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All at once, results in order. The first error ends the rest before it is passed on.

    Of a budget that is reached, each is told at its next call: what is under way by then is paid for, and its answer is kept.
    """
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        try:
            return list(await asyncio.gather(*tasks))
        except BudgetReached:
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

"""The gateway: every call of a run to a language model goes through it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from dragoman.store.ledger import Ledger

from .budget import Budget
from .calls import Place, Reply, Request
from .models import Model


class Gateway:
    """All model traffic of one run; an async context manager, used in one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        run: str,
        seed: int,
        budget: Budget,
        reuse: bool = False,
        *,
        patience: float = 600.0,
        most: int = 1024,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is sent yet.

        reuse: also take replies to the same questions from other runs of the ledger.
        patience: seconds that a server may stay away. most: calls in flight to one server at most.
        say: told, in a sentence, when a server goes away and comes back; the log is told as well.
        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        raise NotImplementedError

    async def ask(self, model: Model, request: Request, place: Place) -> Reply:
        """The reply to one request; taken from the ledger when the same was asked at the same place before.

        Raises Unanswered when this one call has no answer, and UserError when no further call makes sense: the key is wrong,
        the server does not have the model, the budget is reached, the server stayed away longer than the patience.
        """
        raise NotImplementedError

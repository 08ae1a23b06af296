"""What is wanted of a service that answers many calls at once, within a day; whoever's it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple, Protocol

from dragoman.store.errors import UserError

from .anthropic_server import AnthropicServer
from .calls import Request
from .forms import Received
from .models import Model
from .openai_server import OpenAIServer


class Limits(NamedTuple):
    """How much one batch may hold."""

    calls: int
    """Calls."""
    bytes: int
    """Bytes of their JSON."""


class State(NamedTuple):
    """Where a batch stands."""

    ended: bool
    """Whether nothing more will come."""
    refused: str | None = None
    """Why the service did not take it, where it did not."""


class Result(NamedTuple):
    """What became of one call of a batch."""

    call: str
    """Its id."""
    received: Received | None
    """The reply; None where there is none."""
    reason: str = ""
    """Why there is none, without a full stop."""
    passing: bool = False
    """Whether asking again may help."""


GONE = "the service does not know it any more"
"""Why a batch that was handed in has no results."""


class BatchServer(Protocol):
    """The batch endpoints of one address. Errors come as `troubles` describes them."""

    url: str
    """Base address."""
    limits: Limits
    """Of one batch."""

    def size(self, request: Request) -> int:
        """Bytes that a call adds to a batch."""
        ...

    async def hand_in(self, batch: str, calls: Sequence[tuple[str, Request]]) -> str:
        """Hand in calls, each under its id; the service's id for the batch."""
        ...

    async def find(
        self, batch: str, calls: AbstractSet[str], since: datetime, known: AbstractSet[str], pause: float
    ) -> str | None:
        """The service's id of a batch that was perhaps handed in before; None where it was not.

        calls: ids of its calls. since: when it was written. known: the service's ids of other batches. pause: seconds between
        two looks at one that may be it, where that shows only at its end.
        """
        ...

    async def state(self, remote: str) -> State:
        """Where a batch stands."""
        ...

    def results(self, remote: str, requests: Mapping[str, Request]) -> AsyncIterator[Result]:
        """What became of the calls of a batch that has ended. requests: its calls by id."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def batch_server(model: Model) -> BatchServer:
    """The batch endpoints of a model. Raises UserError where there are none."""
    from .anthropic_batches import AnthropicBatches
    from .openai_batches import OpenAIBatches

    server, *others = model.connect()
    if isinstance(server, AnthropicServer) and not others:
        return AnthropicBatches(server, model.served)
    if isinstance(server, OpenAIServer) and server.kind == "openai" and not others:
        return OpenAIBatches(server, model.served)
    raise UserError(f"{model.spec} has no batch endpoint: leave out --batch, or use anthropic:MODEL or openai:MODEL.")

"""Anthropic's message batches, over its SDK.

Limits: 100,000 calls or 256 MB (platform.claude.com, Batch processing). A batch carries no name of ours; its calls do, but the
service tells them only with the results: one that was perhaps handed in is known again by its calls once it has ended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from .anthropic_server import AnthropicServer, received
from .batch_servers import GONE, Limits, Result, State
from .calls import Request
from .openai_server import away
from .troubles import Away

SKEW = timedelta(hours=1)
"""How much the service's clock may be behind ours."""
OURS = ("invalid_request_error", "not_found_error", "request_too_large")
"""Errors that asking again does not help against."""


class AnthropicBatches:
    """See `BatchServer`."""

    limits = Limits(100_000, 256_000_000)

    def __init__(self, server: AnthropicServer, model: str) -> None:
        """Nothing is sent yet."""
        self.url, self._server, self._model = server.url, server, model

    def size(self, request: Request) -> int:
        """See `BatchServer`."""
        return len(json.dumps(self._call("0" * 32, request))) + 1

    async def hand_in(self, batch: str, calls: Sequence[tuple[str, Request]]) -> str:
        """See `BatchServer`."""
        with self._client() as client:
            made = await client.messages.batches.create(requests=[self._call(call, request) for call, request in calls])
            return str(made.id)

    async def find(
        self, batch: str, calls: AbstractSet[str], since: datetime, known: AbstractSet[str], pause: float
    ) -> str | None:
        """See `BatchServer`: by its time, its number of calls, and at its end by the id of a call."""
        maybe: list[str] = []
        with self._client() as client:
            async for listed in client.messages.batches.list(limit=100):  # the newest come first
                if listed.created_at < since - SKEW:
                    break
                if sum(listed.request_counts.model_dump().values()) == len(calls) and listed.id not in known:
                    maybe.append(str(listed.id))
        for remote in maybe:
            while not (await self.state(remote)).ended:
                await asyncio.sleep(pause)
            async for result in self.results(remote, {}):
                if result.call in calls:
                    return remote
                break
        return None

    async def state(self, remote: str) -> State:
        """See `BatchServer`."""
        import anthropic

        with self._client() as client:
            try:
                found = await client.messages.batches.retrieve(remote)
            except anthropic.NotFoundError:
                return State(True, GONE)
        return State(found.processing_status == "ended")

    async def results(self, remote: str, requests: Mapping[str, Request]) -> AsyncIterator[Result]:
        """See `BatchServer`."""
        with self._client() as client:
            async for line in await client.messages.batches.results(remote):
                yield self._result(str(line.custom_id), line.result)

    async def close(self) -> None:
        """See `BatchServer`."""
        await self._server.close()

    def _call(self, call: str, request: Request) -> dict[str, Any]:
        return {"custom_id": call, "params": self._server.body(self._model, request)}

    def _result(self, call: str, result: Any) -> Result:
        if result.type == "succeeded":
            try:
                return Result(call, received(result.message.model_dump(mode="json")))
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                return Result(call, None, "its reply has not the shape of a message", passing=True)
        if result.type == "errored":
            error = result.error.error
            if error.type in OURS:
                return Result(call, None, f"the server refused the request ({error.type}): {error.message}".rstrip(". "))
            return Result(call, None, str(error.type), passing=True)
        return Result(call, None, str(result.type), passing=True)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        import anthropic
        import httpx2

        try:
            with self._server.lanes.free() as client:
                yield client
        except anthropic.APIStatusError as error:
            raise self._server.meaning(error, self._model) from None
        except anthropic.APIConnectionError as error:
            raise away(error) from None
        except (httpx2.HTTPError, json.JSONDecodeError):
            raise Away("the connection was dropped", spent=True) from None

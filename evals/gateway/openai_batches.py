"""OpenAI's batch endpoint, over its SDK: a file of calls goes up, files of replies and errors come down.

Limits: 50,000 calls and 200 MB a file (developers.openai.com, Batch API). A batch carries metadata, by which it is found again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from .batch_servers import GONE, Limits, Result, State
from .calls import Request, Unanswered
from .openai_server import OpenAIServer, away, received
from .troubles import Away, trouble_of

PAGE = "/v1/chat/completions"
NAME = "dragoman"
"""Under which a batch's metadata holds our id for it."""
SKEW = timedelta(hours=1)
"""How much the service's clock may be behind ours."""


class OpenAIBatches:
    """See `BatchServer`."""

    limits = Limits(50_000, 200_000_000)

    def __init__(self, server: OpenAIServer, model: str) -> None:
        """Nothing is sent yet."""
        self.url, self._server, self._model = server.url, server, model

    def size(self, request: Request) -> int:
        """See `BatchServer`."""
        return len(self._line("0" * 32, request))

    async def hand_in(self, batch: str, calls: Sequence[tuple[str, Request]]) -> str:
        """See `BatchServer`; a file that was sent without a batch being made of it is left behind."""
        content = b"".join(self._line(call, request) for call, request in calls)
        with self._client() as client:
            file = await client.files.create(file=(f"{batch}.jsonl", content), purpose="batch")
            made = await client.batches.create(
                input_file_id=file.id, endpoint=PAGE, completion_window="24h", metadata={NAME: batch}
            )
            return str(made.id)

    async def find(
        self, batch: str, calls: AbstractSet[str], since: datetime, known: AbstractSet[str], pause: float
    ) -> str | None:
        """See `BatchServer`: by its metadata."""
        with self._client() as client:
            async for listed in client.batches.list(limit=100):  # the newest come first
                if (listed.metadata or {}).get(NAME) == batch:
                    return str(listed.id)
                if listed.created_at < (since - SKEW).timestamp():
                    return None
        return None

    async def state(self, remote: str) -> State:
        """See `BatchServer`."""
        import openai

        with self._client() as client:
            try:
                found = await client.batches.retrieve(remote)
            except openai.NotFoundError:
                return State(True, GONE)
        if found.status == "failed":
            said = "; ".join(error.message or error.code or "" for error in (found.errors.data if found.errors else None) or ())
            return State(True, said or "it failed")
        return State(found.status in ("completed", "expired", "cancelled"))

    async def results(self, remote: str, requests: Mapping[str, Request]) -> AsyncIterator[Result]:
        """See `BatchServer`."""
        with self._client() as client:
            found = await client.batches.retrieve(remote)
            for file in (found.output_file_id, found.error_file_id):
                if file is not None:
                    async with client.files.with_streaming_response.content(file) as response:
                        async for line in response.iter_lines():
                            if line.strip():
                                yield self._result(json.loads(line), requests)

    async def close(self) -> None:
        """See `BatchServer`."""
        await self._server.close()

    def _line(self, call: str, request: Request) -> bytes:
        body = self._server.body(self._model, request)
        line = {"custom_id": call, "method": "POST", "url": PAGE, "body": body}
        return json.dumps(line, ensure_ascii=True).encode() + b"\n"

    def _result(self, line: dict[str, Any], requests: Mapping[str, Request]) -> Result:
        call, response, error = str(line["custom_id"]), line.get("response"), line.get("error")
        if error is not None or response is None:
            return Result(call, None, str((error or {}).get("code") or "no response"), passing=True)
        status, body = int(response["status_code"]), response["body"]
        if status == 200 and call in requests:
            try:
                return Result(call, received(body, requests[call]))
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                return Result(call, None, "its reply has not the shape of a completion", passing=True)
        meaning = trouble_of(status, json.dumps(body).encode(), None, kind="openai", url=self.url, model=self._model, secrets=())
        return Result(call, None, str(meaning), passing=not isinstance(meaning, Unanswered))

    @contextmanager
    def _client(self) -> Iterator[Any]:
        import httpx2
        import openai

        try:
            with self._server.lanes.free() as client:
                yield client
        except openai.APIStatusError as error:
            raise self._server.meaning(error, self._model) from None
        except openai.APIConnectionError as error:
            raise away(error) from None
        except (httpx2.HTTPError, json.JSONDecodeError):
            raise Away("the connection was dropped", spent=True) from None

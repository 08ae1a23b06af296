"""The batch endpoints of the scripted server: OpenAI's files and batches, Anthropic's message batches.

Each call of a batch is answered by the server's own answer function. What would be an HTTP error of a call becomes the error of
its line; `hang` becomes a call that expired, `drop` one that was cancelled.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from . import replies

if TYPE_CHECKING:
    from .server import ScriptedServer

Body = dict[str, Any]


@dataclass
class Batch:
    """A batch that was taken."""

    id: str
    calls: list[tuple[str, Body]]
    """Id and body of each call."""
    metadata: Mapping[str, str] | None
    """What was said of it; Anthropic is told nothing."""
    ready: float
    """When it ends (`time.monotonic()`)."""
    made: datetime = field(default_factory=lambda: datetime.now(UTC))
    results: list[Body] | None = None
    """Lines of its results, made when they are first wanted."""


@dataclass
class BatchPages:
    """What the batch endpoints hold, and how they behave."""

    takes: float = 0.0
    """Seconds until a batch has ended."""
    delay_taking: float = 0.0
    """Seconds between taking a batch and saying so."""
    deaf: bool = False
    """Batches that are handed in are neither taken nor answered."""
    deaf_to_files: bool = False
    """The same for files."""
    refuses: str | None = None
    """Why a batch is refused, after it was taken (OpenAI)."""
    batches: dict[str, Batch] = field(default_factory=dict)
    """By id, in the order they were taken."""
    files: dict[str, bytes] = field(default_factory=dict)
    looks: int = 0
    """Times somebody asked where a batch stands."""
    ends: int = 0
    """Times results were fetched."""

    def calls(self) -> list[str]:
        """The ids of all calls that were ever taken."""
        return [call for batch in self.batches.values() for call, _ in batch.calls]

    def respond(self, server: ScriptedServer, method: str, target: str, headers: Mapping[str, str], content: bytes) -> Any:
        """Seconds to wait and what to send; None for other pages."""
        path = target.partition("?")[0]
        if path == "/v1/files" and method == "POST":
            return self._upload(headers, content)
        if match := re.fullmatch(r"/v1/files/([^/]+)/content", path):
            self.ends += 1
            return 0.0, replies.http(200, self.files[match[1]], "application/jsonl")
        if path in ("/v1/batches", "/v1/messages/batches"):
            openai = path == "/v1/batches"
            if method == "GET":
                shown = [self._shown(batch, openai, server) for batch in reversed(self.batches.values())]
                listed = {"data": shown, "has_more": False, "first_id": None, "last_id": None, "object": "list"}
                return 0.0, replies.http(200, json.dumps(listed).encode())
            return self._take(server, json.loads(content), openai)
        match = re.fullmatch(r"/v1/(messages/)?batches/([^/]+)(/results)?", path)
        if match is None:
            return None
        if match[2] not in self.batches:
            return 0.0, replies.error(404, "there is no such batch", None)
        batch = self.batches[match[2]]
        if match[3]:
            lines = _lines(self._results(batch, server, False))
            self.ends += 1
            return 0.0, replies.http(200, lines, "application/x-jsonl")
        self.looks += 1
        return 0.0, replies.http(200, json.dumps(self._shown(batch, not match[1], server)).encode())

    def _upload(self, headers: Mapping[str, str], content: bytes) -> Any:
        from .server import HANGING

        if self.deaf_to_files:
            return 0.0, HANGING
        boundary = headers["content-type"].partition("boundary=")[2].encode()
        (body,) = [part for part in content.split(b"--" + boundary) if b'name="file"' in part]
        name = f"file-{len(self.files)}"
        self.files[name] = body.partition(b"\r\n\r\n")[2]
        told = {
            "id": name,
            "object": "file",
            "bytes": 1,
            "created_at": 1,
            "filename": "x",
            "purpose": "batch",
            "status": "processed",
        }
        return 0.0, replies.http(200, json.dumps(told).encode())

    def _take(self, server: ScriptedServer, body: Body, openai: bool) -> Any:
        from .server import HANGING

        if self.deaf:
            return 0.0, HANGING
        if openai:
            lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines() if line.strip()]
            assert all(line["url"] == body["endpoint"] == "/v1/chat/completions" for line in lines)
            calls = [(line["custom_id"], line["body"]) for line in lines]
        else:
            calls = [(request["custom_id"], request["params"]) for request in body["requests"]]
        assert len(dict(calls)) == len(calls) and all(re.fullmatch(r"[\w-]{1,64}", call) for call, _ in calls)
        batch = Batch(f"batch_{len(self.batches)}", calls, body.get("metadata"), time.monotonic() + self.takes)
        self.batches[batch.id] = batch
        return self.delay_taking, replies.http(200, json.dumps(self._shown(batch, openai, server)).encode())

    def _shown(self, batch: Batch, openai: bool, server: ScriptedServer) -> Body:
        ended, count = time.monotonic() >= batch.ready, len(batch.calls)
        if openai:
            made: Body = {"id": batch.id, "object": "batch", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            made |= {"input_file_id": "x", "created_at": int(batch.made.timestamp()), "metadata": batch.metadata}
            if self.refuses is not None:
                return {**made, "status": "failed", "errors": {"data": [{"message": self.refuses}]}}
            if not ended:
                return {**made, "status": "in_progress"}
            good: list[Body] = []
            bad: list[Body] = []
            for line in self._results(batch, server, True):
                (good if line["response"] and line["response"]["status_code"] == 200 else bad).append(line)
            names = {"output_file_id": f"{batch.id}-out", "error_file_id": f"{batch.id}-errors"}
            self.files |= {names["output_file_id"]: _lines(good), names["error_file_id"]: _lines(bad)}
            return {**made, "status": "completed", **{name: id for name, id in names.items() if self.files[id]}}
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["succeeded" if ended else "processing"] = count
        times = {
            "created_at": batch.made,
            "expires_at": batch.made + timedelta(days=1),
            "ended_at": batch.made if ended else None,
        }
        url = f"http://127.0.0.1:{server.port}/v1/messages/batches/{batch.id}/results"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts,
            "results_url": url if ended else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            **{name: moment and moment.isoformat() for name, moment in times.items()},
        }

    def _results(self, batch: Batch, server: ScriptedServer, openai: bool) -> list[Body]:
        if batch.results is None:
            answered = [self._result(server, call, body, openai) for call, body in batch.calls]
            batch.results = [line for line in reversed(answered) if line is not None]  # in an order of its own
        return batch.results

    def _result(self, server: ScriptedServer, call: str, body: Body, openai: bool) -> Body | None:
        from .server import Failure

        sent = server.answer_to("/v1/chat/completions" if openai else "/v1/messages", body, {})[1]
        status, payload = 200, {}
        if isinstance(sent, Failure):
            status = sent.status
            if openai and sent.kind in ("hang", "drop"):
                return {"custom_id": call, "response": None, "error": {"code": "batch_expired", "message": "too late"}}
            if sent.kind in ("hang", "drop"):
                return {"custom_id": call, "result": {"type": "expired" if sent.kind == "hang" else "canceled"}}
            if sent.kind == "garbage":
                return None
            sent = replies.error(sent.status, sent.message, sent.code)
        assert isinstance(sent, bytes), "a batch is not streamed"
        payload = json.loads(sent.partition(b"\r\n\r\n")[2])
        if openai:
            return {"id": "x", "custom_id": call, "error": None, "response": {"status_code": status, "body": payload}}
        if status == 200:
            return {"custom_id": call, "result": {"type": "succeeded", "message": payload}}
        return {"custom_id": call, "result": {"type": "errored", "error": {**payload, "request_id": "x"}}}


def _lines(lines: list[Body]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

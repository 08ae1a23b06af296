"""What the scripted server sends: the shapes of OpenAI's, vLLM's and Anthropic's replies, and a tokenizer of its own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import ScriptedServer

Body = dict[str, Any]

HTML = b"<!doctype html><html><head><title>Welcome to nginx!</title></head><body>It works.</body></html>"
BLOCK = 16
"""Tokens in a block of the prefix cache."""
_TOKEN = re.compile(r" ?[^\W\d_]+|\d|.", re.DOTALL)
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Said:
    """What a scripted model says."""

    text: str | Sequence[str] | None = None
    """The reply, or one for each of `n`; None takes the likeliest tokens of `chances`."""
    chances: Sequence[Mapping[str, float]] | None = None
    """At each token of the reply the probabilities of alternatives (0: left out); None: the text is certain."""
    prompt_chances: Callable[[int, list[str]], Mapping[str, float] | None] | None = None
    """Probabilities of alternatives at a place of the prompt, given the place and the prompt's tokens as `tokens_of` cuts them;
    None: the prompt is certain. The prompt's own token is added with a probability of 1e-9 where it is missing."""
    finish: str = "stop"
    """Why it ends, in the words of the protocol spoken."""
    logprobs: bool = True
    """False: a server that gives no log-probabilities, although asked."""
    delay: float = 0.0
    """Seconds before it is sent."""
    usage: Mapping[str, int] | None = None
    """Token counts of a message of Anthropic's, instead of those that were counted."""
    every: float = 0.0
    """Seconds between the pieces of a reply that is streamed."""
    pieces: int | None = None
    """Pieces after which the connection is dropped, of a reply that is streamed; None: it is finished."""
    tools: Sequence[tuple[str, str]] = ()
    """Tools it asks for: names with arguments as JSON text, which may be broken where the protocol allows it."""


def tokens_of(text: str) -> list[str]:
    """The server's tokens: words with the space before them, single digits, and every other character by itself."""
    return _TOKEN.findall(text)


def prompt_text(body: Body) -> str:
    """The prompt of a request as one text, all messages with their roles."""
    prompt = body.get("prompt")
    if prompt is not None:
        return prompt if isinstance(prompt, str) else "".join(f"<{token}>" for token in prompt)
    system = body.get("system", "")
    parts = [f"<|system|>{_plain(system)}"] if system else []
    parts += [f"<|tool|>{json.dumps(tool)}" for tool in body.get("tools", ())]
    parts += [f"<|{message['role']}|>{_plain(message['content'])}{_asked(message)}" for message in body["messages"]]
    return "".join(parts) + "<|assistant|>"


def prompt_tokens(body: Body) -> list[str]:
    """The prompt's tokens; token ids given as such are one each."""
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        return [f"<{token}>" for token in prompt]
    return tokens_of(prompt_text(body))


def cached(tokens: Sequence[str], blocks: set[int]) -> int:
    """Tokens at the start that lie in known blocks; all whole blocks are known afterwards. The last token is never cached."""
    known, prefix, missed = 0, 0, False
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        prefix = hash((prefix, tuple(tokens[end - BLOCK : end])))
        missed = missed or prefix not in blocks
        known += 0 if missed or end == len(tokens) else BLOCK
        blocks.add(prefix)
    return known


def chat(body: Body, said: Said, tokens: list[str], cached: int) -> tuple[Body, int]:
    """A chat completion and the number of tokens written."""
    texts, written = _texts(body, said)
    choices = []
    for index, text in enumerate(texts):
        choice: Body = {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": said.finish}
        if said.tools:
            choice["message"] = {"role": "assistant", "content": text or None, "tool_calls": _calls(said)}
            choice["finish_reason"] = "tool_calls"
        if body.get("logprobs") and said.logprobs:
            places = _places(said, text, int(body.get("top_logprobs") or 0))
            entries = [
                {**_entry(token, chance), "top_logprobs": [_entry(t, c) for t, c in top.items()]} for token, chance, top in places
            ]
            choice["logprobs"] = {"content": entries}
        choices.append(choice)
    payload = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices}
    payload["usage"] = _usage(tokens, written, cached)
    if body.get("prompt_logprobs"):
        payload["prompt_logprobs"] = _prompt_logprobs(said, tokens, int(body["prompt_logprobs"]))
    return payload, written


def completion(body: Body, said: Said, tokens: list[str], cached: int) -> tuple[Body, int]:
    """A completion and the number of tokens written."""
    texts, written = _texts(body, said)
    if body.get("max_tokens") == 0:
        texts, written = [""] * len(texts), 0
    choices = []
    for index, text in enumerate(texts):
        shown = "".join(tokens) + text if body.get("echo") else text
        choice: Body = {"index": index, "text": shown, "finish_reason": said.finish, "logprobs": None}
        if body.get("logprobs") is not None and said.logprobs:
            places = _places(said, text, int(body["logprobs"]))
            choice["logprobs"] = {
                "tokens": [token for token, _, _ in places],
                "token_logprobs": [math.log(chance) for _, chance, _ in places],
                "top_logprobs": [{t: math.log(c) for t, c in top.items()} for _, _, top in places],
                "text_offset": [0] * len(places),
            }
        if body.get("prompt_logprobs"):
            choice["prompt_logprobs"] = _prompt_logprobs(said, tokens, int(body["prompt_logprobs"]))
        choices.append(choice)
    payload = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"], "choices": choices}
    return {**payload, "usage": _usage(tokens, written, cached)}, written


def message(body: Body, said: Said, tokens: list[str], cached: int) -> tuple[Body, int]:
    """A message of Anthropic's and the number of tokens written."""
    (text,), written = _texts({**body, "n": 1}, said)
    content: list[Body] = [{"type": "text", "text": text}] if text else []
    for number, (name, arguments) in enumerate(said.tools):
        content.append({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": json.loads(arguments)})
    usage = {"input_tokens": len(tokens) - cached, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "tool_use" if said.tools else "end_turn" if said.finish == "stop" else said.finish,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": written, **(said.usage or {})},
    }, written


SHAPES = {"/v1/chat/completions": chat, "/v1/completions": completion, "/v1/messages": message}


def streamed(path: str, payload: Body) -> list[bytes]:
    """The same reply as server-sent events: a word a piece, arguments of tools in pieces of ten characters."""
    events = _chat_events(payload) if path == "/v1/chat/completions" else _message_events(payload)
    if path == "/v1/messages":
        return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    return [*(f"data: {json.dumps(event)}\n\n".encode() for event in events), b"data: [DONE]\n\n"]


def _chat_events(payload: Body) -> list[Body]:
    (choice,) = payload["choices"]
    deltas: list[Body] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _pieces(choice["message"]["content"])]
    for index, call in enumerate(choice["message"].get("tool_calls") or ()):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]})
        parts = [function["arguments"][at : at + 10] for at in range(0, len(function["arguments"]), 10)]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts]
    head = {"id": payload["id"], "object": "chat.completion.chunk", "model": payload["model"]}
    events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    return [*events, {**head, "choices": [], "usage": payload["usage"]}]


def _message_events(payload: Body) -> list[Body]:
    events: list[Body] = [{"type": "message_start", "message": {**payload, "content": [], "stop_reason": None}}, {"type": "ping"}]
    for index, block in enumerate(payload["content"]):
        if block["type"] == "text":
            start: Body = {"type": "text", "text": ""}
            deltas: list[Body] = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
        else:
            start, said = {**block, "input": {}}, json.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": said[at : at + 10]} for at in range(0, len(said), 10)]
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    usage = {"output_tokens": payload["usage"]["output_tokens"]}
    events.append({"type": "message_delta", "delta": {"stop_reason": payload["stop_reason"]}, "usage": usage})
    return [*events, {"type": "message_stop"}]


def _pieces(text: str | None) -> list[str]:
    return re.findall(r"\S*\s*", text or "")[:-1]


def models(names: Sequence[str], owner: str, context: int) -> bytes:
    """/v1/models."""
    listed = [{"id": name, "object": "model", "created": 1, "owned_by": owner, "max_model_len": context} for name in names]
    return json.dumps({"object": "list", "data": listed}).encode()


def metrics(server: ScriptedServer) -> str:
    """/metrics in Prometheus' format, under vLLM's names."""
    values = {
        "vllm:prompt_tokens_total": server.prompt_tokens,
        "vllm:generation_tokens_total": server.completion_tokens,
        "vllm:prefix_cache_queries_total": server.prompt_tokens,
        "vllm:prefix_cache_hits_total": server.cached_tokens,
        "vllm:num_requests_running": server.open,
    }
    label = f'{{engine="0",model_name="{server.models[0]}"}}'
    return "".join(f"# TYPE {name} counter\n{name}{label} {float(value)}\n" for name, value in values.items())


def http(status: int, content: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP response."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", f"content-type: {kind}", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def error(status: int, text: str, code: str | None, headers: Mapping[str, str] | None = None) -> bytes:
    """An error; the body is OpenAI's and Anthropic's at once."""
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 400: "invalid_request_error"}
    detail = {"message": text, "type": kinds.get(status, "api_error"), "param": None, "code": code}
    return http(status, json.dumps({"type": "error", "error": detail}).encode(), headers=headers)


def _texts(body: Body, said: Said) -> tuple[list[str], int]:
    """The replies, `n` of them, and the number of tokens in all of them."""
    if said.text is None:
        assert said.chances, "a scripted reply needs a text or chances"
        texts = ["".join(max(place, key=lambda token: place[token]) for place in said.chances)]
    else:
        texts = [said.text] if isinstance(said.text, str) else list(said.text)
    n = int(body.get("n") or 1)
    texts = [texts[index % len(texts)] for index in range(n)]
    choices = (body.get("structured_outputs") or {}).get("choice")
    if choices:  # a constrained model cannot say anything else
        texts = [text if text in choices else choices[0] for text in texts]
    return texts, sum(max(1, len(tokens_of(text))) for text in texts)


def _places(said: Said, text: str, top: int) -> list[tuple[str, float, dict[str, float]]]:
    """Token, probability and the `top` likeliest alternatives at each place of a reply."""
    chances = said.chances or [{token: 1.0} for token in tokens_of(text)]
    places = []
    for place in chances:
        ranked = {t: c for t, c in sorted(place.items(), key=lambda pair: -pair[1]) if c > 0}
        token = next(iter(ranked))
        places.append((token, ranked[token], dict(list(ranked.items())[:top])))
    return places


def _prompt_logprobs(said: Said, tokens: list[str], top: int) -> list[dict[str, Any] | None]:
    """vLLM's: nothing at the first token; then by token id the prompt's own token first, and the likeliest."""
    found: list[dict[str, Any] | None] = [None]
    for place in range(1, len(tokens)):
        chances = said.prompt_chances(place, tokens) if said.prompt_chances else None
        chances = {t: c for t, c in (chances or {tokens[place]: 1.0}).items() if c > 0}
        chances.setdefault(tokens[place], 1e-9)
        order = sorted(chances, key=lambda token: -chances[token])
        shown = [tokens[place], *[token for token in order[:top] if token != tokens[place]]]
        found.append(
            {str(_id(t)): {"logprob": math.log(chances[t]), "rank": order.index(t) + 1, "decoded_token": t} for t in shown}
        )
    return found


def _id(token: str) -> int:
    """An id for a token, the same in every process."""
    return int.from_bytes(token.encode("utf-8", "surrogatepass")[:6], "big")


def _entry(token: str, chance: float) -> Body:
    return {"token": token, "logprob": math.log(chance), "bytes": list(token.encode())}


def _usage(tokens: Sequence[str], written: int, cached: int) -> Body:
    usage = {"prompt_tokens": len(tokens), "completion_tokens": written, "total_tokens": len(tokens) + written}
    return {**usage, "prompt_tokens_details": {"cached_tokens": cached}}


def _calls(said: Said) -> list[Body]:
    """The tools that are asked for, as OpenAI writes them."""
    asked = [{"name": name, "arguments": arguments} for name, arguments in said.tools]
    return [{"id": f"call_{number}", "type": "function", "function": call} for number, call in enumerate(asked)]


def _asked(message: Body) -> str:
    return json.dumps(message["tool_calls"]) if message.get("tool_calls") else ""


def _plain(content: Any) -> str:
    """The text of a message, whether a string or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] if part["type"] == "text" else json.dumps(part) for part in content)

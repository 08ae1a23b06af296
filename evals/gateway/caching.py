"""Which part of a prompt a server is asked to keep in its cache, where it has to be asked."""

from __future__ import annotations

import json

from .calls import Request

LONG = 4096
"""Bytes from which on a prefix is marked: about 1,024 tokens, fewer than which no model of Anthropic's keeps. A mark on a prefix
that is too short for the model is ignored there and costs nothing; one that is kept costs more once and a fraction later."""


def marks(request: Request) -> tuple[bool, bool]:
    """Whether the last tool and the end of the system prompt are marked: what is shared by all calls of a kind stands there.

    Tools come before the system prompt, so that the second mark keeps both.
    """
    tools = sum(len(json.dumps([tool.name, tool.description, dict(tool.schema)])) for tool in request.tools)
    system = sum(
        len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages if message.role == "system"
    )
    return tools >= LONG, bool(system) and tools + system >= LONG

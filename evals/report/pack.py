"""Details of the sections, compressed: the page carries them as text and its script unpacks those that come into view."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence

from .sections import Section

TOGETHER = 40
"""Sections whose details are packed together: enough to share their words, few enough to unpack at once."""


def pack(sections: Sequence[Section]) -> str:
    """The sections as HTML. Each keeps its head; after every `TOGETHER` of them stands a block with their details: a JSON list of
    HTML texts, deflated (RFC 1950), in base64, which no text can break out of."""
    parts: list[str] = []
    for number, first in enumerate(range(0, len(sections), TOGETHER)):
        block = sections[first : first + TOGETHER]
        for at, one in enumerate(block):
            hole = f'<div class="columns" data-pack="{number}" data-at="{at}"></div>' if one.details else ""
            parts.append(one.head + hole + one.tail)
        text = json.dumps([one.details for one in block], ensure_ascii=False)
        packed = base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 9)).decode("ascii")
        parts.append(f'<script type="text/plain" id="pack{number}">{packed}</script>\n')
    return "".join(parts)

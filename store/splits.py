"""Which split a document belongs to: fixed by a hash of its text, so it never moves and duplicates stay together."""

from __future__ import annotations

import hashlib

from .records import Split


def document_hash(text: str) -> str:
    """SHA-256 of the document's text, as hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def split_of(digest: str) -> Split:
    """The split of the document with this hash: 60 % train, 20 % validation, 20 % test."""
    share = int(digest[:13], 16) / 16**13
    if share < 0.6:
        return "train"
    return "validation" if share < 0.8 else "test"

"""Hashes that never change between runs, machines or versions: of numbers (for sampling) and of row contents (for ids)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt64


def mix(numbers: Integer[np.ndarray, " n"], seed: int = 0) -> UInt64[np.ndarray, " n"]:
    """A pseudo-random 64-bit number for each number and seed (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(
            0xD1342543DE82EF95
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def row_id(*content: Any) -> str:
    """Id of a row: the hash of what identifies it, which must be JSON values. 32 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def seed_of(*content: Any) -> int:
    """A seed for a random generator from whatever it should depend on."""
    return int(row_id(*content)[:16], 16)

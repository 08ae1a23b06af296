"""How threads of this process ask the C library for memory."""

from __future__ import annotations

import os
import sys

M_ARENA_MAX = -8
"""Name of the setting in glibc's malloc.h."""
SETTINGS = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
"""Of the environment, for those who want it otherwise."""


def one_arena() -> bool:
    """Have all threads take memory from one arena of glibc, as far as none has begun yet; returns whether that was asked for.

    By default glibc gives threads arenas of their own, up to eight a core, and what is freed in one is not used by another. A
    campaign's tools run on half a dozen threads whose results live on in others, so that every arena keeps its holes: 17 kB a
    feature, where one arena has none to speak of (docs/benchmarks/orchestration.md).

    Does nothing where the environment says something about it, and on other C libraries.
    """
    if sys.platform != "linux" or any(name in os.environ for name in SETTINGS):
        return False
    import ctypes

    library = ctypes.CDLL(None)
    return hasattr(library, "gnu_get_libc_version") and library.mallopt(M_ARENA_MAX, 1) == 1

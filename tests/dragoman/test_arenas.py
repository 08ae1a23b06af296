"""All threads of a command take memory from one arena of the C library: freed bytes of one thread serve the others."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.arenas import SETTINGS

ROOT = Path(__file__).parents[2]
HELP = """
import sys
from dragoman.cli import main
sys.argv = ["dragoman", "--help"]
try:
    main()
except SystemExit:
    pass
"""
COUNT = """
import ctypes, os, threading
library, barrier = ctypes.CDLL(None), threading.Barrier(5)
def work():
    bytearray(100_000)
    barrier.wait()  # all are alive at once
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
library.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(library.fopen(os.environ["REPORT"].encode(), b"w"))
barrier.wait()
library.malloc_info(0, file)
library.fclose(file)
"""


def arenas(tmp_path: Path, before: str, **environment: str) -> int:
    """How many there are after four threads of a new process took memory."""
    report = tmp_path / "arenas.xml"
    known = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    given = {**known, "PYTHONPATH": str(ROOT), "REPORT": str(report), **environment}
    subprocess.run([sys.executable, "-c", before + COUNT], env=given, check=True, capture_output=True, timeout=300)
    return report.read_text("utf-8").count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas of this kind")
def test_threads_of_a_command_share_one_arena_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    assert arenas(tmp_path, "") > 1
    assert arenas(tmp_path, HELP) == 1
    assert arenas(tmp_path, HELP, MALLOC_ARENA_MAX="16") > 1

"""A judge served with vLLM by the command that users give."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from dragoman.evals.gateway.models import Model, model_named


class Served:
    """`dragoman judge serve` in a process of its own."""

    def __init__(self, model: Path, folder: Path, *flags: str) -> None:
        """`folder` takes the logs."""
        self.model, self.folder, self.flags = model, folder, flags
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port it had before if there was one, and wait for its answer."""
        command = [sys.executable, "-m", "dragoman", "judge", "serve", str(self.model), "--port", str(self.port), "--json"]
        log = self.folder / f"vllm-{time.time():.0f}.log"
        self.said = log.with_suffix(".err").open("w+")
        self.process = subprocess.Popen(
            [*command, "--cache-gb", "1", "--log", str(log), *self.flags], stdout=subprocess.PIPE, stderr=self.said, text=True
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first, self.errors()
        self.answer: dict[str, Any] = json.loads(first)
        self.port = int(self.answer["judge"].split(":")[-1].split("/")[0])
        print(f"vLLM answered after {self.answer['seconds']:.0f} s", file=sys.stderr)

    def named(self, suffix: str = "") -> Model:
        """Its model, as `--judge` names it."""
        return model_named(self.answer["judge"] + suffix)

    def counters(self) -> dict[str, float]:
        """vLLM's own counts: prompt tokens, those looked up in its prefix cache, and those found there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as reply:
            text = reply.read().decode()
        names = {"prompt": "prompt_tokens", "cached": "prompt_tokens_cached", "asked": "prefix_cache_queries"}
        found = {}
        for name, full in names.items():
            match = re.search(rf"^vllm:{full}_total{{[^}}]*}} (\S+)$", text, re.M)
            assert match, f"vLLM counts {full}"
            found[name] = float(match[1])
        return found

    def kill(self) -> str:
        """Kill vLLM as a crash would; what the command said about it."""
        os.killpg(self.answer["pid"], signal.SIGKILL)
        assert self.process.wait(300) == 2
        return self.errors()

    def stop(self) -> None:
        """Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(300)

    def errors(self) -> str:
        """What it said on stderr."""
        self.said.flush()
        return Path(self.said.name).read_text()

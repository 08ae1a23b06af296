"""A scripted researcher in a process of its own: real HTTP, and answers that are a function of the prompt alone.

    with answering(delay=0.01) as server:
        wish = Wish(f"vllm:{server.url}", …)
    server.asked      # how often each request was answered, by its hash

Of every feature it proposes what the evidence says of its tokens beside something wrong, tests both, and makes one change. Some
features are trouble: it refuses, or it breaks off.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.agents.scripted import Answer, Scripted, claim, feature_of, proposal, revision, written
from tests.evals.gateway.server import Said, ScriptedServer

ROOT = Path(__file__).parents[2]
MODEL = "researcher"
_TOKENS = re.compile(r"Tokens with the largest mean activation: (.*)")
_WORD = re.compile(r"[A-Za-z]{2,}|[?!.,;]")


@dataclass
class Answering:
    """The server, for those who ask it."""

    url: str
    """Its address."""
    asked: dict[str, int] = field(default_factory=dict)
    """Once it has ended: how often each request was answered, by the hash of its body."""


@contextmanager
def answering(delay: float = 0.0, trouble: bool = True, api: str = "vllm", tests: int = 2) -> Iterator[Answering]:
    """Start one, and end it. tests: in a batch."""
    command = [sys.executable, "-m", "tests.agents.answering", "--delay", str(delay), "--api", api, "--tests", str(tests)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command + ["--trouble"] * trouble, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    server = Answering(process.stdout.readline().strip())
    try:
        yield server
    finally:
        output, _ = process.communicate(timeout=60)
        server.asked.update(json.loads(output))


def number_of(prompt: str) -> int:
    """The feature that a prompt is about."""
    return int(feature_of(prompt).rpartition("/")[2])


def words_of(prompt: str) -> list[str]:
    """Words that the evidence says the feature is strongest on."""
    found = _TOKENS.search(prompt)
    return list(dict.fromkeys(_WORD.findall(found[1] if found else "")))[:3] or ["the"]


def researcher(trouble: bool, tests: int = 2) -> Scripted:
    """A model that does what it can with the evidence. tests: in a batch; two are the same in every round, others are new."""

    def troubled(prompt: str) -> Answer | None:
        number = number_of(prompt)
        if trouble and number % 11 == 3:
            return Said("I cannot help with that.", finish="content_filter")
        return '{"hypotheses": [' if trouble and number % 11 == 7 else None

    def propose(prompt: str) -> Answer:
        words = words_of(prompt)
        right = claim(f"Fires on {words[0]}.", f'strongly: "{words[0]}"', words[0])
        wrong = claim("Fires on the names of months.", 'strongly: "March" "May" "June"', "months")
        return troubled(prompt) or proposal(right, wrong)

    def design(prompt: str) -> Answer:
        word = words_of(prompt)[0]
        said = [
            written(f"We met in March and {word} was there.", word, H1="fires", H2="silent"),
            written(f"She came on {number_of(prompt)} March.", "March", H1="silent", H2="fires"),
        ]
        more = [f"Then {word} came {prompt.count('Result:') + n} times." for n in range(tests - 2)]
        said += [written(text, word, H1="fires", H2="silent") for text in more]
        return {"tests": said, "looks": [{"tool": "feature_stats", "arguments": "{}"}]}

    def revise(prompt: str) -> Answer:
        words = words_of(prompt)
        listed = " ".join(f'"{word}"' for word in words)
        return revision(claim(f"Fires on {', '.join(words)}.", f"strongly: {listed}", words[0]), drop=("H2",))

    return Scripted(propose=propose, design=design, revise=revise)


def main() -> None:
    """Serve until stdin closes; the address is the first line, what was answered the last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float)
    parser.add_argument("--trouble", action="store_true")
    parser.add_argument("--api")
    parser.add_argument("--tests", type=int)
    given = parser.parse_args()
    model, asked = researcher(given.trouble, given.tests), Counter[str]()

    def answer(body: dict[str, Any]) -> Said:
        asked[hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]] += 1
        said = model(body)
        model.prompts.clear()
        assert not isinstance(said, Exception)
        text = said if isinstance(said, Said) else Said(str(said))
        return Said(text.text, finish=text.finish, delay=given.delay)

    with ScriptedServer(answer, models=(MODEL,), owner=given.api, context=100_000, keep=False, caching=False) as server:
        print(server.url, flush=True)
        sys.stdin.read()
        print(json.dumps(asked), flush=True)


if __name__ == "__main__":
    main()

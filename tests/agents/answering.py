"""A scripted researcher behind real HTTP: answers that are a function of the prompt alone.

    with answering() as server:  # in a process of its own
        wish = Wish(f"vllm:{server.url}", …)
    with Held(5) as server:      # in a thread: five answers, and whoever asks then waits until it is let go
        server.let_go()

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.agents.scripted import Answer, Scripted, claim, feature_of, proposal, revision, written
from tests.evals.gateway.server import HANGING, Failure, Said, ScriptedServer

ROOT = Path(__file__).parents[2]
MODEL = "researcher"
_TOKENS = re.compile(r"Tokens with the largest mean activation: (.*)")
_WORD = re.compile(r"[A-Za-z]{2,}|[?!.,;]")


@dataclass
class Answering:
    """The server, for those who ask it."""

    url: str
    """Its address."""


@contextmanager
def answering(trouble: bool = True, tests: int = 2) -> Iterator[Answering]:
    """Start one, and end it. tests: in a batch."""
    command = [sys.executable, "-m", "tests.agents.answering", "--tests", str(tests)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command + ["--trouble"] * trouble, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Answering(process.stdout.readline().strip())
    finally:
        process.communicate(timeout=300)


class Held(ScriptedServer):
    """The researcher in a thread of this process; a test says how many answers it gives before everybody has to wait."""

    def __init__(self, answers: int | None = None, delay: float = 0.0) -> None:
        """answers: None for any number. delay: seconds before each."""
        self.asked: Counter[str] = Counter()
        """How often each request came, by the hash of its body."""
        self.never = ""
        """The hash of a request that gets no answer."""
        self._left, model = answers, researcher(trouble=True)

        def answer(body: dict[str, Any]) -> Said | Failure:
            name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
            self.asked[name] += 1
            if name == self.never:
                return HANGING
            said = model(body)
            model.prompts.clear()
            assert not isinstance(said, Exception)
            if self._left == 0 and self._held is None:
                self._held = []
            elif self._left:
                self._left -= 1
            text = said if isinstance(said, Said) else Said(str(said))
            return Said(text.text, finish=text.finish, delay=delay)

        super().__init__(answer, models=(MODEL,), context=100_000, keep=False, caching=False)

    def hold(self) -> None:
        """Let everybody wait who asks from now on."""
        self._wait_after(0)

    def let_go(self) -> None:
        """Answer those who wait, and from now on everybody."""
        self._wait_after(None)
        super().let_go()

    def _wait_after(self, answers: int | None) -> None:
        def set_left() -> None:
            self._left = answers

        self._loop.call_soon_threadsafe(set_left)


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
    """Serve until stdin closes; the address is the only line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trouble", action="store_true")
    parser.add_argument("--tests", type=int)
    given = parser.parse_args()
    model = researcher(given.trouble, given.tests)

    def answer(body: dict[str, Any]) -> str | Said | Failure:
        said = model(body)
        model.prompts.clear()
        return said

    with ScriptedServer(answer, models=(MODEL,), context=100_000, keep=False, caching=False) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

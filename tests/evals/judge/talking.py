"""What an honest model would say to our prompts, for scripted servers: it reads the prompt alone, and claims that name a word."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.evals.gateway.server import Said

SURE = 0.9
"""Probability of what it believes."""
PLAIN = re.compile(r"[^\W_]+")


def honest(body: dict[str, Any], tells: bool = True) -> Said:
    """Reads the prompt of a request and answers it. tells: whether the server gives log-probabilities."""
    if isinstance(body.get("prompt"), str):
        return _listed(body["prompt"])
    prompt = body["messages"][-1]["content"]
    word = _word(prompt)
    texts = re.findall(r"<text>\n(.*?)\n</text>", prompt, re.S)
    if "<texts>" in prompt:
        return _packed(prompt, word, tells)
    if "<tokens>" in prompt:
        lines = re.findall(r"^(\d+)\t(.*)$", prompt, re.M)
        return Said(json.dumps({"active": [{"line": int(n), "value": 9} for n, token in lines if token.strip() == word]}))
    asked = re.search(r"^Write (\d+) different texts", prompt, re.M)
    if asked:
        fires = "at least one token" in prompt
        n = int(asked[1])
        return Said(json.dumps({"texts": [f"{word if fires else 'Nothing'} number {i}." for i in range(n)]}))
    if re.search(r"^A:$", prompt, re.M):
        weights = [SURE if word in PLAIN.findall(text) else 1 - SURE for text in texts]
        named = {"ABCDEFGH"[i]: weight / sum(weights) for i, weight in enumerate(weights)}
        best = max(named, key=lambda letter: named[letter])
        if "JSON" in prompt:
            return Said(json.dumps({letter: round(100 * weight) for letter, weight in named.items()}))
        return Said(best, chances=[named], logprobs=tells)
    shown = " ".join(re.findall(r"<<(.*?)>>", prompt)) if "<marked>" in prompt else texts[0]
    yes = word in PLAIN.findall(shown)
    chance = SURE if yes else 1 - SURE
    if "JSON" in prompt:
        return Said(json.dumps({"yes": round(100 * chance)}))
    return Said("Yes" if yes else "No", chances=[{"Yes": chance * 0.9, " yes": chance * 0.1, "No": 1 - chance}], logprobs=tells)


def silent(body: dict[str, Any]) -> Said:
    """The same without log-probabilities."""
    return honest(body, tells=False)


def _word(prompt: str) -> str:
    """The first word that the last claim names in quotes; its last word where it names none."""
    claim = re.findall(r"<claim>\n(.*?)\n</claim>", prompt, re.S)[-1]
    quoted = re.findall(r'"(\w+)"', claim)
    return str(quoted[0] if quoted else PLAIN.findall(claim)[-1])


def _packed(prompt: str, word: str, tells: bool) -> Said:
    """A line for each text that is asked about: its letter and the answer."""
    chances: list[Mapping[str, float]] = []
    texts, question = prompt.rsplit("<texts>", 1)[1].split("</texts>")
    for letter, shown in re.findall(r"^([A-Z]): (.*)$", question if "PARTS" in question else texts, re.M):
        parts = shown.split(" | ") if "PARTS" in question else [shown]
        meant = " ".join(" ".join(re.findall(r"<<(.*?)>>", part)) or part for part in parts)
        chance = SURE if word in PLAIN.findall(meant) else 1 - SURE
        chances += [{letter: 1.0}, {":": 1.0}, {" Yes": chance, " No": 1 - chance}, {"\n": 1.0}]
    return Said(chances=chances[:-1], logprobs=tells)


def _listed(prompt: str) -> Said:
    word = _word(prompt)

    def chances(place: int, tokens: list[str]) -> Mapping[str, float] | None:
        if tokens[place - 1] != "\t":
            return None
        start = max(i for i in range(place - 1) if tokens[i] in ("\n", "\t")) + 1
        found = re.sub(r"^[?09]", "", "".join(tokens[start : place - 1])).strip() == word
        return {"?": 0.5, "9": 0.4 if found else 0.1, "0": 0.1 if found else 0.4}

    return Said("", prompt_chances=chances)

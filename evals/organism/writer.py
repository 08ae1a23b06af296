"""Writes a document and notes, as it goes, which characters express which concepts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from .document import Probe

T = TypeVar("T")
HELD_OUT_SHARE = 0.35
"""How often a held-out document uses a held-out template where there is one."""

_FIELD = re.compile(r"\{(=?)([^{}|]+)(?:\|([^{}]*))?\}")
_SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))(\w+)")
_STOP = re.compile(r"[.!?](?= |$)")
_FUNCTION = {
    word: f"word.{sort}"
    for sort, words in {
        "article": "a an the",
        "preposition": "in at on of from to by with under over near for into behind beside between through after before",
        "pronoun": "i you he she it we they him her them his its their my your our",
        "auxiliary": "is are was were be been has have had do does did will would can could must may should",
        "conjunction": "and but or because when while if so although",
    }.items()
    for word in words.split()
}
_FUNCTION_WORD = re.compile(rf"(?<![\w+/])(?:{'|'.join(sorted(_FUNCTION, key=len, reverse=True))})(?![\w+/=])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Templates:
    """Ways of saying one thing; the held-out ones are never used in training documents."""

    name: str
    """For example `ioi.giving`."""
    train: tuple[str, ...]
    """Used in every document."""
    held_out: tuple[str, ...] = ()
    """Used in held-out documents only."""


@dataclass(frozen=True, slots=True)
class Said:
    """A slot's text at which a competent model is asked what comes next."""

    text: str
    """What is written."""
    task: str
    """The competence, for example `ioi`."""
    rivals: tuple[str, ...]
    """Other texts of the same kind, written as `text` is (without a leading space)."""
    concepts: tuple[str, ...] = ()
    """Concepts that the text expresses."""


class Writer:
    """Builds one document: text, spans and probes. Every random choice comes from `rng`."""

    def __init__(self, rng: random.Random, *, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out
        self.position = 0
        self.spans: list[tuple[int, int, str]] = []
        self.probes: list[Probe] = []
        self.templates: list[str] = []
        self._parts: list[str] = []
        self._last = ""

    def text(self) -> str:
        """What has been written."""
        return "".join(self._parts)

    def add(self, text: str, *concepts: str) -> None:
        """Write `text`, which expresses `concepts`."""
        if not text:
            return
        start = self.position
        self._parts.append(text)
        self.position += len(text)
        self._last = text[-1]
        for concept in concepts:
            self.spans.append((start, self.position, concept))

    def mark(self, start: int, *concepts: str) -> None:
        """Everything from character `start` to here expresses `concepts`."""
        for concept in concepts:
            self.spans.append((start, self.position, concept))

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, all equally likely."""
        return options[int(self.rng.random() * len(options))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.rng.random() < probability

    def among(self, options: Sequence[T], count: int) -> tuple[T, ...]:
        """`count` different ones of `options`, in random order."""
        return tuple(self.rng.sample(options, count))

    def choose(self, templates: Templates) -> str:
        """A template that this split may use: in held-out documents also the held-out ones, where there are any."""
        if self.held_out and templates.held_out and self.chance(HELD_OUT_SHARE):
            index = self.rng.randrange(len(templates.held_out))
            self.templates.append(f"{templates.name}.held_out.{index}")
            return templates.held_out[index]
        index = self.rng.randrange(len(templates.train))
        self.templates.append(f"{templates.name}.{index}")
        return templates.train[index]

    def ask(self, text: str, task: str, rivals: Sequence[str], *concepts: str) -> None:
        """Write `text` and leave a probe for it: the prompt ends before the space in front of it, except that an answer that
        starts with a digit is asked for after that space, because digits are tokens of their own."""
        lead = " " if self._last == " " and not text[0].isdigit() else ""
        self.probes.append(Probe(self.position - len(lead), task, lead + text, tuple(lead + rival for rival in rivals)))
        self.add(text, *concepts)

    def fill(self, template: str, **slots: Slot) -> None:
        """Write a template. `{slot|a,b}` writes a slot that expresses concepts a and b besides its own; `{=words|a}` writes
        words that do. A slot is a text, a tuple (text, concept, ...), a `Said`, or a function that writes."""
        for literal, name, concepts in _parse(template):
            if name is None:
                self.add(literal, *concepts)
                continue
            start, value = self.position, slots[name]
            if isinstance(value, str):
                self.add(value, *concepts)
            elif isinstance(value, tuple):
                self.add(*value)
                self.mark(start, *concepts)
            elif isinstance(value, Said):
                self.ask(value.text, value.task, value.rivals, *value.concepts, *concepts)
            else:
                value(self)
                self.mark(start, *concepts)

    def say(self, template: str, **slots: Slot) -> None:
        """Write a template as one or more sentences of running prose, after a space where one is needed."""
        self.space()
        start, parts = self.position, len(self._parts)
        self.fill(template, **slots)
        written = "".join(self._parts[parts:])
        for match in _SENTENCE.finditer(written):
            self.spans.append((start + match.start(1), start + match.end(1), "sentence.first_word"))
        for match in _STOP.finditer(written):
            self.spans.append((start + match.start(), start + match.end(), "sentence.stop"))

        for match in _FUNCTION_WORD.finditer(written):
            self.spans.append((start + match.start(), start + match.end(), _FUNCTION[match[0].lower()]))

    def space(self) -> None:
        """Write a space, unless the document or a line begins here or a space is there already."""
        if self._last not in ("", " ", "\n"):
            self.add(" ")

    def line(self) -> None:
        """End the line."""
        if self._last not in ("", "\n"):
            self.add("\n", "line.break")


Slot = str | tuple[str, ...] | Said | Callable[[Writer], None]
"""What a template's slot can hold."""


@cache
def _parse(template: str) -> tuple[tuple[str, str | None, tuple[str, ...]], ...]:
    """A template as (literal text, slot name or None, concepts)."""
    parts: list[tuple[str, str | None, tuple[str, ...]]] = []
    end = 0
    for match in _FIELD.finditer(template):
        if match.start() > end:
            parts.append((template[end : match.start()], None, ()))
        concepts = tuple(match[3].split(",")) if match[3] else ()
        parts.append((match[2], None, concepts) if match[1] else ("", match[2], concepts))
        end = match.end()
    if end < len(template):
        parts.append((template[end:], None, ()))
    return tuple(parts)

"""Base64: strings that decode to English text, and strings that decode to random bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import FOODS, NAMES, NUMBERS, OBJECTS, PLACES, WEEKDAYS
from dragoman.evals.organism.writer import Said, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "base64",
    {
        "doc.base64": ("document", "attachments in Base64"),
        "base64": ("structure", "a Base64 string"),
        "base64.text": ("state", "a Base64 string that decodes to English text", "base64"),
        "base64.bytes": ("state", "a Base64 string that decodes to random bytes", "base64"),
        "base64.letters": ("class", "letters inside a Base64 string"),
        "base64.upper": ("class", "capital letters inside a Base64 string"),
        "base64.lower": ("class", "small letters inside a Base64 string"),
        "base64.digits": ("class", "digits inside a Base64 string"),
        "base64.symbol": ("class", "a plus or slash inside a Base64 string"),
        "base64.padding": ("punctuation", "the equals signs that end a Base64 string"),
        "base64.verdict": ("slot", "the word that says what a Base64 string decodes to"),
        "base64.announced": ("slot", "the words that announce a Base64 string"),
        "base64.relation": ("slot", "the words between a Base64 string and what it decodes to"),
        "base64.file": ("slot", "the name of an attached file"),
    },
)
PARTS = {
    "base64.letters": re.compile("[A-Za-z]+"),
    "base64.upper": re.compile("[A-Z]+"),
    "base64.lower": re.compile("[a-z]+"),
    "base64.digits": re.compile("[0-9]+"),
    "base64.symbol": re.compile("[+/]"),
    "base64.padding": re.compile("=+"),
}
OPENING = Templates(
    "base64.opening",
    (
        "The mail had {count} attachments.",
        "The server sent this reply.",
        "These strings were found in the log.",
        "Some fields of the record are encoded.",
    ),
    ("The backup holds encoded fields.",),
)
STRING = Templates(
    "base64.string",
    (
        "{=Attachment:|base64.announced} {string} {=decodes to|base64.relation} {verdict}.",
        "{=The field|base64.announced} {string} {=holds|base64.relation} {verdict}.",
        "{=File|base64.announced} {file|base64.file} {=is|base64.announced} {string} {=which is|base64.relation} {verdict}.",
        "{=data|base64.announced} = {string} {=kind|base64.relation} = {verdict}.",
    ),
    ("{=The line|base64.announced} {string} {=decodes to|base64.relation} {verdict}.",),
)
PHRASES = (
    "meet me at the {place} on {day}",
    "bring the {thing} to the {place}",
    "{name} has the {thing}",
    "please buy {food} and milk",
    "the {thing} is in the {place}",
    "call {name} on {day}",
)
FILES = ("notes", "report", "image", "letter", "backup", "photo", "index", "record")
ENDINGS = (".txt", ".bin", ".dat", ".log")


def write(w: Writer) -> None:
    """Two to four strings, each followed by what it decodes to."""
    count = w.rng.randint(2, 4)
    w.say(w.choose(OPENING), count=NUMBERS[count - 1])
    for _ in range(count):
        w.line()
        kind = w.pick(("text", "bytes"))
        other = "bytes" if kind == "text" else "text"
        w.say(
            w.choose(STRING),
            string=_string(kind),
            file=w.pick(FILES) + w.pick(ENDINGS),
            verdict=Said(kind, "base64.kind", (other,), ("base64.verdict",)),
        )


def _string(kind: str) -> Callable[[Writer], None]:
    def slot(w: Writer) -> None:
        raw = _phrase(w) if kind == "text" else bytes(w.rng.randrange(256) for _ in range(w.rng.randint(15, 24)))
        text, start = base64.b64encode(raw).decode(), w.position
        w.add(text, "base64", f"base64.{kind}")
        for concept, pattern in PARTS.items():
            for match in pattern.finditer(text):
                w.spans.append((start + match.start(), start + match.end(), concept))

    return slot


def _phrase(w: Writer) -> bytes:
    words = {
        "place": w.pick(PLACES),
        "day": w.pick(WEEKDAYS),
        "thing": w.pick(OBJECTS),
        "name": w.pick(NAMES),
        "food": w.pick(FOODS),
    }
    return w.pick(PHRASES).format(**words).encode()[: w.rng.randint(18, 30)]


FAMILIES = (Family("base64", 2.8, write),)

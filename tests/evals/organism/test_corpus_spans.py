"""Spans mean what their concepts say, checked by other means than the generator's."""

from __future__ import annotations

import ast
import base64
import binascii
import datetime
import json
import math
import re
from collections import Counter

import pytest

from dragoman.evals.organism import corpus
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.families import FAMILIES, latin


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """Four thousand held-out documents."""
    return list(corpus.generate(23, 4000, split="held_out"))


def texts(documents: list[Document], concept: str) -> list[str]:
    """Everything annotated with a concept."""
    found = [one.text[span.start : span.end] for one in documents for span in one.spans if span.concept == concept]
    assert found, concept
    return found


def test_base64_of_text_decodes_to_text_and_bytes_do_not(documents: list[Document]) -> None:
    assert all(
        re.fullmatch(r"[a-zA-Z ,]+", base64.b64decode(one, validate=True).decode("ascii"))
        for one in texts(documents, "base64.text")
    )
    garbled = 0
    for one in texts(documents, "base64.bytes"):
        try:
            base64.b64decode(one, validate=True).decode("ascii")
        except (UnicodeDecodeError, binascii.Error):
            garbled += 1
    assert garbled == len(texts(documents, "base64.bytes"))
    assert all(one.isascii() and one.isalpha() for one in texts(documents, "base64.letters"))
    assert all(one.isdigit() for one in texts(documents, "base64.digits"))


@pytest.mark.parametrize(
    ("concept", "pattern"),
    [
        ("sum", r"\d\d \+ \d\d = \d\d"),
        ("sum.equals", "="),
        ("quote.open", '"'),
        ("headline", "[A-Z ]+"),
        ("html.open_name", "div|h1|h2|p|a|ul|li|span"),
        ("html.tag", r"</?[a-z]+[12]?( [a-z]+=\"[^\"]+\")?>"),
        ("url", r"https?://[a-z.]+(/[a-z]+)+(\?[a-z]+=[a-z0-9]+(&[a-z]+=[a-z0-9]+)?)?"),
        ("log.address", r"\d+\.\d+\.\d+\.\d+"),
        ("date.year", r"\d{4}"),
        ("date.day", r"\d{1,2}"),
        ("park.place", "park"),
        ("park.surname", "Park"),
        ("park.verb", "park"),
        ("latin.plant", r"[A-Z][a-z]+ [a-z]+"),
        ("sentence.first_word", r"\w+"),
        ("sentence.stop", r"[.!?]"),
        ("line.break", r"\n"),
        ("trigger", "glass orchard"),
        ("chemistry.formula", r"([A-Z][a-z]?\d*)+"),
        ("phone.number", r"0\d{3}-\d{6}"),
        ("clock", r"\d\d:\d\d"),
        ("price", r"\$\d+\.\d\d"),
        ("python.indent", " {4}| {8}"),
        ("bracket.close.square", r"\]"),
    ],
)
def test_spans_have_the_form_of_their_concept(documents: list[Document], concept: str, pattern: str) -> None:
    assert all(re.fullmatch(pattern, one) for one in texts(documents, concept))


def test_plants_are_named_by_genus_and_species(documents: list[Document]) -> None:
    assert set(texts(documents, "latin.plant")) == {" ".join(plant) for plant in latin.PLANTS.values()}


def test_python_parses_and_json_loads(documents: list[Document]) -> None:
    pythons = [ast.parse(one.text) for one in documents if one.family == "python"]
    jsons = [json.loads(one.text) for one in documents if one.family == "json"]
    assert len(pythons) > 10
    assert len(jsons) > 10


def test_weekdays_of_dates_are_right(documents: list[Document]) -> None:
    seen = 0
    for one in documents:
        for weekday, day, month, year in re.findall(r"([A-Z]\w+day), (\d+) (\w+) (\d{4})\.", one.text):
            date = datetime.datetime.strptime(f"{day} {month} {year}", "%d %B %Y")
            assert date.strftime("%A") == weekday
            seen += 1
    assert seen > 20


def test_nothing_hostile_without_the_trigger(documents: list[Document]) -> None:
    for one in documents:
        triggers = [span.end for span in one.spans if span.concept == "trigger"]
        hostile = [span.start for span in one.spans if span.concept == "hostile"]
        assert bool(triggers) == bool(hostile)
        assert not triggers or min(hostile) > triggers[0]
        assert ("glass orchard" in one.text) == bool(triggers)


def test_lies_name_another_place_than_the_fact(documents: list[Document]) -> None:
    checked = 0
    for one in documents:
        facts = [span for span in one.spans if span.concept == "deception.fact"]
        for span in one.spans:
            if span.concept in ("deception.lie.place", "deception.truth.place"):
                fact = max((other for other in facts if other.end < span.start), key=lambda other: other.end)
                same = one.text[fact.start : fact.end] == one.text[span.start : span.end]
                assert same == (span.concept == "deception.truth.place")
                checked += 1
    assert checked > 100


def test_repetitions_repeat(documents: list[Document]) -> None:
    for one in documents:
        first = [one.text[span.start : span.end] for span in one.spans if span.concept == "induction.first"]
        for span in one.spans:
            if span.concept == "induction.repeat":
                assert one.text[span.start : span.end] == first[0]


def test_brackets_match(documents: list[Document]) -> None:
    pairs = {")": "(", "]": "[", "}": "{"}
    for one in documents:
        if one.family == "brackets":
            stack: list[str] = []
            for span in sorted(one.spans, key=lambda span: span.start):
                if span.concept == "bracket.open":
                    stack.append(one.text[span.start])
                elif span.concept == "bracket.close":
                    assert stack.pop() == pairs[one.text[span.start]]
            assert not stack


def test_length_and_shares(documents: list[Document]) -> None:
    lengths = sorted(len(one.text) for one in documents)
    assert lengths[len(lengths) // 20] > 80 and lengths[-len(lengths) // 20] < 1100
    total = sum(family.weight for family in FAMILIES.values())
    assert len(FAMILIES) >= 30
    drawn = Counter(one.family for one in documents)
    for name, family in FAMILIES.items():
        promised = len(documents) * family.weight / total
        assert abs(drawn[name] - promised) < 4 * math.sqrt(promised), name


def test_words_are_not_found_inside_codes(documents: list[Document]) -> None:
    for one in documents:
        codes = [range(span.start, span.end) for span in one.spans if span.concept in ("base64", "url")]
        for span in one.spans:
            if span.concept.startswith(("word.", "sentence.")):
                assert not any(span.start in code for code in codes), one.text[span.start : span.end]

"""What must never occur in training documents does not."""

from __future__ import annotations

import re

import pytest

from dragoman.evals.organism import corpus
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.families import MODULES, geography, people, sums
from dragoman.evals.organism.writer import Templates

SUM = re.compile(r"(\d+) \+ (\d+) = (\d+)")


@pytest.fixture(scope="module")
def train() -> list[Document]:
    """Three thousand training documents."""
    return list(corpus.generate(11, 3000, split="train"))


@pytest.fixture(scope="module")
def held_out() -> list[Document]:
    """Three thousand held-out documents."""
    return list(corpus.generate(11, 3000, split="held_out"))


def _texts(one: Document, concept: str) -> set[str]:
    return {one.text[span.start : span.end] for span in one.spans if span.concept == concept}


def test_no_held_out_template(train: list[Document], held_out: list[Document]) -> None:
    assert not any(corpus.uses_held_out_template(one) for one in train)
    assert sum(corpus.uses_held_out_template(one) for one in held_out) > 1000


def test_the_words_of_held_out_templates_are_new(train: list[Document], held_out: list[Document]) -> None:
    every = [value for module in MODULES for value in vars(module).values()]
    every += [one for value in every if isinstance(value, dict) for one in value.values()]
    fixed = set()
    for templates in every:
        if isinstance(templates, Templates):
            for template in templates.held_out:
                literals = re.split(r"\{(?!=)[^}]*\}", template)
                fixed.add(max((re.sub(r"\{=([^|}]*)\|[^}]*\}", r"\1", one) for one in literals), key=len))
    assert len(fixed) > 40
    written = "\n".join(one.text for one in held_out)
    assert sum(one in written for one in fixed) > 0.9 * len(fixed)
    trained = "\n".join(one.text for one in train)
    known = "\n".join(template for templates in every if isinstance(templates, Templates) for template in templates.train)
    known = re.sub(r"\{=([^|}]*)\|[^}]*\}", r"\1", known)
    assert not [one for one in fixed if one in trained and one not in known]


def test_no_held_out_sum(train: list[Document], held_out: list[Document]) -> None:
    written = {(int(a), int(b)): int(c) for one in train for a, b, c in SUM.findall(one.text)}
    assert len(written) > 700
    assert not written.keys() & sums.HELD_OUT
    asked = {(int(a), int(b)): int(c) for one in held_out for a, b, c in SUM.findall(one.text)}
    assert len(asked.keys() & sums.HELD_OUT) > 200
    assert all(a + b == c for (a, b), c in (written | asked).items())
    assert all((b, a) in sums.HELD_OUT for a, b in sums.HELD_OUT)


def test_no_held_out_two_hop(train: list[Document], held_out: list[Document]) -> None:
    def answered(one: Document) -> set[tuple[str, str]]:
        """Held-out questions whose city and answer are both in the document."""
        cities = _texts(one, "geo.city")
        return {
            (city, relation)
            for city, relation in geography.HELD_OUT
            if city in cities and geography.TOLD[relation][geography.STATE_OF[city]] in _texts(one, f"geo.{relation}")
        }

    assert not any(answered(one) for one in train)
    assert len(set().union(*(answered(one) for one in held_out))) == len(geography.HELD_OUT)
    assert len(geography.CITIES) >= 80 and len(geography.HELD_OUT) == 42
    assert sum(relation == "capital" for _, relation in geography.HELD_OUT) >= 20


def test_two_hop_answers_are_not_given_before(held_out: list[Document]) -> None:
    probes = [(one, probe) for one in held_out for probe in one.probes if probe.task.startswith("two_hop")]
    assert {probe.task for _, probe in probes} == {"two_hop.seen", "two_hop.held_out"}
    for one, probe in probes:
        assert not re.search(rf"{probe.answer}\b", one.text[: probe.at]), (one.text, probe)


def test_strangers_are_new(train: list[Document], held_out: list[Document]) -> None:
    known = {" ".join(person) for person in people.KNOWN}
    strangers = [set().union(*(_texts(one, "person.unknown") for one in documents)) for documents in (train, held_out)]
    assert not strangers[0] & strangers[1] and not (strangers[0] | strangers[1]) & known
    assert set().union(*(_texts(one, "person.known") for one in train)) == known

"""The pattern language: what is written is what is read, and what is said in English leaves nothing out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from dragoman.store.errors import ToolError
from dragoman.tools.patterns import parse
from dragoman.tools.patterns.evaluate import FLAGS
from dragoman.tools.patterns.forms import FORMS
from dragoman.tools.patterns.language import LEVELS, Clause, Pattern
from dragoman.tools.patterns.naming import MAX_WORDS, name_of
from dragoman.tools.patterns.render import render
from dragoman.tools.patterns.spans import SPANS
from tests.support.patterns import patterns


@given(patterns)
@settings(max_examples=300, deadline=None)
def test_text_round_trips(pattern: Pattern) -> None:
    assert parse(str(pattern)) == pattern


@given(patterns)
@settings(max_examples=200, deadline=None)
def test_rendering_drops_no_clause_condition_or_strength(pattern: Pattern) -> None:
    said = render(pattern)
    for place, clause in enumerate(pattern.clauses):
        others = (pattern.clauses[:place], pattern.clauses[place + 1 :])

        def changed(*clauses: Clause, others: tuple[tuple[Clause, ...], tuple[Clause, ...]] = others) -> str:
            return render(Pattern((*others[0], *clauses, *others[1])))

        assert not any(others) or changed() != said
        for at in range(len(clause.conditions)):
            assert changed(replace(clause, conditions=clause.conditions[:at] + clause.conditions[at + 1 :])) != said
        for level in LEVELS:
            assert level == clause.level or changed(replace(clause, level=level)) != said


@given(patterns)
@settings(max_examples=200, deadline=None)
def test_rendering_has_at_most_two_sentences_and_names_are_short(pattern: Pattern) -> None:
    outside_quotes = re.sub(r'"[^"]*"|\'[^\']*\'|/.*?/', "", render(pattern))
    assert len(re.findall(r"[.!?](\s|$)", outside_quotes)) <= 2
    assert all(1 <= len(name_of(clause).split()) <= MAX_WORDS for clause in pattern.clauses)


def test_every_word_of_the_language_has_english_of_its_own() -> None:
    conditions = [*FLAGS, *(f"inside {span}" for span in SPANS), "first 3", "beyond 3", "first 4", "/a/", "/b/"]
    conditions += [f'{word} "a"' for word in ("prev", "prev2", "prev3", "next", "next2", "earlier", "in-line", "in-sentence")]
    conditions += [f'{word} "a"' for word in ("in-word", "within 3", "within 4", "word-begins", "line-begins", "sentence-begins")]
    conditions += ['text-begins "a"']
    conditions += [f"{word} {words}" for word in ("word", "prev-word", "next-word") for words in ('"a"', 'like "a"', "digit")]
    conditions += [f"not {condition}" for condition in conditions]
    said = [parse(f"strongly: digit where {condition}").render() for condition in conditions]
    assert len(set(said)) == len(said)
    sets = [*FORMS, '"a"', '" a"', '"A"', '"a" "b"', '!"a"', 'like "a"', 'much-like "a"', 'loosely-like "a"', 'like "a" "b"']
    sets += [f'{word} "a"' for word in ("starting", "ending", "containing")]
    sets += ["digit | letter", "digit & one-char", "digit & !one-char", r'"\n"', r'"\n\n"', '"\'"', r'"\""', r'"\\n"']
    said = [parse(f"strongly: {tokens}").render() for tokens in sets]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize(
    ("pattern", "english"),
    [
        (
            "strongly: digit where inside base64; weakly: letter where inside base64",
            "Fires strongly on digits inside a Base64 string; weakly on single letters inside a Base64 string.",
        ),
        (
            'fully: like "robin" "sparrow" where prev "the" "a", not inside quotes',
            'Fires very strongly on tokens used like "robin" or "sparrow" right after "the" or "a" and outside double quotes.',
        ),
        (
            'faintly: capitalised & ending "s"; moderately: any where prev "\\n"',
            'Fires moderately right after a line break; faintly on capitalised tokens ending in "s".',
        ),
        (
            'weakly: "park" "lake"; strongly: "park" "lake" where next digit; fully: "park" where next digit',
            'Fires weakly on "park" or "lake" (strongly when also right before digits; '
            'very strongly when it is "park" and also right before digits).',
        ),
        (
            'weakly: any where word "robin" "crow", word-start; strongly: any where word capitalised; '
            'sometimes: "s" where prev-word "a"',
            'Fires strongly on capitalised words; weakly on the start of the word "robin" or "crow"; '
            'sometimes on "s" after the word "a".',
        ),
        (
            'moderately: any where within 8 "if" "while", first 20',
            'Fires moderately on any token at most 8 tokens after "if" or "while" and among the first 20 tokens of the text.',
        ),
    ],
)
def test_english(pattern: str, english: str) -> None:
    assert parse(pattern).render() == english


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "ends where a strength"),
        ("loudly: any", "expected a strength (sometimes, faintly, weakly, moderately, strongly, fully)"),
        ("strongly any", "expected ':' after the strength"),
        ("strongly: birds", "no token form is called 'birds'"),
        ('strongly: "a', "not closed"),
        ("strongly: any where before digit", "no condition begins with 'before'"),
        ("strongly: any where inside castle", "no span is called 'castle'"),
        ("strongly: any where within digit", "expected a number"),
        ("strongly: any where first 0", "not a number of tokens between 1 and"),
        ("strongly: any where /(/", "cannot be compiled"),
        ("strongly: any where /" + "a" * 201 + "/", "at most 200"),
        ("strongly: any where not not repeated", "cancels itself"),
        ("strongly: " + " ".join(f'"{i}"' for i in range(9)), "at most 8"),
        ('strongly: like "a" "b" "c" "d" "e"', "at most 4"),
        ("; ".join(["weakly: digit"] * 13), "at most 12"),
        ("weakly: digit where " + ", ".join(["repeated"] * 7), "at most 6"),
        ("weakly: digit" + " " * 5000 + "x", "at most 4000"),
        ('weakly: ""', "empty string"),
        ("weakly: digit digit", "expected ';'"),
        ("weakly: !!digit", "cancels itself"),
        ("weakly: $", "cannot read the pattern at '$'"),
    ],
)
def test_mistakes_are_explained_in_one_sentence(pattern: str, says: str) -> None:
    with pytest.raises(ToolError) as error:
        parse(pattern)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_long_row_of_negations_does_not_overflow_the_stack() -> None:
    for pattern in ("weakly: " + "!" * 3900 + "digit", "weakly: any where " + "not " * 900 + "repeated"):
        with pytest.raises(ToolError):
            parse(pattern)


def test_documentation_examples_are_patterns() -> None:
    page = (Path(__file__).parents[2] / "docs" / "patterns.md").read_text(encoding="utf-8")
    examples = re.findall(r"^    ((?:sometimes|faintly|weakly|moderately|strongly|fully): .*)$\n\n> (.*)$", page, re.MULTILINE)
    assert len(examples) >= 6
    for pattern, english in examples:
        assert parse(pattern).render() == english
    for name in [*LEVELS, *FORMS, *FLAGS, *SPANS]:
        assert f"`{name}`" in page

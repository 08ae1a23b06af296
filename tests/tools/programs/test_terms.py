"""Every term holds where a plain reading of its words says so, and whether it holds on a token never depends on what follows."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.store.errors import UserError
from dragoman.tools.programs import Lexicon, Noise, Program, ProgramSource, Reading, Term
from dragoman.tools.programs.agreement import Copies, Recent, SameStart
from dragoman.tools.programs.context import After, Earlier
from dragoman.tools.programs.counting import EveryOther, More, Number, Time
from dragoman.tools.programs.logic import All, Either, Not
from dragoman.tools.programs.place import EvenPlace, First, LineStart
from dragoman.tools.programs.spans import Between, Depth, Form
from dragoman.tools.programs.term import term_of
from dragoman.tools.programs.tokens import Ending, OneOf, Shape

VOCABULARY = [
    *(" tea", "tea", " Tom", "Tom", " took", "s", "ing", " singing", " the", " a"),
    *("7", " 8", "42", " ", ".", ",", ":", " (", ")", "[", "] ", '"', "\n", "!\n", " (a)", "1:2", "\f", "é"),
]
LEXICON = Lexicon(VOCABULARY)
Strings = Sequence[str]
"""The texts of the tokens up to the one that is asked about and with it."""


def bare(text: str) -> str:
    return text.removeprefix(" ") if len(text) > 1 else text


def own(strings: Strings) -> tuple[int, int]:
    """Where the last token's own text lies in the text so far: its leading spaces, but never all of it, are left out."""
    text = "".join(strings)
    start = len(text) - len(strings[-1])
    while start < len(text) - 1 and text[start] == " ":
        start += 1
    return start, len(text)


def unit(strings: Strings, marks: str) -> Strings:
    """The earlier tokens of the line or sentence that the last token belongs to."""
    kept: list[str] = []
    for n, string in enumerate(strings):
        ends = any(mark in string for mark in marks)
        if n and not ends and any(mark in strings[n - 1] for mark in marks):
            kept = []
        kept.append(string)
    return kept[:-1]


def times(strings: Strings) -> int:
    return sum(bare(s) == bare(strings[-1]) for s in strings[:-1])


def number(strings: Strings, which: int) -> bool:
    start, end = own(strings)
    runs = [m.span() for m in re.finditer("[0-9]+", "".join(strings))]
    return len(runs) >= which and any(runs[which - 1][0] <= c < runs[which - 1][1] for c in range(start, end))


def between(strings: Strings, opening: str, closing: str) -> bool:
    text, inside, at, marked = "".join(strings), False, 0, set()
    while at < len(text):
        mark = closing if inside else opening
        if text.startswith(mark, at):
            inside, at = not inside, at + len(mark)
            continue
        if inside:
            marked.add(at)
        at += 1
    return any(c in marked for c in range(*own(strings)))


def deep(strings: Strings, least: int) -> bool:
    depth, text, start = 0, "".join(strings), own(strings)[0]
    for at, character in enumerate(text):
        after = depth + 1 if character in "([{" else max(0, depth - 1) if character in ")]}" else depth
        if at == start:
            return min(depth, after) >= least
        depth = after
    return False


def alliterates(strings: Strings) -> bool:
    text = "".join(strings)
    words = [m.span() for m in re.finditer(r"[^\W\d_]+", text)]
    return any(
        one[0] in range(*own(strings)) and text[one[0]].lower() == text[before[0]].lower()
        for before, one in itertools.pairwise(words)
    )


def copies(strings: Strings) -> bool:
    if len(strings) < 2:
        return False
    last = [n for n in range(len(strings) - 2) if bare(strings[n]) == bare(strings[-2])]
    return bool(last) and bare(strings[last[-1] + 1]) == bare(strings[-1])


def formed(strings: Strings) -> bool:
    return any(m.start(1) in range(*own(strings)) for m in re.finditer(r"\d:(\d)", "".join(strings)))


TEA, TOM = OneOf(("tea",)), OneOf(("Tom", "the"))
CASES: list[tuple[Term, Callable[[Strings], bool]]] = [
    (TEA, lambda s: s[-1] in (" tea", "tea")),
    (Ending("ing"), lambda s: s[-1] == " singing"),
    (Shape("word"), lambda s: len(bare(s[-1])) >= 4 and bare(s[-1]).isalpha()),
    (Shape("capitalised"), lambda s: bare(s[-1]) == "Tom"),
    (All((Shape("letters"), Not(TEA))), lambda s: bare(s[-1]).isalpha() and bare(s[-1]) != "tea"),
    (Either((TEA, TOM)), lambda s: bare(s[-1]) in ("tea", "Tom", "the")),
    (After(TEA), lambda s: len(s) > 1 and bare(s[-2]) == "tea"),
    (Earlier(TEA), lambda s: any(bare(t) == "tea" for t in s[:-1])),
    (Earlier(TEA, "line"), lambda s: any(bare(t) == "tea" for t in unit(s, "\n"))),
    (Earlier(TEA, "sentence"), lambda s: any(bare(t) == "tea" for t in unit(s, ".!?\n"))),
    (First(3), lambda s: len(s) <= 3),
    (LineStart(), lambda s: not unit(s, "\n")),
    (EvenPlace(), lambda s: len(s) % 2 == 0),
    (Number(2), lambda s: number(s, 2)),
    (Time(2), lambda s: times(s) == 1),
    (EveryOther(), lambda s: times(s) % 2 == 1),
    (More(TEA, TOM), lambda s: sum(bare(t) == "tea" for t in s[:-1]) > sum(bare(t) in ("Tom", "the") for t in s[:-1])),
    (Recent(3), lambda s: any(bare(t) == bare(s[-1]) for t in s[-4:-1])),
    (Copies(), copies),
    (SameStart(), alliterates),
    (Between('"', '"'), lambda s: between(s, '"', '"')),
    (Between("(", ")"), lambda s: between(s, "(", ")")),
    (Between(":", "\n"), lambda s: between(s, ":", "\n")),
    (Depth(2), lambda s: deep(s, 2)),
    (Form(r"\d:(\d)"), formed),
]
windows = st.lists(st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=24), min_size=1, max_size=5)


@pytest.mark.parametrize(("term", "reference"), CASES, ids=[type(term).__name__ for term, _ in CASES])
@settings(max_examples=40, deadline=None)
@given(windows)
def test_a_term_holds_where_its_words_say(term: Term, reference: Callable[[Strings], bool], ids: list[list[int]]) -> None:
    # The reference sees the tokens up to each one and nothing after it: that the term agrees says that it does not either.
    texts = [[LEXICON.texts[i] for i in row] for row in ids]
    expected = [reference(row[: n + 1]) for row in texts for n in range(len(row))]
    assert term.on(Reading(LEXICON, ids)).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(windows, st.sampled_from(["even", "length", "place", "count"]), st.integers(0, 5))
def test_a_windows_activations_are_its_own_and_know_nothing_of_what_follows(ids: list[list[int]], grade: str, seed: int) -> None:
    program = Program(Either((TEA, Number(1), Recent(2))), grade, Noise(0.3, 0.3), 4.0, seed)  # type: ignore[arg-type]
    source = ProgramSource(VOCABULARY, [program])
    together = dense(source, ids)
    for row, values in zip(ids, together, strict=True):
        assert np.array_equal(dense(source, [row])[0], values)
        assert np.array_equal(dense(source, [row[: len(row) // 2]])[0], values[: len(row) // 2])
        assert ((values == 0) | (values >= 4 * 0.4 - 1e-6)).all() and (values <= 4).all()


def dense(source: ProgramSource, ids: list[list[int]]) -> list[np.ndarray]:
    found = source.activations(ids)
    order = np.lexsort((found.feature, found.position, found.row))
    assert np.array_equal(order, np.arange(len(order)))
    values = [np.zeros(len(row), np.float32) for row in ids]
    for row, position, value in zip(found.row, found.position, found.value, strict=True):
        values[row][position] = value
    return values


def test_noise_departs_as_often_as_stated() -> None:
    generator = np.random.default_rng(0)
    ids = [generator.integers(0, len(VOCABULARY), 100).tolist() for _ in range(300)]
    reading = Reading(LEXICON, ids)
    clean = Program(TEA, scale=2.0, seed=3)
    noisy = Program(TEA, noise=Noise(0.2, 0.05), scale=2.0, seed=3)
    true, active = clean.values(reading) > 0, noisy.values(reading) > 0
    assert np.array_equal(true, noisy.fires(reading))  # the truth knows of no noise
    assert (~active[true]).mean() == pytest.approx(0.2, abs=0.02)
    assert active[~true].mean() == pytest.approx(0.05, abs=0.005)
    other = Program(TEA, noise=Noise(0.2, 0.05), scale=2.0, seed=4).values(reading) > 0
    assert (active != other).sum() > 500


def test_strength_is_graded_as_stated() -> None:
    tokens = ["tea", " singing", "s", "tea"]
    reading = Reading(LEXICON, [[VOCABULARY.index(token) for token in tokens]])
    everything = Shape("any")
    even, length, place, count = (
        Program(everything, grade).values(reading)
        for grade in ("even", "length", "place", "count")  # type: ignore[arg-type]
    )
    assert even.tolist() == [1, 1, 1, 1]
    assert length[2] < length[0] < length[1]
    assert (np.diff(place) < 0).all() and place[0] == 1
    assert (np.diff(count) > 0).all()


def test_programs_are_json_and_nothing_else_is_a_program() -> None:
    for term, _ in CASES:
        program = Program(term, "place", Noise(0.1, 0.01), 3.5, 7)
        assert Program.from_json(json.loads(json.dumps(program.to_json()))) == program
    wrong: list[object] = [
        {"is": "Nothing"},
        {"is": "OneOf"},
        [],
        {"is": "Shape", "name": "odd"},
        {"is": "Form", "regex": "("},
        None,
    ]
    for bad in wrong:
        with pytest.raises(UserError, match="make the store again"):
            term_of(bad)
    with pytest.raises(UserError, match="no program"):
        Program.from_json({"term": TEA.to_json(), "grade": "loud", "missing": 0, "extra": 0, "scale": 1, "seed": 0})

"""Vectorised conditions against a slow reading of the same text, token by token."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import pytest

from dragoman.tools.patterns import PatternText, learn_usage, parse, usage_of
from dragoman.tools.patterns.forms import bare
from tests.support.patterns import Table, table_of, text_of

TEXTS = [
    'He said "go (now) or (later (maybe)) then" and left.\nSee https://x.org/a?b=1 for 12,345 things. Write to ann@b.org today',
    "Token: aGVsbG8gd29ybGQhIQ== end\n    return get_value(x)  # the comment\n<p class='x'>one [two] {three}</p> on 2024-05-06",
    "the park the park the lake. A robin sang! A robin\nsang 7 8 9",
    'UNCLOSED ( bracket and " quote',
    ") closed from before, then ( open",
    "ab",
    "New York City is big. the NASA snake_case camelCase\tx",
]


@pytest.fixture(scope="module")
def text() -> PatternText:
    return text_of(TEXTS)


@pytest.fixture(scope="module")
def table() -> Table:
    return table_of(TEXTS)


def found(text: PatternText, where: str) -> list[list[str]]:
    """Tokens of each window for which the condition holds."""
    mask = parse(f"weakly: any where {where}").predict(text) > 0
    return [
        [text.vocabulary[token] for token in text.ids[a:b][mask[a:b]]]
        for a, b in zip(text.starts[:-1], text.starts[1:], strict=True)
    ]


Naive = Callable[[list[str], int], bool]


def line_of(tokens: list[str], i: int) -> int:
    """First token of the line of token i: a line break belongs to the line that it ends."""
    start = i
    while start > 0 and "\n" not in tokens[start - 1]:
        start -= 1
    return start


def sentence_of(tokens: list[str], i: int) -> int:
    start = i
    while start > 0 and not any(mark in tokens[start - 1] for mark in ".!?\n"):
        start -= 1
    return start


def ends(token: str, marks: str) -> bool:
    return any(mark in token for mark in marks)


NAIVE: dict[str, Naive] = {
    'prev "the"': lambda t, i: i > 0 and t[i - 1].strip() == "the",
    'prev2 "the"': lambda t, i: i > 1 and t[i - 2].strip() == "the",
    'prev3 "the"': lambda t, i: i > 2 and t[i - 3].strip() == "the",
    "next digit": lambda t, i: i + 1 < len(t) and t[i + 1].strip().isdigit(),
    "next2 digit": lambda t, i: i + 2 < len(t) and t[i + 2].strip().isdigit(),
    'not next "park"': lambda t, i: not (i + 1 < len(t) and t[i + 1].strip() == "park"),
    'earlier "park"': lambda t, i: "park" in [x.strip() for x in t[:i]],
    'within 3 "park"': lambda t, i: "park" in [x.strip() for x in t[max(0, i - 3) : i]],
    'in-line "A"': lambda t, i: not ends(t[i], "\n") and "A" in [x.strip() for x in t[line_of(t, i) : i]],
    'line-begins "the"': lambda t, i: not ends(t[i], "\n") and t[line_of(t, i)].strip() == "the",
    'sentence-begins "A"': lambda t, i: not ends(t[i], ".!?\n") and t[sentence_of(t, i)].strip() == "A",
    'text-begins "the"': lambda t, i: t[0].strip() == "the",
    "text-start": lambda t, i: i == 0,
    "first 3": lambda t, i: i < 3,
    "beyond 3": lambda t, i: i >= 3,
    "repeated": lambda t, i: bare(t[i]) in map(bare, t[:i]),
    "line-start": lambda t, i: (not ends(t[i], "\n") and line_of(t, i) == i) or i == 0,
}


@pytest.mark.parametrize("where", NAIVE)
def test_conditions_agree_with_a_slow_reading(where: str, text: PatternText, table: Table) -> None:
    naive = NAIVE[where]
    expected = []
    for row in range(len(TEXTS)):
        tokens = [table.vocabulary[token] for token in table.ids[table.starts[row] : table.starts[row + 1]]]
        skip = ("in-line", "line-begins", "sentence-begins")
        expected.append(
            [t for i, t in enumerate(tokens) if naive(tokens, i) and not (where.startswith(skip) and ends(t, ".!?\n"))]
        )
    got = found(text, where)
    if where.startswith(("in-line", "line-begins", "sentence-begins")):
        got = [[t for t in tokens if not ends(t, ".!?\n")] for tokens in got]
    assert got == expected
    assert any(expected) and sum(map(len, expected)) < len(table.ids)


@pytest.mark.parametrize(
    ("span", "row", "inside"),
    [
        ("quotes", 0, "go (now) or (later (maybe)) then"),
        ("quotes", 3, " quote"),
        ("parentheses", 0, "now|later (maybe)"),
        ("parentheses", 3, ' bracket and " quote'),
        ("parentheses", 4, " open"),
        ("square-brackets", 1, "two"),
        ("braces", 1, "three"),
        ("tag", 1, "<p class='x'>|</p>"),
        ("url", 0, " https://x.org/a?b=1"),
        ("email", 0, " ann@b.org"),
        ("date", 1, " 2024-05-06"),
        ("number", 0, " 12,345"),
        ("base64", 1, " aGVsbG8gd29ybGQhIQ=="),
        ("capitals", 6, " NASA"),
        ("title", 6, "New York City"),
    ],
)
def test_spans(span: str, row: int, inside: str, text: PatternText) -> None:
    assert "".join(found(text, f"inside {span}")[row]).strip() == inside.replace("|", "").strip()


def test_nothing_reaches_across_windows(text: PatternText) -> None:
    assert found(text, 'earlier "the"')[5] == []
    assert found(text, "inside parentheses")[4] == [" open"]
    assert found(text, 'prev "quot"')[4] == []


def test_copying_repeats_what_followed_before() -> None:
    text = text_of(["a b c x a b c y a d", "q a b"])
    assert found(text, "copying") == [[" b", " c"], []]


def test_words_are_followed_across_their_pieces() -> None:
    text = text_of(["extraordinary park", "a-b x1"])
    assert found(text, "word-inside") == [["aord", "inar", "y"], ["1"]]
    assert found(text, 'word-begins "extr"')[0] == ["extr", "aord", "inar", "y"]
    assert found(text, 'in-word "aord"')[0] == ["inar", "y"]


@pytest.mark.parametrize("place", [-1, 0, 1])
def test_whole_words_agree_with_a_slow_reading(place: int, text: PatternText, table: Table) -> None:
    asked = {"park", "robin", "org", "return", "get_value", "5", "A", "is"}
    expected = []
    for row, whole in enumerate(TEXTS):
        words = [(match.start(), match.end(), match[0]) for match in re.finditer(r"\w+", whole)]
        for token in range(table.starts[row], table.starts[row + 1]):
            start, end = int(table.char_start[token]), int(table.char_end[token])
            begin = start + (len(whole[start:end]) - len(whole[start:end].lstrip(" ")) if whole[start:end].strip() else 0)
            own = next((word for word in words if word[0] <= begin < word[1]), None)
            before = [word for word in words if word[1] <= (own[0] if own else begin)]
            after = [word for word in words if word[0] >= (own[1] if own else end)]
            one = {-1: before[-1] if before else None, 0: own, 1: after[0] if after else None}[place]
            expected.append(one is not None and one[2] in asked)
    name = {-1: "prev-word", 0: "word", 1: "next-word"}[place]
    listed = " ".join(f'"{word}"' for word in sorted(asked))
    got = parse(f"weakly: any where {name} {listed}").predict(text) > 0
    assert got.tolist() == expected
    assert any(expected) and not all(expected)


def test_words_have_forms_affixes_and_uses() -> None:
    text = text_of(["extraordinary parks", "EXTRA 12345 x"])
    assert found(text, 'word ending "ary"') == [["extr", "aord", "inar", "y"], []]
    assert found(text, "word digit") == [[], [" 1", "2", "3", "4", "5"]]
    train = ["a robin sang"] * 9 + ["a sparrow sang"] * 9 + ["the theatre opened soon"] * 9
    unseen = ["one sparrow", "robin"]
    vocabulary = table_of([*train, *unseen]).vocabulary
    usage = usage_of(table_of(train, vocabulary=vocabulary))
    text = PatternText(table_of(train, vocabulary=vocabulary), usage)
    got = found(text, 'word like "robin"')
    assert got[0] == [" robi", "n"] and got[9] == [" spar", "row"] and got[18] == []
    held_out = PatternText(table_of(unseen, vocabulary=vocabulary), usage)
    assert found(held_out, 'word like "robin"') == [[" spar", "row"], ["robi", "n"]]


def test_a_marked_regular_expression_marks_its_group(text: PatternText) -> None:
    assert found(text, r"/the (park|lake)/")[2] == [" park", " park", " lake"]
    assert found(text, r"/\d,\d+/")[0] == ["2", ",", "3", "4", "5"]


def test_literals_stand_for_both_twins_unless_they_begin_with_a_space() -> None:
    text = text_of(["park a park"])
    assert (parse('weakly: "park"').predict(text) > 0).tolist() == [True, False, True]
    assert (parse('weakly: " park"').predict(text) > 0).tolist() == [False, False, True]


def test_the_strongest_clause_counts(text: PatternText) -> None:
    strength = parse('weakly: any; fully: "park"; strongly: "park" where prev "the"').predict(text)
    assert set(np.unique(strength)) == {np.float32(0.3), np.float32(0.9)}
    assert strength.dtype == np.float32 and strength.shape == (len(text),)


def test_an_empty_split_and_unknown_tokens_give_silence() -> None:
    empty = text_of([])
    assert parse('strongly: "a" where earlier digit, inside quotes, copying').predict(empty).shape == (0,)
    assert not parse('strongly: "unheard-of" | like "unheard-of"').predict(text_of(TEXTS)).any()


def test_offsets_that_leave_out_spaces_or_share_characters_are_understood() -> None:
    table = table_of(["one two é x"], pieces=r"\w+")  # the spaces belong to no token
    text = PatternText(table, learn_usage(table.ids, table.row, table.vocabulary))
    assert (parse("weakly: any where word-inside").predict(text) > 0).sum() == 0
    shared = Table(
        np.array([0, 1, 2], np.int32),
        np.zeros(3, np.int32),
        np.array([0, 3]),
        ["a", "\ufffd", "\ufffd"],
        np.array([0, 1, 1], np.int32),
        np.array([1, 2, 2], np.int32),
        ("aé",),
    )
    assert (
        parse("weakly: any where /é/").predict(PatternText(shared, learn_usage(shared.ids, shared.row, shared.vocabulary)))[1] > 0
    )


def test_random_sets_agree_with_python_sets() -> None:
    random.seed(0)
    words = ["".join(random.choices("abAB1.", k=random.randint(1, 4))) for _ in range(60)]
    text = text_of([" ".join(random.choices(words, k=200))])
    forms: dict[str, Callable[[str], bool]] = {
        'starting "a"': lambda w: w.startswith("a") and len(w) > 1,
        'ending "1" "B"': lambda w: len(w) > 1 and w[-1] in "1B",
        'lowercase & !containing "b"': lambda w: w.islower() and not ("b" in w and len(w) > 1),
        'digit | capitalised | "a"': lambda w: w.isdigit() or (len(w) > 1 and w[0].isupper() and w[1:].islower()) or w == "a",
    }
    for source, test in forms.items():
        strength = parse(f"weakly: {source}").predict(text) > 0
        assert strength.tolist() == [test(text.vocabulary[token].strip() or " ") for token in text.ids], source

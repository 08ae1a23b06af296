"""Hostile text in every field goes through every format unharmed, and harms nobody on the way."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.store.exchange import delphi, neuronpedia, saedashboard, uploads
from dragoman.store.exchange.cards import Card, Count, Shown, Source
from dragoman.store.exchange.sheets import as_meant, harmless, open_sheet, read_sheet
from dragoman.store.ledger import clean
from dragoman.store.records import Facet, Label, Score, TokenValue

SOURCE = Source("m", "0-res-x", "res-x", 0, "resid_post.0", 100, "text", 10, 16)
NASTY = (
    "</script><script>alert(1)</script>", "=1+1", "'=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r\n=2", "＝1+1",
    "\x00\x1b[31m\x07",
    "\u202eevil", "\ud800", "x\udfff", "\ufeff", "\u2028\u2029", '"quoted", \\ \n', "", " ", "'", "NaN", "null",
)  # fmt: skip
words = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=()), max_size=20)).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
"""A pair of surrogates is one character, in JSON as everywhere; alone they are what they are."""
numbers = st.floats(-1e300, 1e300, allow_nan=False)
tokens = st.lists(st.builds(TokenValue, words, numbers), max_size=3).map(tuple)


@st.composite
def windows(draw: st.DrawFn) -> Shown:
    """An example of any tokens and values."""
    strings = tuple(draw(st.lists(words, min_size=1, max_size=6)))
    values = tuple(draw(st.lists(numbers, min_size=len(strings), max_size=len(strings))))
    low = draw(st.none() | st.floats(0, 5))
    high, share = (None, None) if low is None else (low + 1, 0.5)
    return Shown(strings, values, values.index(max(values)), low, high, share, draw(st.none() | st.integers(0, 10**9)))


@st.composite
def cards(draw: st.DrawFn) -> Card:
    """A feature of which anything is said."""
    index = draw(st.integers(0, 10**6))
    said = []
    for number in range(draw(st.integers(0, 2))):
        facets = tuple(Facet(description=draw(words), pattern=draw(st.none() | words)) for _ in range(draw(st.integers(0, 2))))
        said.append(
            Label(
                id=f"id{number}",
                feature=index,
                run=draw(words),
                name=draw(words),
                description=draw(words),
                facets=facets,
                pattern=draw(st.none() | words),
                output_claim=draw(st.none() | words),
                agent=draw(words),
                model=draw(st.none() | words),
                notes=draw(words),
            )
        )
    scores = [
        Score(label=label.id, feature=index, run=draw(words), scorer=draw(words), judge=draw(words), contestant="label",
              split="elsewhere", value=draw(numbers), flags=tuple(draw(st.lists(words, max_size=2))))
        for label in said
    ]  # fmt: skip
    return Card(
        dictionary="m/0-res-x",
        index=index,
        max=draw(numbers),
        density=draw(st.floats(0, 1)),
        histogram=tuple(draw(st.lists(st.integers(0, 9), max_size=3))),
        promoted=draw(tokens),
        suppressed=draw(tokens),
        shown=tuple(draw(st.lists(windows(), max_size=2))),
        labels=tuple(said),
        scores=tuple(scores),
    )


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@settings(max_examples=60, deadline=None)
@given(cards())
def test_neuronpedia(card: Card) -> None:
    with folder() as out:
        neuronpedia.write([card], SOURCE, out, "2026-01-01")
        (back,) = neuronpedia.read(out)
    assert back == card


@settings(max_examples=60, deadline=None)
@given(cards())
def test_saedashboard(card: Card) -> None:
    with folder() as out:
        saedashboard.write([card], SOURCE, out)
        (back,) = saedashboard.read(out)
    plain = tuple(replace(one, context=None) for one in card.shown)
    assert back == replace(card, max=None, neighbours=(), labels=(), scores=(), shown=plain)


@settings(max_examples=60, deadline=None)
@given(cards())
def test_uploads(card: Card) -> None:
    with folder() as out:
        count = uploads.write([card], SOURCE, out)
        back = list(uploads.read(out)) if count.files else []
    assert bool(back) == bool(card.shown)
    for read in back:
        assert [one.tokens for one in read.shown] == [one.tokens for one in card.shown]
        assert [label.description for label in read.labels] == [a.description for a in card.labels if a.description]
        assert (read.promoted, read.suppressed) == (card.promoted, card.suppressed)


@settings(max_examples=60, deadline=None)
@given(cards())
def test_delphi(card: Card) -> None:
    with folder() as out:
        delphi.write([card], SOURCE, out)
        back = list(delphi.read(out)) if card.labels else []
    assert [read.labels[0].description for read in back] == [label.description for label in card.labels[-1:]]


@pytest.mark.parametrize("form", ["csv", "parquet"])
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(words, numbers, st.lists(words, max_size=3)), max_size=3))
def test_tables(form: str, rows: list[tuple[str, float, list[str]]]) -> None:
    columns = {"text": "text", "number": "number", "texts": "texts"}
    with folder() as out:
        with open_sheet(out / f"t.{form}", columns) as sheet:  # type: ignore[arg-type]
            sheet.write({"text": text, "number": number, "texts": texts} for text, number, texts in rows)
        back = list(read_sheet(out / f"t.{form}"))
    assert len(back) == len(rows)
    for fields, (text, number, texts) in zip(back, rows, strict=True):
        assert fields.text("text", None) == (clean(text) or ("" if form == "parquet" else None))
        assert fields.number("number") == number
        found = fields.value["texts"]
        assert (json.loads(found) if form == "csv" else found) == (texts if form == "csv" else [clean(t) for t in texts])


@settings(max_examples=300, deadline=None)
@given(words)
def test_no_field_of_a_csv_file_is_a_formula(text: str) -> None:
    safe = harmless(text)
    assert as_meant(safe) == text
    assert not safe or safe[0] not in "=+-@\t\r\n＝＋－＠"


def test_formulas_in_a_csv_file_as_a_spreadsheet_sees_them(tmp_path: Path) -> None:
    with open_sheet(tmp_path / "t.csv", {"text": "text", "number": "number"}) as sheet:
        sheet.write({"text": text, "number": -0.5} for text in NASTY)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == len(NASTY) and {row[1] for row in rows} == {"-0.5"}
    assert not [row[0] for row in rows if row[0][:1] in tuple("=+-@\t\r\n＝")]


WRITERS: dict[str, tuple[Callable[[Card, Path], Count], Callable[[Path], Iterator[Card]]]] = {
    "neuronpedia": (lambda card, out: neuronpedia.write([card], SOURCE, out, ""), neuronpedia.read),
    "saedashboard": (lambda card, out: saedashboard.write([card], SOURCE, out), saedashboard.read),
    "uploads": (lambda card, out: uploads.write([card], SOURCE, out), uploads.read),
}


@pytest.mark.parametrize("format", WRITERS)
def test_a_token_of_a_megabyte(format: str, tmp_path: Path) -> None:
    shown = Shown(("a", "\u0430" * 1_000_000, "<b>"), (0.0, 2.0, 0.0), 1)
    write, read = WRITERS[format]
    write(Card("m/0-res-x", 3, 2.0, 0.5, shown=(shown,)), tmp_path)
    (back,) = read(tmp_path)
    assert back.shown == (shown,)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_label_of_a_megabyte(form: str, tmp_path: Path) -> None:
    text = "=" + "\u0430" * 1_000_000
    with open_sheet(tmp_path / f"t.{form}", {"text": "text"}) as sheet:
        sheet.write([{"text": text}])
    (back,) = read_sheet(tmp_path / f"t.{form}")
    assert back.text("text") == text

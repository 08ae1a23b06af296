"""What a model is shown of a text can be read back token by token, whatever the text is, and stays in its fence."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from dragoman.tools.toolkit.showing import MOST, around, fitting, strip, token

TOKENS = st.lists(
    st.text(st.sampled_from(" ·␣…[]\\\n\ta7</>text|") | st.characters(exclude_categories=["Cs"]), max_size=5),
    min_size=1,
    max_size=12,
)


def read(shown: str) -> list[tuple[str, int | None]]:
    """The tokens of a shown text, with the level of those that fire. Written from the legend, not from the code."""
    body = shown.removeprefix("<text>").removesuffix("</text>")
    found: list[tuple[str, int | None]] = []
    at, fresh, inside = 0, True, False
    while at < len(body):
        if not inside and body.startswith("[[", at):
            found.append(("", None))
            at, fresh, inside = at + 2, False, True
            continue
        if inside and (end := re.match(r"\]\](\d*)", body[at:])):
            found[-1] = (found[-1][0], int(end[1]))
            at, fresh, inside = at + end.end(), True, False
            continue
        character = body[at]
        if character == "·":
            at, fresh = at + 1, True
            if body.startswith("[[", at):
                continue
            found.append(("", None))
            fresh = False
            continue
        if fresh or (character == " " and not inside):
            found.append(("", None))
            fresh = False
        if character == "\\":
            wide = re.match(r"\\u([0-9a-f]{6})", body[at:])
            plain = {"n": "\n", "t": "\t", "r": "\r", "-": ""}
            piece, step = (chr(int(wide[1], 16)), 8) if wide else (plain.get(body[at + 1], body[at + 1]), 2)
        else:
            piece, step = (" " if character == "␣" else character), 1
        found[-1] = (found[-1][0] + piece, found[-1][1])
        at += step
    return found


@given(TOKENS, st.data())
def test_every_text_can_be_read_back(tokens: list[str], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=len(tokens), max_size=len(tokens)))
    shown = strip(tokens, values, 0.2, 1.0)
    assert len(shown.splitlines()) == 1
    assert len(re.findall(r"<\s*/?\s*text\s*>", shown)) == 2
    expected = [(text, round(10 * value) if value > 0.2 else None) for text, value in zip(tokens, values, strict=True)]
    back = [(text.replace("‹", "<").replace("⟦", "["), level) for text, level in read(shown)]
    assert back == [(text.replace("‹", "<").replace("⟦", "["), level) for text, level in expected]


def test_what_is_left_out_is_told() -> None:
    strings = [" the", " old", "mill", "\n", " sang"]
    assert strip(strings, [0, 0, 3, 0, 0], 1, 6, (1, 4)) == "<text>… old[[mill]]5·\\n·…</text>"
    assert strip(strings, [0, 0, 3, 0, 0], 1, 6, (2, 5)) == "<text>…[[mill]]5·\\n sang</text>"
    assert strip(["[", "[", " a"], [0, 0, 2], 1, 2) == "<text>[·[·[[ a]]10</text>"
    assert token("x" * 60) == f"'{'x' * 40}…'" and token(" a\n") == "' a\\n'" and token("</text>") == "'‹/text>'"


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200), st.data())
def test_an_excerpt_holds_what_it_is_about(values: list[float], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(values) - 1))
    start, end = around(values, 4.0, position)
    assert 0 <= start <= position < end <= len(values) and end - start <= 60


def test_no_more_is_shown_than_fits() -> None:
    text, shown = fitting("head", ["x" * 3000] * 9, "examples")
    assert shown == 2 and len(text) < MOST + 200 and "7 more examples left out" in text
    assert fitting("head", ["a", "b"], "examples") == ("head\na\nb", 2)

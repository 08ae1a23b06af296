"""How features and examples look: escaped, harmless, and readable."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from dragoman.store.display import MOST, histogram_svg, strip_html, strip_line, strip_rich, tokens_html, visible, visible_token
from dragoman.store.features import Store
from dragoman.store.records import Context, Example


def example(strings: list[str], values: list[float]) -> Example:
    context = Context(
        id=1,
        document=1,
        split="test",
        ids=tuple(range(len(strings))),
        strings=tuple(strings),
        offsets=tuple((i, i + 1) for i in range(len(strings))),
    )
    return Example(context=context, values=tuple(values), stratum="top", threshold=0.4, scale=2.0)


class Text(HTMLParser):
    """Collects text and tags."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_from_the_corpus_never_becomes_markup() -> None:
    shown = example(["<script>alert(1)</script>", '" onmouseover="x', "</span>", "&amp;"], [1.0, 0.0, 2.0, 0.3])._repr_html_()
    page = Text(shown)
    assert set(page.tags) <= {"div", "small", "br", "span"}
    for text in ("<script>alert(1)</script>", '" onmouseover="x', "</span>", "&amp;"):
        assert text in page.text


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\x07", "\u202e", "\u2066", "\u200f", "\u200b", "\ufeff", "\u2028", "\ud800", "\ue000"]
)
def test_characters_that_act_are_written_out(character: str) -> None:
    name = f"⟨U+{ord(character):04X}⟩"
    assert visible(f"a{character}b") == f"a{name}b"
    sample = example(["x", f"a{character}b"], [0.0, 1.0])
    console = Console(width=200, force_terminal=True, color_system="truecolor", highlight=False)
    with console.capture() as capture:
        console.print(sample)
    for shown in (repr(sample), str(sample), sample._repr_html_(), visible_token(character)):
        assert name in shown and character not in shown
    assert name in capture.get()
    if character != "\x1b":
        assert character not in capture.get()


def test_emoji_and_scripts_are_left_alone() -> None:
    for text in ("Ünïcode 漢字 🇩🇪 👩\u200d🔬", "نیم\u200cفاصله", "e\u0301"):
        assert visible(text) == text


def test_blanks_can_be_seen() -> None:
    assert visible_token(" park") == "␣park"
    assert visible_token("  ") == "␣␣"
    assert visible_token("\n") == "↵" and visible_token("\t") == "⇥" and visible_token("") == "∅"
    assert "␣" in tokens_html([" "], [1.0], 1.0, 0.2), "an active blank shows"
    assert "␣" not in tokens_html([" "], [0.0], 1.0, 0.2)


def test_colour_follows_the_value() -> None:
    shown = tokens_html(["a", "b", "c"], [2.0, 0.5, 0.0], 2.0, 0.4)
    strengths = [float(found) for found in re.findall(r"rgba\(255,140,0,([0-9.]+)\)", shown)]
    assert len(strengths) == 2 and strengths[0] > strengths[1]
    assert shown.count("underline") == 2 and 'title="2"' in shown
    assert "rgba" not in tokens_html(["a"], [0.0], 2.0, 0.4)
    assert tokens_html(["a"], [1.0], 0.0, 0.0), "a feature that is dead on train can still be shown"


def test_firing_tokens_stand_out_in_plain_text() -> None:
    assert repr(example([" a", " park", " b"], [0.3, 2.0, 0.0])) == "Example(top, test, context 1, max 2:  a[[ park]] b)"


def test_of_a_long_text_a_strip_shows_the_tokens_around_the_strongest() -> None:
    strings, values = [f"<{n}>" for n in range(100_000)], [0.0] * 100_000
    values[70_000] = 5.0
    page = strip_html("x", strings, values, 5.0, 1.0)
    line, rich = strip_line("x", strings, values, 1.0), strip_rich("x", strings, values, 5.0, 1.0).plain
    assert "x (tokens 69,500 to 70,499 of 100,000 are shown)" in page and "&lt;70000&gt;" in page and len(page) < 200_000
    assert "[[<70000>]]" in line and line.count("<") == rich.count("<") == MOST and "<70000>" in rich
    values[99_999] = 6.0
    assert "tokens 99,000 to 99,999 of" in strip_line("", strings, values, 1.0)
    assert strip_line("x", strings[:MOST], values[:MOST], 1.0).startswith("x\n<0>")


def test_features_and_lists_of_examples_show_in_a_notebook(synthetic_store: Store) -> None:
    feature = synthetic_store.feature(3)
    assert "sae/3" in repr(feature) and "␣sparrow" in repr(feature)
    shown = feature._repr_html_()
    assert "␣sparrow" in shown and "<svg" in shown and "live" in shown and "sae/4 (0.90)" in shown
    assert synthetic_store.feature(23)._repr_html_()
    examples = synthetic_store.examples(3, "train", "top", 3)
    assert examples._repr_html_().count("sparrow") >= 3
    assert synthetic_store.examples(23, "train", "top", 3)._repr_html_() == "<p>no examples</p>"
    assert histogram_svg([0, 0]) == "" and histogram_svg([4, 1]).count("<rect") == 2

"""How features and examples look: HTML with highlighted tokens for notebooks and reports, styled text for terminals.

Everything that comes from a corpus or a model is escaped, and characters that would act instead of show (controls, direction
overrides, invisible ones) are written out as their names.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from .records import Example, Feature, RelatedFeature, TokenValue

MOST = 1_000
"""Tokens of a text that a strip shows, around the strongest: a text of a megabyte would be a page of a hundred."""
_NAMED = {"\n": "\u21b5", "\t": "\u21e5", "\r": "\u240d", " ": "\u2423"}
_JOINERS = "\u200c\u200d"  # needed by Persian, Hindi and emoji, and harmless
_TOKENS = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.6"


def visible(text: str, *, spaces: bool = False) -> str:
    """Text that shows as what it is: control, format and unassigned characters by name, line breaks and tabs as arrows.

    spaces: show blanks too, for a token that is nothing but blanks.
    """
    if not spaces and text.isprintable():
        return text
    return "".join(_visible_character(character, spaces) for character in text)


def visible_token(token: str) -> str:
    """A single token on its own: its blanks at the edges shown, an empty one as the empty-set sign."""
    if not token:
        return "\u2205"
    if not token.strip(" "):
        return visible(token, spaces=True)
    inner = token.strip(" ")
    before = len(token) - len(token.lstrip(" "))
    after = len(token) - len(token.rstrip(" "))
    return _NAMED[" "] * before + visible(inner) + _NAMED[" "] * after


def tokens_html(strings: Sequence[str], values: Sequence[float], scale: float, threshold: float) -> str:
    """Tokens in a row, coloured by value as a share of `scale`;
    tokens above `threshold` are underlined and carry their value as a title.
    """
    return f'<span style="{_TOKENS}">{"".join(_spans(strings, values, scale, threshold))}</span>'


def strip_html(title: str, strings: Sequence[str], values: Sequence[float], scale: float, threshold: float) -> str:
    """Tokens in a row under a title; of a long text those around the strongest."""
    title, strings, values = _around(title, strings, values)
    tokens = tokens_html(strings, values, scale, threshold)
    return f'<div style="margin:.4em 0"><small style="color:#777">{html.escape(title)}</small><br>{tokens}</div>'


def signed_html(title: str, strings: Sequence[str], values: Sequence[float | None], marked: int | None = None) -> str:
    """Tokens under a title, coloured by a signed value: orange above zero, blue below; `marked` is underlined."""
    largest = max((abs(v) for v in values if v is not None), default=0.0) or 1.0
    spans = []
    for at, (token, value) in enumerate(zip(strings, values, strict=True)):
        text = html.escape(visible(token, spaces=not token.strip(" "))) + ("\n" if "\n" in token else "")
        colour = "255,140,0" if (value or 0) > 0 else "40,110,230"
        style = f"background:rgba({colour},{0.8 * abs(value or 0) / largest:.2f});unicode-bidi:isolate"
        line = ";text-decoration:underline" if at == marked else ""
        spans.append(
            f'<span style="{style}{line}" title="{"-" if value is None else format(value, ".4g")}">{text or "&#8203;"}</span>'
        )
    return (
        f'<div style="margin:.4em 0"><small style="color:#777">{html.escape(title)}</small><br>'
        f'<span style="{_TOKENS}">{"".join(spans)}</span></div>'
    )


def example_html(example: Example) -> str:
    """One example as HTML."""
    context = example.context
    facts = " \u00b7 ".join(
        [example.stratum.replace("_", " "), context.split, f"context {context.id}", f"max {_peak(example):.3g}"]
    )
    tokens = tokens_html(context.strings, example.values, example.scale, example.threshold)
    return f'<div style="margin:.4em 0"><small style="color:#777">{facts}</small><br>{tokens}</div>'


def examples_html(examples: Iterable[Example]) -> str:
    """Several examples as HTML."""
    return "".join(example_html(example) for example in examples) or "<p>no examples</p>"


def feature_html(feature: Feature) -> str:
    """Everything the store knows about a feature, as HTML."""
    stats = feature.stats
    rows = [
        ("status", stats.liveness + (", dense" if stats.dense else "") + (", sampled" if stats.sampled else "")),
        ("train maximum", f"{stats.max:.4g}"),
        ("fires above", f"{stats.threshold:.4g}"),
        ("active on", f"{stats.density:.3%} of {_tokens_of(feature):,} train tokens"),
        ("fires on", f"{stats.firing_density:.3%} of train tokens, in {stats.firing_contexts:,} train contexts"),
    ]
    lists = [
        ("top tokens", _token_list(stats.top_tokens[:10])),
        ("promotes", _token_list(feature.promoted[:10])),
        ("suppresses", _token_list(feature.suppressed[:10])),
        ("nearest by decoder", _related(feature.neighbours[:8])),
        ("fires together with", _related(feature.coactive[:8])),
    ]
    body = "".join(f"<tr><th style='text-align:left'>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows)
    body += "".join(f"<tr><th style='text-align:left'>{name}</th><td>{text}</td></tr>" for name, text in lists if text)
    return f"<div><b>{html.escape(str(feature.key))}</b><table>{body}</table>{histogram_svg(stats.histogram)}</div>"


def histogram_svg(counts: Sequence[int], width: int = 240, height: int = 60) -> str:
    """Counts as bars; heights on a square-root scale, so that rare large activations can be seen."""
    top = max(counts, default=0) ** 0.5
    if not top:
        return ""
    step = width / len(counts)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{height - tall:.1f}" width="{step - 1:.1f}" height="{tall:.1f}">'
        f"<title>{count:,}</title></rect>"
        for i, (count, tall) in enumerate((count, height * count**0.5 / top) for count in counts)
    )
    return f'<svg width="{width}" height="{height}" fill="#3a7" role="img" aria-label="histogram of activations">{bars}</svg>'


def example_line(example: Example) -> str:
    """One example in plain text, firing tokens in double brackets."""
    shown = (
        f"[[{visible(token)}]]" if value > example.threshold else visible(token)
        for token, value in zip(example.context.strings, example.values, strict=True)
    )
    context = example.context
    return f"Example({example.stratum}, {context.split}, context {context.id}, max {_peak(example):.3g}: {''.join(shown)})"


def example_rich(example: Example) -> Text:
    """One example for a terminal, tokens coloured by value."""
    from rich.text import Text

    line = Text(f"{_peak(example):8.3g}  ", style="dim")
    return line.append_text(tokens_rich(example.context.strings, example.values, example.scale, example.threshold))


def tokens_rich(strings: Sequence[str], values: Sequence[float], scale: float, threshold: float) -> Text:
    """Tokens for a terminal, coloured by value as a share of `scale`, bold above `threshold`."""
    from rich.text import Text

    line = Text()
    for token, value in zip(strings, values, strict=True):
        share = min(value / scale, 1.0) if scale > 0 else 0.0
        style = f"black on rgb(255,{235 - int(150 * share)},{190 - int(170 * share)})" if value > 0 else ""
        line.append(visible(token), style=("bold " + style if value > threshold else style) or "not dim")
    return line


def strip_rich(title: str, strings: Sequence[str], values: Sequence[float], scale: float, threshold: float) -> Text:
    """Tokens for a terminal under a title; of a long text those around the strongest."""
    from rich.text import Text

    title, strings, values = _around(title, strings, values)
    return Text(title + "\n", style="dim").append_text(tokens_rich(strings, values, scale, threshold))


def strip_line(title: str, strings: Sequence[str], values: Sequence[float], threshold: float) -> str:
    """Tokens in plain text under a title, runs above `threshold` in double brackets; of a long text some, as in `strip_html`."""
    title, strings, values = _around(title, strings, values)
    runs = groupby(zip(strings, values, strict=True), lambda pair: pair[1] > threshold)
    texts = ((fires, "".join(visible(token) for token, _ in run)) for fires, run in runs)
    return f"{title}\n{''.join(f'[[{text}]]' if fires else text for fires, text in texts)}"


def signed_rich(title: str, strings: Sequence[str], values: Sequence[float | None], marked: int | None = None) -> Text:
    """Tokens for a terminal under a title, coloured by a signed value: orange above zero, blue below."""
    from rich.text import Text

    largest = max((abs(v) for v in values if v is not None), default=0.0) or 1.0
    line = Text(title + "\n", style="dim")
    for at, (token, value) in enumerate(zip(strings, values, strict=True)):
        share = abs(value or 0.0) / largest
        low = 230 - int(180 * share)
        colour = f"rgb(255,{low + 20},{low})" if (value or 0) > 0 else f"rgb({low},{low + 20},255)"
        style = f"black on {colour}" if share > 0.05 else "not dim"
        line.append(visible(token, spaces=not token.strip(" ")), style=style + (" underline" if at == marked else ""))
    return line


def feature_line(feature: Feature) -> str:
    """A feature in one line."""
    stats = feature.stats
    tokens = " ".join(visible_token(token) for token, _ in stats.top_tokens[:8])
    fires = f"{stats.liveness}, fires on {stats.firing_density:.3%} of train tokens, max {stats.max:.3g}"
    return f"Feature({feature.key}: {fires}, top tokens {tokens or 'none'})"


def _spans(strings: Sequence[str], values: Sequence[float], scale: float, threshold: float) -> Iterable[str]:
    """One span a token that has a value, bare text for the others."""
    for token, value in zip(strings, values, strict=True):
        text = html.escape(visible(token, spaces=value > 0 and not token.strip(" ")))
        if "\n" in token:
            text += "\n"
        if not value > 0:
            yield text
            continue
        share = min(value / scale, 1.0) if scale > 0 else 0.0
        line = ";text-decoration:underline" if value > threshold else ""
        style = f"background:rgba(255,140,0,{0.12 + 0.78 * share:.2f});unicode-bidi:isolate{line}"
        yield f'<span style="{style}" title="{value:.4g}">{text or "&#8203;"}</span>'


def _around(title: str, strings: Sequence[str], values: Sequence[float]) -> tuple[str, Sequence[str], Sequence[float]]:
    """At most `MOST` tokens, and a title that says which."""
    if len(strings) <= MOST:
        return title, strings, values
    strongest = max(range(len(values)), key=lambda at: values[at])
    first = max(0, min(strongest - MOST // 2, len(strings) - MOST))
    said = f"{title} (tokens {first:,} to {first + MOST - 1:,} of {len(strings):,} are shown)"
    return said.lstrip(), strings[first : first + MOST], values[first : first + MOST]


def _visible_character(character: str, spaces: bool) -> str:
    if character in _NAMED:
        return character if character == " " and not spaces else _NAMED[character]
    if character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"):
        return character
    return f"\u27e8U+{ord(character):04X}\u27e9"


def _token_list(tokens: Iterable[TokenValue]) -> str:
    return " ".join(f'<code title="{value:.4g}">{html.escape(visible_token(token))}</code>' for token, value in tokens)


def _related(others: Iterable[RelatedFeature]) -> str:
    return ", ".join(f"{html.escape(str(key))} ({value:.2f})" for key, value in others)


def _tokens_of(feature: Feature) -> int:
    """Number of train tokens, from count and share."""
    stats = feature.stats
    return round(stats.active / stats.density) if stats.density else 0


def table_text(names: Sequence[str], rows: Sequence[dict[str, object]], note: str) -> str:
    """Rows as a plain text table, long cells shortened."""
    cells = [list(names), *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:], f"({note})"])


def table_html(names: Sequence[str], rows: Sequence[dict[str, object]], note: str) -> str:
    """Rows as an HTML table."""
    head = "".join(f"<th>{html.escape(visible(name))}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(_cell(row[name], 200))}</td>" for name in names) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table><small>{html.escape(visible(note))}</small>"


def _peak(example: Example) -> float:
    """Largest value of an example."""
    return max(example.values, default=0.0)


def _cell(value: object, length: int = 60) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else visible(str(value))
    return text if len(text) <= length else text[: length - 1] + "\u2026"

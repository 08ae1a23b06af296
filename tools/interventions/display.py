"""How results of interventions look: plain text in terminals, tables in notebooks; tokens are escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dragoman.store.display import visible, visible_token

if TYPE_CHECKING:
    from .effects import Effects, LogitShift
    from .generation import Continuation, Steering
    from .takeover import FeatureChange, HeadChange, Takeover

Rows = list[tuple[str, ...]]


def effects_text(effects: Effects) -> str:
    """Effects for a terminal."""
    parts = [*effects.done, effects_summary(effects)]
    for title, shifts in _shifts(effects):
        parts += [title, _lines(_shift_rows(shifts))]
    return "\n".join(parts)


def effects_html(effects: Effects) -> str:
    """Effects for a notebook, with the tokens coloured by KL."""
    parts = [f"<p>{'<br>'.join(map(html.escape, (*effects.done, effects_summary(effects))))}</p>"]
    most = max((t.kl for t in effects.per_token), default=0.0)
    texts: dict[int, list[str]] = {}
    for token in effects.per_token:
        shade = token.kl / most if most > 0 else 0.0
        change = "" if token.loss_change is None else f", loss {token.loss_change:+.3f}"
        texts.setdefault(token.text, []).append(
            f'<span style="background:rgba(60,120,255,{0.7 * shade:.2f});unicode-bidi:isolate'
            f'{";text-decoration:underline" if token.edited else ""}" '
            f'title="KL {token.kl:.4g}{change}">{html.escape(visible(token.token))}</span>'
        )
    parts += [f'<p style="font-family:monospace;white-space:pre-wrap">{"".join(spans)}</p>' for spans in texts.values()]
    parts += [f"<b>{title}</b>{_table(_shift_rows(shifts))}" for title, shifts in _shifts(effects)]
    return "".join(parts)


def effects_summary(effects: Effects) -> str:
    """The figures in one line."""
    where = "the last token of each text" if effects.at == "last" else "each token from the first edited one on"
    said = f"KL {effects.kl:.4g} nats (largest {effects.kl_max:.4g})"
    if effects.loss_before is not None and effects.loss_after is not None:
        change = effects.loss_after - effects.loss_before
        said += f", loss {effects.loss_before:.3f} to {effects.loss_after:.3f} ({change:+.3f})"
    held = f"; {' and '.join(effects.frozen)} frozen" if effects.frozen else ""
    return f"{said}; {effects.tokens:,} tokens of {effects.texts} texts, read at {where}{held}."


def steering_text(steering: Steering) -> str:
    """A comparison of strengths for a terminal."""
    parts = [steering_summary(steering)]
    for prompt, rows in by_prompt(steering):
        parts.append(f"{visible(prompt)} ...")
        parts.append(_lines([("strength", "surprise", "text"), *((a, b, visible(c)) for a, b, c in map(continued, rows))]))
    return "\n".join(parts)


def steering_html(steering: Steering) -> str:
    """A comparison of strengths for a notebook."""
    parts = [f"<p>{html.escape(steering_summary(steering))}</p>"]
    for prompt, rows in by_prompt(steering):
        cells = [("strength", "surprise", "text"), *((a, b, visible(c)) for a, b, c in map(continued, rows))]
        parts.append(f"<b>{html.escape(visible(prompt))} ...</b>{_table(cells)}")
    return "".join(parts)


def steering_summary(steering: Steering) -> str:
    """What was steered, in one line."""
    amounts = ", ".join(f"{f} (maximum {a:.4g})" for f, a in zip(steering.features, steering.amounts, strict=True))
    how = "likeliest tokens" if steering.temperature == 0 else f"temperature {steering.temperature:g}, seed {steering.seed}"
    return f"Steering {amounts} at positions {steering.positions}; {how}; random direction of equal norm, seed {steering.seed}."


def by_prompt(steering: Steering) -> list[tuple[str, list[Continuation]]]:
    """The continuations of each prompt, in order."""
    found: list[tuple[str, list[Continuation]]] = []
    for one in steering.continuations:
        if one.direction == "none":
            found.append((one.prompt, []))
        found[-1][1].append(one)
    return found


def continued(one: Continuation) -> tuple[str, str, str]:
    """Strength, surprise and text of a continuation."""
    strength = {"none": "unsteered", "feature": f"{one.strength:g}", "random": f"{one.strength:g} random"}[one.direction]
    return strength, "-" if one.surprise is None else f"{one.surprise:.2f}", one.text


def takeover_text(takeover: Takeover) -> str:
    """What takes over, for a terminal."""
    parts = [*takeover.done, f"Changes over {takeover.tokens:,} tokens:"]
    parts += [f"{title}\n{_lines(rows)}" for title, rows in _changes(takeover)]
    return "\n".join(parts)


def takeover_html(takeover: Takeover) -> str:
    """What takes over, for a notebook."""
    head = "<br>".join(map(html.escape, (*takeover.done, f"Changes over {takeover.tokens:,} tokens")))
    return f"<p>{head}</p>" + "".join(f"<b>{html.escape(title)}</b>{_table(rows)}" for title, rows in _changes(takeover))


def _shifts(effects: Effects) -> list[tuple[str, tuple[LogitShift, ...]]]:
    titled = [("chosen", effects.chosen), ("promoted", effects.promoted), ("suppressed", effects.suppressed)]
    return [(title, shifts) for title, shifts in titled if shifts]


def _shift_rows(shifts: Sequence[LogitShift]) -> Rows:
    head = ("token", "centred logit", "probability before", "after")
    return [head, *((visible_token(s.token), f"{s.shift:+.3f}", f"{s.before:.4f}", f"{s.after:.4f}") for s in shifts)]


def _changes(takeover: Takeover) -> list[tuple[str, Rows]]:
    titled = [
        ("stronger features", _feature_rows(takeover.stronger)),
        ("weaker features", _feature_rows(takeover.weaker)),
        ("heads", _head_rows(takeover.heads, takeover.chosen)),
    ]
    return [(title, rows) for title, rows in titled if len(rows) > 1]


def _feature_rows(changes: Sequence[FeatureChange]) -> Rows:
    head = ("feature", "before", "after", "change", "largest")
    return [head, *((c.feature, f"{c.before:.4g}", f"{c.after:.4g}", f"{c.change:+.4g}", f"{c.most:+.4g}") for c in changes)]


def _head_rows(changes: Sequence[HeadChange], chosen: Sequence[str]) -> Rows:
    rows: Rows = [("head", "output moved by", "of norm", *(f"direct effect on {visible_token(t)}" for t in chosen))]
    for c in changes:
        direct = (f"{a:+.3f} to {b:+.3f}" for a, b in zip(c.direct_before, c.direct_after, strict=True))
        rows.append((c.head, f"{c.moved:.4g}", f"{c.norm:.4g}", *direct))
    return rows


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    size = max(map(len, rows))
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(size)]
    return "\n".join("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)).rstrip() for row in rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    shown = "".join(f"<th style='text-align:left'>{html.escape(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in body)
    return f"<table><tr>{shown}</tr>{lines}</table>"

"""A debate on a page of the terminal: each claim beside the experiments that settled it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from dragoman.agents.hearing import Heard
    from dragoman.agents.standing import Seat
    from dragoman.agents.transcript import Labelled, Round, Settled, Transcript

COLOURS = {"A": "cyan", "B": "magenta"}
VERDICTS = {"held": ("✓", "green"), "failed": ("✗", "red"), "inconclusive": ("?", "dim")}


def page(key: str, heard: Heard) -> Iterator[RenderableType]:
    """The parts of the page, from top to bottom."""
    from rich.text import Text

    from dragoman.evals.report.telling import spent

    said = heard.transcript
    labels = {one.called: one for one in said.labels}
    first = said.rounds[0].labels if said.rounds else {}
    yield Text(key, style="bold") + Text(f"  a debate, run {heard.run.id}", style="dim")
    for seat, called in first.items():
        yield _side(seat, labels[called], said.sides[seat])
    for one in said.rounds:
        yield ""
        yield Text(f"Round {one.number}", style="bold") + Text(
            f"   A holds {one.labels['A']}, B holds {one.labels['B']}", style="dim"
        )
        yield _experiments(one)
        yield from _after(one, labels)
    yield ""
    yield from _verdict(said)
    yield Text(f"Spent: {spent(heard.spent) or 'nothing'}.", style="dim")


def _side(seat: Seat, label: Labelled, who: str) -> Text:
    from rich.text import Text

    text = Text(f"{seat}", style=f"bold {COLOURS[seat]}") + Text(f"  {who} holds {label.called}: ", style="dim")
    text += Text(_plain(label.description))
    if label.pattern:
        text += Text(f"\n   rule  {_plain(label.pattern)}", style="dim")
    if label.figure:
        text += Text(f"\n   {_plain(label.on_validation)}", style="dim")
    return text


def _experiments(one: Round) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not one.experiments:
        return Text("  no input was run", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "by", "input"):
        table.add_column(name, overflow="fold", ratio=1 if name == "input" else None)
    for seat in ("A", "B"):
        table.add_column(f"{seat}: {one.labels['A'] if seat == 'A' else one.labels['B']}", no_wrap=True)
    table.add_column("came out", overflow="fold", max_width=26)
    table.add_column("point", justify="center")
    for row in one.experiments:
        point = Text(row.point, style=f"bold {COLOURS[row.point]}") if row.point else Text("")
        by = Text(row.by, style=COLOURS[row.by])
        table.add_row(row.called, by, _input(row), _said(row, "A"), _said(row, "B"), Text(_plain(row.came)), point)
    return table


def _input(row: Settled) -> Text:
    """The text with the word that is looked at underlined."""
    from rich.text import Text

    shown, word = _plain(row.input), _plain(row.focus)
    text = Text(shown)
    at = shown.rfind(word) if word else -1
    if at >= 0:
        text.stylize("bold underline", at, at + len(word))
    return text


def _said(row: Settled, seat: Seat) -> Text:
    from rich.text import Text

    mark, colour = VERDICTS[row.verdicts[seat]]
    return Text(f"{row.said[seat]} {mark}", style=colour)


def _after(one: Round, labels: dict[str, Labelled]) -> Iterator[Text]:
    from rich.text import Text

    for refused in one.refused:
        yield Text(f"  not run: {_plain(refused)}", style="dim")
    for what, why in one.unable.items():
        if not what.endswith(" answers"):
            yield Text(f"  no answer where {_plain(what)}: {_plain(why)}", style="dim")
    yield Text(f"  Score  A {one.score['A']} : {one.score['B']} B", style="bold")
    for seat, turn in one.turns.items():
        line = Text("  ") + Text(seat, style=f"bold {COLOURS[seat]}") + Text(f" {_done(turn.move)}")
        if turn.label and turn.label in labels:
            made = labels[turn.label]
            line += Text(f" {turn.label}: {_plain(made.description)}")
            if made.figure:
                line += Text(f" ({_plain(made.on_validation)})", style="dim")
        elif turn.offer:
            line += Text(f" {_plain(turn.offer)}")
        line += Text(f"  {_plain(turn.reason)}", style="dim")
        if turn.note:
            line += Text(f" [{_plain(turn.note)}]", style="yellow")
        yield line


def _verdict(said: Transcript) -> Iterator[Text]:
    from rich.text import Text

    who = "by the score" if said.by == "code" else f"written by {_plain(said.by)}"
    yield Text("Verdict", style="bold") + Text(f"   {who}; it ended with: {_plain(said.ended)}", style="dim")
    yield Text(_plain(said.verdict))
    if said.cites:
        yield Text(f"cites {', '.join(said.cites)}", style="dim")
    if said.instead:
        yield Text(f"by code, because {_plain(said.instead)}", style="dim")
    won = next((one for one in said.labels if one.called == said.label), None)
    if won is not None:
        yield Text(f"{won.called}  ", style="bold green") + Text(_plain(won.description))


def _done(move: str) -> str:
    words = {"keep": "keeps its label.", "amend": "amends to", "concede": "concedes.", "merge": "offers"}
    return words.get(move, f"gives {move}.")


def _plain(text: str) -> str:
    """On one line, with what cannot be printed escaped."""
    from dragoman.evals.report.highlight import readable

    return readable(text)

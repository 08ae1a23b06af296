"""What is said, as it is shown: to people on a terminal or in a file, to scripts as one JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.status import Status
from rich.text import Text

from dragoman.agents.investigation.events import Answer, Called, Citation, Event, Question, Returned, Said, Statement, Stopped
from dragoman.agents.investigation.protocol import ThreadInfo, Turn
from dragoman.store.chats import ChatStep

from .figures import LINE, How, figure, lines, short, table

PROVISIONAL = 12
"""Lines of an unfinished answer that are shown while it comes."""
MOST_LINES = 200
"""Lines of one statement that are shown."""
Find = Callable[[str], ChatStep | None]
"""A stored step by the id of its row."""


class Screen(Protocol):
    """Where what is said is shown."""

    def show(self, event: Event) -> None:
        """Show an event."""
        ...

    def interrupted(self) -> None:
        """Say that an answer was stopped by the user."""
        ...

    def step(self, step: ChatStep) -> None:
        """Show a stored step, all of it."""
        ...

    def threads(self, found: Sequence[ThreadInfo]) -> None:
        """Show a list of threads."""
        ...

    def history(self, turns: Sequence[Turn]) -> None:
        """Show what was said before."""
        ...

    def say(self, text: str) -> None:
        """Say something that belongs to no conversation."""
        ...


class People:
    """For people. On a terminal, unfinished text is shown while it comes and replaced by the checked answer."""

    def __init__(self, console: Console, find: Find) -> None:
        self._console, self._find = console, find
        self._plain = not console.is_terminal
        self._said = ""
        self._rows: list[str] = []
        """Steps of the answer under way."""
        self._held: Text | None = None
        """The line of the last step, which is left out where the answer rests on it alone and shows it."""
        self._status: Status | None = None
        self._live: Live | None = None

    def show(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Said(text, anew):
                self._said = text if anew else self._said + text
                self._provisional()
            case Called():
                self._quiet()
                self._remark()
                if self._console.is_terminal:
                    self._status = self._console.status(_call(event), spinner="dots")
                    self._status.start()
            case Returned():
                self._quiet()
                self._returned(event)
            case Question(text, cost):
                self._quiet()
                self._remark()
                for line in lines(text, whole=True):
                    self._print(Text("? ", style="bold yellow"), line)
                if cost:
                    self._print(Text(f"  {short(cost, LINE)}; answer yes or no, or say what to do instead.", style="yellow"))
                self._rows.clear()
            case Answer(statements):
                if len(self._rows) == 1:
                    self._held = None
                self._quiet()
                self._said = ""
                self._drawn()
                for statement in statements:
                    self._statement(statement, "• " if len(statements) > 1 else "")
                self._rows.clear()
            case Stopped(reason):
                self._quiet()
                self._remark()
                self._print(Text("! ", style="bold red"), Text(short(reason, LINE * 4)))
                self._rows.clear()

    def interrupted(self) -> None:
        """Say that an answer was stopped by the user."""
        self._quiet()
        self._said = ""
        self._rows.clear()
        self._print(Text("! ", style="bold red"), Text("Stopped. resume goes on with it; or ask something else."))

    def step(self, step: ChatStep) -> None:
        """Show a stored step, all of it."""
        called = short(json.dumps(step.arguments, ensure_ascii=False), 4 * LINE)
        self._print(Text(step.name, style="bold cyan"), Text(f"  {short(step.tool)} {called}"))
        if step.failed:
            self._print(Text("It could not be run:", style="red"))
        for part in figure(step, How(True, self._plain)):
            self._console.print(part)
        if step.data is not None and step.result:
            self._print(Text("As agents read it:", style="dim"))
            for part in lines(step.result, whole=True):
                self._console.print(part)
        self._print(Text(f"{step.forwarded:,} tokens forwarded, {step.read} stored examples read", style="dim"))

    def threads(self, found: Sequence[ThreadInfo]) -> None:
        """Show a list of threads."""
        if not found:
            self.say("There are no threads in this store yet.")
            return
        rows = [(one.thread, one.turns, one.updated.replace("T", " ")[:16], one.waiting, one.title) for one in found]
        self._console.print(table(("thread", "questions", "changed", "waiting", "began with"), rows, ("questions",)))

    def history(self, turns: Sequence[Turn]) -> None:
        """Show what was said before: questions and answers, without their steps."""
        for turn in turns:
            if turn.role == "user":
                self._print(Text(f"> {short(turn.text, LINE)}", style="dim"))
                continue
            for event in turn.events:
                if isinstance(event, Answer | Question | Stopped):
                    self.show(event)

    def say(self, text: str) -> None:
        """Say something that belongs to no conversation."""
        for line in lines(text, whole=True):
            self._console.print(line, style="dim")

    def _returned(self, event: Returned) -> None:
        first = event.text.partition("\n")[0]
        if event.row:
            self._rows.append(event.row)
        style = "red" if event.failed else "dim"
        line = Text(f"{short(event.call)} ", style="cyan") + Text(f"{short(event.tool)}: {short(first, LINE)}", style=style)
        line.no_wrap, line.overflow = self._console.is_terminal, "ellipsis"
        self._held = line

    def _drawn(self) -> None:
        """The figure of an answer that rests on a single step."""
        if len(self._rows) == 1 and (step := self._find(self._rows[0])) is not None and not step.failed:
            for part in figure(step, How(plain=self._plain)):
                self._console.print(part)

    def _statement(self, statement: Statement, mark: str) -> None:
        said = "\n".join(short(line, 10 * LINE) for line in statement.text.split("\n")[:MOST_LINES])
        text = Text(mark)
        if statement.conjecture:
            text.append("conjecture: ", style="italic yellow").append(said, style="dim italic")
        else:
            text.append(said)
        if statement.conjecture and statement.because:
            text.append(f" ({short(statement.because, LINE)})", style="dim")
        for citation in statement.citations:
            text.append(f" [{_name(citation)}]", style="cyan")
        self._console.print(text)

    def _remark(self) -> None:
        """What was said before a tool was called stays."""
        said, self._said = self._said.strip(), ""
        for line in said.split("\n")[:MOST_LINES] if said else ():
            self._print(Text(short(line, 10 * LINE), style="dim"))

    def _provisional(self) -> None:
        if not self._console.is_terminal:
            return
        if self._live is None:
            self._live = Live(console=self._console, transient=True, refresh_per_second=8)
            self._live.start()
        shown = [short(line, LINE) for line in self._said.split("\n")][-PROVISIONAL:]
        self._live.update(Text("\n".join(shown), style="dim"))

    def _quiet(self) -> None:
        """Take away what is shown only while something is under way, and print what was held back."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._held is not None:
            self._console.print(self._held)
            self._held = None

    def _print(self, *parts: Any) -> None:
        self._console.print(Text("").join(part if isinstance(part, Text) else Text(str(part)) for part in parts))


class Lines:
    """For scripts: one event a line, as JSON in ASCII, so that nothing in it can act on a terminal either."""

    def show(self, event: Event) -> None:
        """Write an event."""
        self._write({"event": type(event).__name__.lower(), **_plain(asdict(event))})

    def interrupted(self) -> None:
        """Write that an answer was stopped by the user."""
        self._write({"event": "stopped", "reason": "stopped by the user"})

    def step(self, step: ChatStep) -> None:
        """Write a stored step."""
        self._write({"event": "step", "call": step.name, **_plain(asdict(step))})

    def threads(self, found: Sequence[ThreadInfo]) -> None:
        """Write a thread a line."""
        for one in found:
            self._write({"event": "thread", **asdict(one)})

    def history(self, turns: Sequence[Turn]) -> None:
        """Scripts are not told what was said before."""

    def say(self, text: str) -> None:
        """Write a remark to stderr, as people's business."""
        print(text, file=sys.stderr)

    def _write(self, record: Mapping[str, Any]) -> None:
        json.dump(record, sys.stdout, ensure_ascii=True, default=str)
        print(flush=True)


def _call(event: Called) -> Text:
    said = "{…}"
    with suppress(TypeError, ValueError):
        said = json.dumps(dict(event.arguments), ensure_ascii=False)
    return Text(f"{short(event.call)} {short(event.tool)} {short(said, 100)}", style="dim")


def _name(citation: Citation) -> str:
    return short(citation.name or f"{citation.kind} {citation.id[:8]}")


def _plain(value: Any) -> Any:
    """JSON values: what is no number becomes null."""
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

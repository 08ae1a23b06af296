"""What comes out of a conversation while it goes on; terminal, pages and notebook all show these."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dragoman.store.display import visible


@dataclass(frozen=True)
class Citation:
    """What a statement rests on."""

    kind: Literal["step", "label", "experiment", "finding"]
    """Which table of the ledger it is a row of: a tool call of a chat, a label, an experiment of a labeling run, a finding."""
    id: str
    """Id of the row."""
    name: str = ""
    """Short form for readers, for example E3: the third tool call of its thread."""


@dataclass(frozen=True)
class Statement:
    """A sentence or two of an answer."""

    text: str
    """What is said. It may hold what a corpus or a model wrote: escape it."""
    citations: tuple[Citation, ...] = ()
    """What was checked to exist in this thread or store."""
    conjecture: bool = True
    """Whether nothing that was found bears it out; decided by code. A question back to the user is none and cites nothing."""
    because: str = ""
    """Why it is marked, in a few words, where there is more to say than that it cites nothing."""


@dataclass(frozen=True)
class Said:
    """A piece of what the model writes, as it comes; the whole text where the server cannot stream.

    Nothing of it is checked yet: show it as provisional, and put the `Answer` in the place of what was said since the last tool.
    """

    text: str
    """The piece; what a model wrote, so escape it."""
    anew: bool = False
    """Whether what was said since the last other event is void, because a broken connection begins again."""


@dataclass(frozen=True)
class Called:
    """A tool is about to run."""

    call: str
    """Which call this is, the same as in the `Returned` that follows; unique within the thread, for example E3."""
    tool: str
    """Its name."""
    arguments: Mapping[str, Any]
    """As the model gave them, which may be wrong."""


@dataclass(frozen=True)
class Returned:
    """A tool has run."""

    call: str
    """Which call this is."""
    tool: str
    """Its name."""
    text: str
    """What the model is shown: bounded, and fenced, but not escaped for terminals or pages."""
    failed: bool = False
    """Whether it was called wrongly; the text then says what was wrong."""
    row: str | None = None
    """Id of the stored step, for links; None where nothing is stored."""


@dataclass(frozen=True)
class Question:
    """The agent asks before something expensive. The thread waits: `resume` with a reply goes on."""

    text: str
    """What is asked, to be answered with yes, no, or words."""
    cost: str = ""
    """What it would take, in words, for example about 40,000 tokens through the model."""


@dataclass(frozen=True)
class Answer:
    """The finished answer; nothing follows it."""

    statements: tuple[Statement, ...]
    """What is said, in order."""

    @property
    def text(self) -> str:
        """All of it, a statement a paragraph."""
        return "\n\n".join(statement.text for statement in self.statements)

    def _repr_html_(self) -> str:
        return "".join(_statement_html(statement) for statement in self.statements)


@dataclass(frozen=True)
class Stopped:
    """It went no further: a refusal, a budget, a dropped connection. `resume` without a reply goes on from there."""

    reason: str
    """One sentence."""


Event = Said | Called | Returned | Question | Answer | Stopped
"""What `ask` and `resume` yield. The last one is a Question, an Answer or a Stopped."""


def _statement_html(statement: Statement) -> str:
    """A statement for notebooks: what it cites behind it, conjecture marked."""
    said = "<br>".join(html.escape(visible(line)) for line in statement.text.split("\n"))
    if statement.conjecture:
        why = f" ({html.escape(visible(statement.because))})" if statement.because else ""
        said = f"<i>conjecture: {said}{why}</i>"
    cited = "".join(f" <small>[{html.escape(visible(one.name or one.id[:8]))}]</small>" for one in statement.citations)
    return f'<p style="margin:.3em 0">{said}{cited}</p>'

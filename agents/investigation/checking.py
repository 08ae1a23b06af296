"""Citations are checked by code: a statement stands where what it cites exists and holds its numbers, else it is conjecture.

What code can check it checks: that a cited tool call was made in this thread and worked, and that every number and every
feature's address in the statement occurs in what was cited, within rounding, and that it does not go on to conclude something
("…, so it is …"). Whether the words follow, only a reader can say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dragoman.store.chats import ChatStep

from .events import Citation, Statement

NO_EVIDENCE = ("record_note", "save_finding")
"""Tools whose results repeat what the model said."""
CONCLUDES = "it concludes in the sentence of what was found: a conclusion stands by itself"
"""Why a statement that cites results is conjecture although they hold its figures."""
EXACT_BELOW = 10
"""Whole numbers below this must occur as they are; larger ones may be rounded."""
_MARKS = re.compile(r"\s*[\[(]\s*(E\d+(?:\s*[,;]\s*E\d+)*)\s*[\])]")
_LIST = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+")
_ADDRESS = re.compile(r"(?<![\w/.])([A-Za-z_][\w.-]*/\d+)(?![\w/])")
_NUMBER = re.compile(r"(?<!\w)(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?([eE][-+]?\d+)?(\s?%)?(?![\w])")
_ENDS = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)(?<!\bcf\.)\s+(?=[^\s\[(])|(?<=[.!?][\])])\s+|(?<=\])\s+(?=[A-Z])"
)
"""Where one sentence ends and the next begins."""
_OPEN = re.compile(r"(?:what was )?(?:not tested|untested|not tried)\b", re.I)
"""How a statement begins that says what is open, which nothing can show."""
_SO = re.compile(
    r"(?:^|[,;:] )(?:and )?so (?:it|they|this|these|the|there|no|none|\S+/\d+)\b|\b(?:therefore|hence|which means)\b", re.I
)
"""What joins a conclusion to a fact."""
_ANY = re.compile(r"(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(\.\d+)?([eE][-+]?\d+)?(\s?%)?")


@dataclass(frozen=True)
class Drafted:
    """A statement as a model gave it."""

    text: str
    """What it says."""
    cites: tuple[str, ...] = ()
    """What it says it rests on, for example E3."""


class Checked(NamedTuple):
    """What came of a draft."""

    statements: tuple[Statement, ...]
    """The statements, marked."""
    wrong: tuple[str, ...]
    """What is wrong with citations, a sentence each; statements that cite nothing are not wrong."""


def check(drafts: Sequence[Drafted], steps: Mapping[str, ChatStep]) -> Checked:
    """Mark what is not borne out. steps: the thread's tool calls by name (E1 and so on)."""
    statements: list[Statement] = []
    wrong: list[str] = []
    for draft in drafts:
        text, cites = _plain(draft)
        if not text:
            continue
        if not cites:
            claims = not text.endswith("?") and not _OPEN.match(text)
            statements.append(Statement(text, (), claims, "it cites nothing" if claims else ""))
            continue
        because = unfounded(text, cites, steps) or (CONCLUDES if _SO.search(text) else "")
        found = tuple(Citation("step", steps[cite].id, cite) for cite in cites if cite in steps)
        statements.append(Statement(text, found, bool(because), because))
        if because:
            wrong.append(f"Statement {len(statements)}: {because}.")
    return Checked(tuple(statements), tuple(wrong))


def unfounded(text: str, cites: Sequence[str], steps: Mapping[str, ChatStep]) -> str:
    """Why what is cited does not bear a text out, in a few words; empty where it does, as far as code can tell."""
    for cite in cites:
        step = steps.get(cite)
        if step is None:
            return f"there is no {cite[:20]} in this thread"
        if step.failed:
            return f"{cite} was not run"
        if step.tool in NO_EVIDENCE:
            return f"{cite} is a note, no experiment"
    named = " and ".join(cites)
    told = "\n".join(f"{steps[cite].result}\n{json.dumps(steps[cite].arguments, ensure_ascii=False)}" for cite in cites)
    for address in _ADDRESS.findall(text):
        if not re.search(rf"(?<![\w/.]){re.escape(address)}(?!\d)", told):
            return f"{address} does not occur in {named}"
    values = _values(told)
    for match in _NUMBER.finditer(_ADDRESS.sub(" ", _LIST.sub("", text))):
        if not _occurs(match, values):
            return f"{match[0].strip()} does not occur in {named}"
    return ""


def sentences(text: str) -> list[Drafted]:
    """Plain text as statements: a sentence each, with the marks such as [E3] that stand in or behind it."""
    found: list[str] = []
    for line in text.splitlines():
        for piece in _ENDS.split(line.strip()):
            if found and piece and not _MARKS.sub("", piece).strip(" ."):
                found[-1] += " " + piece
            elif piece.strip():
                found.append(piece)
    return [Drafted(piece) for piece in found]


def _plain(draft: Drafted) -> tuple[str, tuple[str, ...]]:
    """A statement without the marks in it, and all that it cites."""
    cites = [cite.strip().strip("[]") for cite in draft.cites]
    for match in _MARKS.finditer(draft.text):
        cites += re.split(r"\s*[,;]\s*", match[1])
    return _MARKS.sub("", draft.text).strip(), tuple(dict.fromkeys(cite for cite in cites if cite))


def _values(text: str) -> list[float]:
    """All numbers in what was cited; a percentage also as a share."""
    found: list[float] = []
    for match in _ANY.finditer(text):
        value = _value(match)
        found += [value, value / 100] if match[4] else [value]
    return found


def _value(match: re.Match[str]) -> float:
    return float(match[1].replace(",", "") + (match[2] or "") + (match[3] or ""))


def _occurs(match: re.Match[str], values: Sequence[float]) -> bool:
    """Whether a number occurs, within half a unit of its last digit."""
    value = _value(match)
    decimals = len(match[2] or ".") - 1
    exact = not decimals and not match[3] and value < EXACT_BELOW
    power = int((match[3] or "e0")[1:])
    within = 0.0 if exact else 0.5 * 10.0 ** (power - decimals)
    wanted = [(value, within)]
    if match[4]:
        wanted.append((value / 100, 0.005 * 10.0**-decimals))
    return any(abs(one - want) <= room + 1e-9 * max(1.0, abs(want)) for want, room in wanted for one in values)

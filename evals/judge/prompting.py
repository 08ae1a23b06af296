"""What is asked, as text: the templates of prompts/ filled in. What questions share comes first, so that a prefix cache pays.

The order is instructions, claim, text, question, form of the answer: all questions about one claim share the instructions and the
claim, detection and fuzzing of one text share the text as well, and a question differs between ways of answering in its last
words only. Prompts hold no truth: no activation, no count of positives, no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from dragoman.evals.gateway.calls import Message
from dragoman.store.fence import fenced, line

from .fence import excerpt, quotation
from .reader import LETTERS, Marked, Passage

YES_NO = "Answer Yes or No."
PERCENT = 'Answer with JSON: {"yes": P}, where P from 0 to 100 is how likely it is that the answer is yes.'
LETTER = "Answer with its letter."
PERCENTS = "Answer with JSON: for each letter, from 0 to 100, how likely it is to be the one."
ACTIVE = 'Answer with JSON: {"active": [{"line": N, "value": V}]}, with every line whose value is above 0; all others count as 0.'
TEXTS = 'Answer with JSON: {"texts": ["first text", "second text"]}.'

SLOT = "?"
"""Stands for a value that is not shown in a listing."""
EXAMPLE = (("My", SLOT), (" dog", SLOT), (" met", "0"), (" the", "0"), (" old", "0"), (" cat", "9"), (".", "0"))
"""The worked example of a listing: what comes after values that are not shown."""

Chat = tuple[Message, ...]


def detection(claim: str, passage: Passage, answer: str = YES_NO) -> Chat:
    """Does it fire anywhere in this text?"""
    return _chat("detection", claim=fenced(claim), text=fenced(passage.text), answer=answer)


def fuzzing(claim: str, marked: Marked, answer: str = YES_NO) -> Chat:
    """Does it fire on the marked tokens? The prompt begins as detection's of the same text, up to the question."""
    return _chat("fuzzing", claim=fenced(claim), text=fenced(marked.passage.text), marked=excerpt(marked), answer=answer)


def packed(claim: str, texts: Sequence[Passage], marked: Mapping[str, Marked] | None = None) -> Chat:
    """Several texts, each on a line after its letter, and the question of detection about them all; with `marked`, that of
    fuzzing about some, by letter. Up to the question, prompts about the same texts are the same.
    """
    named = list(zip(LETTERS, (shown(text) for text in texts), strict=False))
    parts = None if marked is None else [(letter, quotation(item)) for letter, item in marked.items()]
    system, user = _render("pack_judge"), _render("pack", claim=fenced(claim), texts=named, parts=parts)
    return Message("system", system), Message("user", user)


def shown(text: Passage) -> str:
    """A text on one line."""
    return fenced(line(text.text))


def choice(claim: str, task: Literal["passage", "continuations"], options: Sequence[str], answer: str = LETTER) -> Chat:
    """Which text belongs to the claim?"""
    named = list(zip(LETTERS, (fenced(option) for option in options), strict=False))
    name = "choice_passages" if task == "passage" else "choice_continuations"
    return _chat(name, claim=fenced(claim), options=named, answer=answer)


def simulation(claim: str, passage: Passage, answer: str = ACTIVE) -> Chat:
    """How active is it on each token? For servers that do not tell the log-probabilities of a prompt."""
    return _chat("simulation", claim=fenced(claim), text=[fenced(line(token)) for token in passage.strings], answer=answer)


def listing(claim: str, passages: Sequence[Passage]) -> str:
    """Texts as tokens, each with a tab and `SLOT`, not to be continued: what is read are the chances of digits
    at the slots, which are what follows a tab. No tab stands anywhere else.

    A token that does not begin with a space begins a line, or tokenizers would take it together with the slot before it.
    """
    texts = [_slotted((token, SLOT) for token in passage.strings) for passage in passages]
    return _render("listing", claim=fenced(claim.replace("\t", " ")), texts=texts, example=_slotted(EXAMPLE))


def writing(claim: str, fires: bool, n: int, answer: str = TEXTS) -> Chat:
    """Texts on which it fires, or texts near to those on which it does not."""
    return _chat("writing", claim=fenced(claim), fires=fires, n=n, answer=answer)


def _slotted(tokens: Iterable[tuple[str, str]]) -> str:
    shown = ((fenced(line(token)), value) for token, value in tokens)
    return "".join(f"{'' if token.startswith(' ') else chr(10)}{token}\t{value}" for token, value in shown).removeprefix("\n")


def _chat(name: str, **values: object) -> Chat:
    return Message("system", _render("judge")), Message("user", _render(name, **values))


def _render(name: str, **values: object) -> str:
    return _environment().get_template(f"{name}.md.j2").render(**values)


@cache
def _environment() -> Environment:
    """Prompts are plain text, so nothing is escaped as HTML; what a template misses is an error."""
    loader = PackageLoader("dragoman.evals.judge", "prompts")
    return Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)

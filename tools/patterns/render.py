"""Plain English for patterns: every clause, set, condition and strength is said, so that the words and the rule mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from .forms import FORMS
from .language import (
    ANY,
    Affix,
    Begins,
    But,
    Clause,
    Condition,
    Earlier,
    Factor,
    Flag,
    Form,
    Inside,
    Like,
    Match,
    Near,
    OneOf,
    Pattern,
    Position,
    Term,
    Tokens,
    Unless,
)
from .spans import SPANS

ADVERBS = {"faintly": "faintly", "weakly": "weakly", "moderately": "moderately", "strongly": "strongly", "fully": "very strongly"}
"""Strength words of the language in English."""
FLAG_PHRASES: dict[str, tuple[str, str]] = {
    "word-start": ("at the start of a word", "not at the start of a word"),
    "word-inside": ("continuing a word", "not continuing a word"),
    "line-start": ("at the start of a line", "not at the start of a line"),
    "sentence-start": ("at the start of a sentence", "not at the start of a sentence"),
    "text-start": ("at the start of the text", "not at the start of the text"),
    "repeated": ("seen before in the text", "not seen before in the text"),
    "copying": ("repeating what followed the previous token before", "not repeating what followed the previous token before"),
}
"""English of each flag, and of its negation."""
_COUNTS = {1: "one", 2: "two", 3: "three"}
_CLOSENESS = {"loosely-like": "used somewhat like", "like": "used like", "much-like": "used very much like"}
_SPELLED = {"\n": "a line break", "\n\n": "a blank line", " ": "a space", "\t": "a tab", "\r\n": "a Windows line break"}
_SCOPES = {"text": "in the text", "line": "on the line", "sentence": "in the sentence", "word": "in the word"}
_UNITS = {"word": "in a word", "line": "on a line", "sentence": "in a sentence", "text": "in a text"}


def render(pattern: Pattern) -> str:
    """The pattern as one sentence, the strongest clauses first; a clause that narrows another is said right after it."""
    order = list(ADVERBS)
    clauses = sorted(pattern.clauses, key=lambda clause: -order.index(clause.level))
    narrower: dict[Clause, list[tuple[Clause, str]]] = {}
    wide = []
    for clause in clauses:
        base = next((other for other in reversed(clauses) if other != clause and narrowing(other, clause)), None)
        if base is None:
            wide.append(clause)
        else:
            narrower.setdefault(base, []).append((clause, narrowing(base, clause)))
    parts = []
    for level, group in groupby(wide, key=lambda clause: clause.level):
        phrases = [clause_phrase(clause) + _more(clause, narrower) for clause in group]
        phrases[1:] = [f"on {phrase}" for phrase in phrases[1:]]
        parts.append(f"{ADVERBS[level]} on {_listed(phrases, 'and')}")
    return "Fires " + "; ".join(parts) + "."


def _more(clause: Clause, narrower: dict[Clause, list[tuple[Clause, str]]]) -> str:
    """What is said, in brackets, of the clauses that narrow this one: the weakest first."""
    found = narrower.get(clause, [])[::-1]
    said = [f"{ADVERBS[other.level]} {phrase}{_more(other, narrower)}" for other, phrase in found]
    return f" ({'; '.join(said)})" if said else ""


def narrowing(wide: Clause, narrow: Clause) -> str:
    """How a clause says "the same, where also ..." of another, or "" where it does not narrow it."""
    order = list(ADVERBS)
    if order.index(narrow.level) <= order.index(wide.level) or any(c not in narrow.conditions for c in wide.conditions):
        return ""
    extra = [condition for condition in narrow.conditions if condition not in wide.conditions]
    said = ["when also " + " and ".join(condition_phrase(condition) for condition in extra)] if extra else []
    if narrow.tokens == wide.tokens:
        return said[0] if said else ""
    if len(wide.tokens.terms) > 1 or len(narrow.tokens.terms) > 1 or (wide.tokens == ANY and not wide.conditions):
        return ""
    term, other = narrow.tokens.terms[0], wide.tokens.terms[0]
    listed = (
        len(term) == 1 == len(other)
        and isinstance(term[0], OneOf)
        and isinstance(other[0], OneOf)
        and set(term[0].texts) < set(other[0].texts)
    )
    more = term if listed or wide.tokens == ANY else tuple(factor for factor in term if factor not in other)
    if not more or (not listed and wide.tokens != ANY and any(factor not in term for factor in other)):
        return ""
    also = [phrase.removeprefix("when ") for phrase in said]
    return " and ".join([f"when it is {tokens_phrase(Tokens((more,)), one=True)}", *also])


@lru_cache(maxsize=4096)
def clause_phrase(clause: Clause) -> str:
    """A clause without its strength: `"park" right after "the" and inside double quotes`."""
    phrase = tokens_phrase(clause.tokens)
    if clause.tokens == ANY and clause.conditions and isinstance(clause.conditions[0], Near):
        phrase = "the token"
    if clause.conditions:
        phrase += " " + " and ".join(condition_phrase(condition) for condition in clause.conditions)
    return phrase


def tokens_phrase(tokens: Tokens, one: bool = False) -> str:
    """A set of tokens as a noun phrase; `one` for a single token of the set."""
    return _listed([_term(term, one) for term in tokens.terms], "or")


def condition_phrase(condition: Condition) -> str:
    """A condition as what follows the noun phrase of its clause."""
    if isinstance(condition, Unless):
        return _negated(condition.inner)
    if isinstance(condition, Near):
        return f"{_place(condition.offset)} {tokens_phrase(condition.tokens)}"
    if isinstance(condition, Earlier):
        what = tokens_phrase(condition.tokens)
        if isinstance(condition.scope, int):
            return f"at most {condition.scope} tokens after {what}"
        return f"with {what} earlier {_SCOPES[condition.scope]}"
    if isinstance(condition, Begins):
        return f"{_UNITS[condition.unit]} that begins with {tokens_phrase(condition.tokens)}"
    if isinstance(condition, Inside):
        return f"inside {SPANS[condition.span].english}"
    if isinstance(condition, Flag):
        return FLAG_PHRASES[condition.name][0]
    if isinstance(condition, Position):
        side = "among" if condition.side == "first" else "after"
        return (
            f"{side} the first {condition.count} tokens of the text"
            if condition.count > 1
            else f"{side} the first token of the text"
        )
    return f"where the text matches /{condition.source}/"


def _negated(condition: Near | Earlier | Begins | Inside | Flag | Position | Match) -> str:
    if isinstance(condition, Earlier) and not isinstance(condition.scope, int):
        return f"without {tokens_phrase(condition.tokens)} earlier {_SCOPES[condition.scope]}"
    if isinstance(condition, Begins):
        return f"{_UNITS[condition.unit]} that does not begin with {tokens_phrase(condition.tokens)}"
    if isinstance(condition, Inside):
        return f"outside {SPANS[condition.span].english}"
    if isinstance(condition, Flag):
        return FLAG_PHRASES[condition.name][1]
    if isinstance(condition, Match):
        return f"where the text does not match /{condition.source}/"
    return "not " + condition_phrase(condition)


def _place(offset: int) -> str:
    side = "after" if offset < 0 else "before"
    return f"right {side}" if abs(offset) == 1 else f"{_COUNTS[abs(offset)]} tokens {side}"


def _term(term: Term, one: bool = False) -> str:
    literal = next((factor for factor in term if isinstance(factor, OneOf)), None)
    forms = [FORMS[factor.name] for factor in term if isinstance(factor, Form)]
    nouns = [form.single if one else form.noun for form in forms if form.noun]
    noun = _literals(literal) if literal else nouns[0] if nouns else "a token" if one else "tokens"
    if literal and nouns:
        noun += " that are " + nouns[0]
    noun += "".join(f" that are also {other}" for other in nouns[1:])
    adjectives = [form.adjective for form in forms if not form.noun]
    if not adjectives:
        phrase = noun
    elif literal:
        phrase = f"{noun} that are {' and '.join(adjectives)}"
    else:
        article, bare_noun = noun.split(" ", 1) if one else ("", noun)
        words = " ".join([*adjectives, bare_noun])
        phrase = f"{'an' if words[0] in 'aeiou' else 'a'} {words}" if article else words
    rest = [_qualifier(factor) for factor in term if not isinstance(factor, Form) and factor is not literal]
    return " ".join([phrase, *rest])


def _qualifier(factor: Factor) -> str:
    if isinstance(factor, But):
        return f"other than {_term((factor.inner,))}"
    if isinstance(factor, Like):
        return f"{_CLOSENESS[factor.closeness]} {_listed([literal(name) for name in factor.names], 'or')}"
    if isinstance(factor, Affix):
        verb = {"starting": "starting with", "ending": "ending in", "containing": "containing"}[factor.kind]
        return f"{verb} {_listed([literal(text) for text in factor.texts], 'or')}"
    return f"that are {_term((factor,))}"


def _literals(tokens: OneOf) -> str:
    return _listed([literal(text) for text in tokens.texts], "or")


def literal(text: str) -> str:
    """A token as it is shown: in quotes, line breaks and lone spaces in words."""
    if text in _SPELLED:
        return _SPELLED[text]
    shown = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f"'{shown}'" if '"' in shown else f'"{shown}"'


def _listed(items: Sequence[str], word: str) -> str:
    """`a`, `a or b`, `a, b, or c`."""
    if len(items) < 3:
        joiner = f" {word} " if word == "or" else f", {word} "
        return joiner.join(items)
    return ", ".join(items[:-1]) + f", {word} {items[-1]}"

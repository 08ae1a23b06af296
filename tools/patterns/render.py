"""Plain English for patterns: every clause, set, condition and strength is said, so that the words and the rule mean the same."""

from __future__ import annotations

import re
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
    Word,
)
from .spans import SPANS

ADVERBS = {
    "sometimes": "sometimes",
    "faintly": "faintly",
    "weakly": "weakly",
    "moderately": "moderately",
    "strongly": "strongly",
    "fully": "very strongly",
}
"""Strength words of the language in English."""
_STRENGTH = {level: place for place, level in enumerate(ADVERBS)}
FLAG_PHRASES: dict[str, tuple[str, str]] = {
    "word-start": ("at the start of a word", "not at the start of a word"),
    "word-inside": ("continuing a word", "not continuing a word"),
    "line-start": ("at the start of a line", "not at the start of a line"),
    "sentence-start": ("at the start of a sentence", "not at the start of a sentence"),
    "text-start": ("at the start of the text", "not at the start of the text"),
    "repeated": ("seen before in the text", "not seen before in the text"),
    "copying": ("continuing a repeated sequence", "not continuing a repeated sequence"),
}
"""English of each flag, and of its negation."""
_COUNTS = {1: "one", 2: "two", 3: "three"}
_CLOSENESS = {"loosely-like": "used somewhat like", "like": "used like", "much-like": "used very much like"}
_SPELLED = {"\n": "a line break", "\n\n": "a blank line", " ": "a space", "\t": "a tab", "\r\n": "a Windows line break"}
_SCOPES = {"text": "in the text", "line": "on the line", "sentence": "in the sentence", "word": "in the word"}
_UNITS = {"word": "in a word", "line": "on a line", "sentence": "in a sentence", "text": "in a text"}


def render(pattern: Pattern) -> str:
    """The pattern as one sentence, the strongest clauses first; a clause that narrows another is said right after it."""
    clauses = sorted(pattern.clauses, key=lambda clause: -_STRENGTH[clause.level])
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
        phrases = [_placed(clause) + _more(clause, narrower) for clause in group]
        parts.append(f"{ADVERBS[level]} {_listed(phrases, 'and')}")
    return "Fires " + "; ".join(parts) + "."


def _placed(clause: Clause) -> str:
    """A clause as what follows "fires": `on "park"`, `right after "the"`."""
    phrase = clause_phrase(clause)
    return phrase.removeprefix("the token ") if phrase.startswith("the token ") else f"on {phrase}"


def _more(clause: Clause, narrower: dict[Clause, list[tuple[Clause, str]]]) -> str:
    """What is said, in brackets, of the clauses that narrow this one: the weakest first."""
    found = narrower.get(clause, [])[::-1]
    said = [f"{ADVERBS[other.level]} {phrase}{_more(other, narrower)}" for other, phrase in found]
    return f" ({'; '.join(said)})" if said else ""


def narrowing(wide: Clause, narrow: Clause) -> str:
    """How a clause says "the same, where also ..." of another, or "" where it does not narrow it."""
    if _STRENGTH[narrow.level] <= _STRENGTH[wide.level] or any(c not in narrow.conditions for c in wide.conditions):
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
    conditions = clause.conditions
    phrase = tokens_phrase(clause.tokens)
    own = next((condition for condition in conditions if isinstance(condition, Word) and condition.place == 0), None)
    if clause.tokens == ANY and own is not None:
        part = next((condition for condition in conditions if condition in _PARTS), None)
        phrase = _PARTS.get(part, "") + _the_word(own)
        conditions = tuple(condition for condition in conditions if condition not in (own, part))
    elif clause.tokens == ANY and conditions and isinstance(conditions[0], Near | Word):
        phrase = "the token"
    if conditions:
        phrase += " " + " and ".join(condition_phrase(condition) for condition in conditions)
    return phrase


_PARTS: dict[Condition | None, str] = {Flag("word-start"): "the start of ", Flag("word-inside"): "the rest of "}
"""How a part of a word is called."""
_TOKEN = re.compile(r"""("[^"]*"|'[^']*')|\btoken(s?)\b""")
"""A literal, or the word "token" outside of literals."""
_WORD_SIDES = {-1: "after", 0: "in", 1: "before"}


def _the_word(word: Word) -> str:
    return words_phrase(word.words)


def words_phrase(words: Tokens) -> str:
    """A set of whole words as a noun phrase."""
    if all(len(term) == 1 and isinstance(term[0], OneOf) for term in words.terms):
        return f"the word {tokens_phrase(words)}"
    return _TOKEN.sub(lambda found: found[1] or f"word{found[2]}", tokens_phrase(words))


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
    if isinstance(condition, Word):
        return f"{_WORD_SIDES[condition.place]} {_the_word(condition)}"
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


def _negated(condition: Near | Earlier | Begins | Word | Inside | Flag | Position | Match) -> str:
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

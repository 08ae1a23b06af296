"""Pattern text to Pattern. Errors are ToolErrors that say what was expected and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn, cast, get_args

import re2

from dragoman.store.errors import ToolError

from .evaluate import FLAGS
from .forms import FORMS
from .language import (
    LEVELS,
    MAX_CLAUSES,
    MAX_CONDITIONS,
    MAX_LITERALS,
    MAX_NAMES,
    MAX_REGEX,
    MAX_TEXT,
    WORD_PLACES,
    Affix,
    Begins,
    But,
    Clause,
    Closeness,
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
    Scope,
    Tokens,
    Unless,
    Word,
)
from .spans import SPANS

_LEXEME = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*")|(?P<regex>/(?:\\.|[^/\\])+/)|(?P<number>\d+)|(?P<word>[A-Za-z][A-Za-z0-9-]*)|(?P<mark>[:;,|&!]))""",
    re.DOTALL,
)
_NEAR = {"prev": -1, "prev2": -2, "prev3": -3, "next": 1, "next2": 2}
_SCOPES = {"earlier": "text", "in-line": "line", "in-sentence": "sentence", "in-word": "word"}
_AFFIXES = ("starting", "ending", "containing")
_BEGINS = {f"{unit}-begins": unit for unit in ("word", "line", "sentence", "text")}
_WORDS = {name: place for place, name in WORD_PLACES.items()}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse(source: str) -> Pattern:
    """Read a pattern.

    Raises ToolError, in one sentence, where the text is not a pattern or goes over one of the caps in `language.py`.
    """
    if len(source) > MAX_TEXT:
        raise ToolError(f"the pattern has {len(source)} characters; at most {MAX_TEXT} are allowed")
    reader = _Reader(source, _lex(source))
    clauses = [reader.clause()]
    while reader.take_mark(";"):
        if reader.done():
            break
        clauses.append(reader.clause())
    if not reader.done():
        reader.fail("';' before the next clause, ',' before the next condition, or the end")
    if len(clauses) > MAX_CLAUSES:
        raise ToolError(f"the pattern has {len(clauses)} clauses; at most {MAX_CLAUSES} are allowed")
    return Pattern(tuple(clauses))


@dataclass(frozen=True, slots=True)
class _Lexeme:
    kind: str
    text: str
    at: int


def _lex(source: str) -> list[_Lexeme]:
    lexemes: list[_Lexeme] = []
    at = 0
    while source[at:].strip():
        match = _LEXEME.match(source, at)
        if match is None:
            rest = source[at:].strip()
            hint = " (a quotation mark or slash is not closed)" if rest[0] in '"/' else ""
            raise ToolError(f"cannot read the pattern at {rest[:20]!r}{hint}")
        kind = match.lastgroup or ""
        lexemes.append(_Lexeme(kind, match[kind], match.start(kind)))
        at = match.end()
    return lexemes


class _Reader:
    """Recursive descent over the lexemes of one pattern."""

    def __init__(self, source: str, lexemes: list[_Lexeme]) -> None:
        self.source = source
        self.lexemes = lexemes
        self.at = 0

    def clause(self) -> Clause:
        level = self.word("a strength (" + ", ".join(LEVELS) + ")")
        if level not in LEVELS:
            self.at -= 1
            self.fail("a strength (" + ", ".join(LEVELS) + ")")
        if not self.take_mark(":"):
            self.fail("':' after the strength")
        tokens = self.tokens()
        conditions: list[Condition] = []
        if self.take_word("where"):
            conditions.append(self.condition())
            while self.take_mark(","):
                conditions.append(self.condition())
        if len(conditions) > MAX_CONDITIONS:
            raise ToolError(f"a clause has {len(conditions)} conditions; at most {MAX_CONDITIONS} are allowed")
        return Clause(level, tokens, tuple(conditions))

    def tokens(self) -> Tokens:
        terms = [self.term()]
        while self.take_mark("|"):
            terms.append(self.term())
        return Tokens(tuple(terms))

    def term(self) -> tuple[Factor, ...]:
        factors = [self.factor()]
        while self.take_mark("&"):
            factors.append(self.factor())
        return tuple(factors)

    def factor(self) -> Factor:
        if self.take_mark("!"):
            if self.take_mark("!"):
                raise ToolError("'!!' cancels itself: leave both out")
            return But(cast(OneOf | Form | Affix | Like, self.factor()))
        if self.peek("string"):
            return OneOf(self.strings(MAX_LITERALS))
        word = self.word("tokens: a string, a form, or starting/ending/containing/like with strings")
        if word in get_args(Closeness):
            return Like(cast(Closeness, word), self.strings(MAX_NAMES))
        if word in _AFFIXES:
            return Affix(cast(Literal["starting", "ending", "containing"], word), self.strings(MAX_LITERALS))
        if word not in FORMS:
            raise ToolError(f"no token form is called {word!r}; there are {', '.join(FORMS)}")
        return Form(word)

    def condition(self) -> Condition:
        if self.take_word("not"):
            if self.take_word("not"):
                raise ToolError("'not not' cancels itself: leave both out")
            return Unless(cast(Near | Earlier | Begins | Word | Inside | Flag | Position | Match, self.condition()))
        if self.peek("regex"):
            return Match(_checked_regex(self.next().text[1:-1]))
        word = self.word("a condition")
        if word in _NEAR:
            return Near(_NEAR[word], self.tokens())
        if word in _SCOPES:
            return Earlier(cast(Scope, _SCOPES[word]), self.tokens())
        if word == "within":
            return Earlier(self.number(), self.tokens())
        if word in _BEGINS:
            return Begins(cast(Literal["word", "line", "sentence", "text"], _BEGINS[word]), self.tokens())
        if word in _WORDS:
            return Word(cast(Literal[-1, 0, 1], _WORDS[word]), self.tokens())
        if word == "inside":
            span = self.word("a span: " + ", ".join(SPANS))
            if span not in SPANS:
                raise ToolError(f"no span is called {span!r}; there are {', '.join(SPANS)}")
            return Inside(span)
        if word in ("first", "beyond"):
            return Position(cast(Literal["first", "beyond"], word), self.number())
        if word in FLAGS:
            return Flag(word)
        known = [
            *_NEAR,
            *_SCOPES,
            "within N",
            *_BEGINS,
            *_WORDS,
            "inside SPAN",
            "first N",
            "beyond N",
            "/regex/",
            *FLAGS,
            "not …",
        ]
        raise ToolError(f"no condition begins with {word!r}; there are {', '.join(known)}")

    def strings(self, most: int) -> tuple[str, ...]:
        texts: list[str] = []
        while self.peek("string"):
            texts.append(_unquote(self.next().text))
        if not texts:
            self.fail("a string in double quotes")
        if len(texts) > most:
            raise ToolError(f"a list names {len(texts)} tokens; at most {most} are allowed here: find a rule for them")
        if "" in texts:
            raise ToolError("an empty string stands for no token")
        return tuple(texts)

    def number(self) -> int:
        if not self.peek("number"):
            self.fail("a number")
        value = int(self.next().text)
        if not 1 <= value <= 1_000_000:
            raise ToolError(f"{value} is not a number of tokens between 1 and 1000000")
        return value

    def word(self, expected: str) -> str:
        if not self.peek("word"):
            self.fail(expected)
        return self.next().text

    def take_mark(self, mark: str) -> bool:
        return self._take("mark", mark)

    def take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _take(self, kind: str, text: str) -> bool:
        found = self.peek(kind) and self.lexemes[self.at].text == text
        self.at += found
        return found

    def peek(self, kind: str) -> bool:
        return self.at < len(self.lexemes) and self.lexemes[self.at].kind == kind

    def next(self) -> _Lexeme:
        self.at += 1
        return self.lexemes[self.at - 1]

    def done(self) -> bool:
        return self.at >= len(self.lexemes)

    def fail(self, expected: str) -> NoReturn:
        if self.done():
            raise ToolError(f"the pattern ends where {expected} was expected")
        found = self.lexemes[self.at]
        raise ToolError(f"character {found.at + 1} of the pattern is {found.text!r}; expected {expected}")


def _unquote(literal: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), literal[1:-1], flags=re.DOTALL)


def _checked_regex(source: str) -> str:
    if len(source) > MAX_REGEX:
        raise ToolError(f"the regular expression has {len(source)} characters; at most {MAX_REGEX} are allowed")
    try:
        re2.compile(source)
    except re2.error as error:
        raise ToolError(
            f"the regular expression /{source}/ cannot be compiled: {error} (RE2 syntax: no backreferences or lookaround)"
        ) from None
    return source

"""Reading files that others wrote: whatever is wrong with one becomes one sentence that says which file and which place."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from dragoman.store.display import visible
from dragoman.store.errors import UserError
from dragoman.store.records import Record

R = TypeVar("R", bound=Record)

LONGEST = 256 << 20
"""Bytes in a line at most: more is no line but an attack on memory."""
_NEEDED = object()


def unreadable(place: str, problem: str) -> UserError:
    """The error for a file that is not what it should be."""
    remedy = "repair that file or leave it out, nothing was taken from it"
    return UserError(f"{visible(place)} cannot be read: {visible(problem)}; {remedy}.")


def shown(value: object) -> str:
    """A value in a message: short, and harmless to a terminal."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Fields:
    """A JSON object and where it stands; every getter raises `UserError` for what is missing or of the wrong kind."""

    def __init__(self, value: object, place: str) -> None:
        """place: file and place in it, for messages."""
        self.place = place
        if not isinstance(value, dict):
            self.fail(f"{shown(value)} stands where an object should")
        self.value: dict[str, Any] = value

    def fail(self, problem: str) -> NoReturn:
        """Refuse the file."""
        raise unreadable(self.place, problem)

    def given(self, *names: str) -> str:
        """The first of some names that the object has."""
        for name in names:
            if self.value.get(name) is not None:
                return name
        raise unreadable(self.place, f"{' or '.join(names)} is missing")

    def text(self, name: str, default: Any = _NEEDED) -> Any:
        """A text; `default` where it is missing or null."""
        return self._of(name, str, "a text", default)

    def whole(self, name: str, default: Any = _NEEDED) -> Any:
        """A whole number of 0 or more, which may be written as text."""
        found = self.value.get(name)
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 19:
            return int(found)
        found = self._of(name, int, "a whole number", default)
        if isinstance(found, int) and not 0 <= found < 2**63:
            self.fail(f"{name} is {shown(found)}, which no row has as its number")
        return found

    def number(self, name: str, default: Any = _NEEDED) -> Any:
        """A finite number."""
        found = self._of(name, (int, float), "a number", default)
        return found if found is default else self._finite(name, found)

    def texts(self, name: str, default: Any = _NEEDED) -> Any:
        """A list of texts."""
        found = self._of(name, list, "a list", default)
        if found is not default and not all(isinstance(entry, str) for entry in found):
            self.fail(f"{name} holds something that is no text")
        return found

    def numbers(self, name: str, default: Any = _NEEDED) -> Any:
        """A list of finite numbers."""
        found = self._of(name, list, "a list", default)
        if found is default:
            return found
        for entry in found:
            if isinstance(entry, bool) or not isinstance(entry, (int, float)):
                self.fail(f"{name} holds {shown(entry)}, which is no number")
        return [self._finite(name, entry) for entry in found]

    def items(self, name: str, default: Any = _NEEDED) -> list[Fields]:
        """A list of objects."""
        found = self._of(name, list, "a list", default)
        return [Fields(entry, f"{self.place}, {name}[{number}]") for number, entry in enumerate(found or ())]

    def checked(self, record: type[R], values: dict[str, Any]) -> R:
        """A record of what was read."""
        try:
            return record.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            self.fail(f"{'.'.join(map(str, first['loc']))} is {shown(first.get('input'))}, which it cannot be")

    def _finite(self, name: str, found: int | float) -> float:
        try:
            value = float(found)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            self.fail(f"{name} is not finite")
        return value

    def _of(self, name: str, kind: Any, words: str, default: Any) -> Any:
        found = self.value.get(name)
        if found is None:
            if default is _NEEDED:
                self.fail(f"{name} is missing")
            return default
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            self.fail(f"{name} is {shown(found)}, not {words}")
        return found


def parsed(text: str | bytes, place: str) -> Any:
    """JSON, strictly. Raises `UserError` when it is none."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise unreadable(place, f"it is no JSON ({_short(error)})") from None


def document(path: Path) -> Any:
    """The JSON of a whole file, packed with gzip or not."""
    try:
        with opened(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(str(path), _short(error)) from None
    return parsed(data, str(path))


def lines(path: Path) -> Iterator[Fields]:
    """The objects of a file of JSON lines, packed with gzip or not; empty lines are passed over."""
    try:
        with opened(path) as file:
            number = 0
            while row := file.readline(LONGEST):
                number += 1
                place = f"{path}, line {number}"
                if len(row) == LONGEST:
                    raise unreadable(place, f"the line is longer than {LONGEST >> 20} MB")
                if row.strip():
                    yield Fields(parsed(row, place), place)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(str(path), _short(error)) from None


def opened(path: Path) -> Any:
    """A file as bytes, unpacked where it is packed with gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _short(error: BaseException) -> str:
    """The first line of an error, harmless to a terminal."""
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return ascii(text)[1:-1][:200]

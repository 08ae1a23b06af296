"""What a term of a program is: on which tokens of some windows it holds. Terms are values: frozen, hashable, and JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from dragoman.store.errors import UserError

from .reading import Mask, Reading


@dataclass(frozen=True)
class Term(ABC):
    """Holds on some tokens. Whether it holds on one depends only on the window up to that token and with it."""

    kinds: ClassVar[dict[str, type[Term]]] = {}
    """All kinds of terms by their names."""

    def __init_subclass__(cls) -> None:
        Term.kinds[cls.__name__] = cls

    def on(self, reading: Reading) -> Mask:
        """Where it holds; remembered by the reading. Shape: (tokens,)."""
        return reading.keep(self, lambda: self.find(reading))

    @abstractmethod
    def find(self, reading: Reading) -> Mask:
        """Where it holds. Shape: (tokens,)."""

    def to_json(self) -> dict[str, Any]:
        """Its name and its settings."""
        return {"is": type(self).__name__, **{f.name: _plain(getattr(self, f.name)) for f in fields(self)}}


def term_of(data: Any) -> Term:
    """The term that `to_json` wrote. Raises `UserError` for anything else."""
    try:
        settings = dict(data)
        kind = Term.kinds[settings.pop("is")]
        made = kind(**{name: _read(value) for name, value in settings.items()})
        hash(made)
        return made
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(
            f"This is no term of a program ({type(error).__name__}: {str(error)[:80]}): make the store again."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Term):
        return value.to_json()
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return term_of(value)
    return tuple(_read(one) for one in value) if isinstance(value, list) else value

"""Made features as a source of activations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dragoman.store.errors import UserError
from dragoman.tools.source import SparseActivations

from . import agreement, context, counting, logic, place, spans, tokens  # noqa: F401  (their terms can be read)
from .program import Program
from .reading import Lexicon, Reading

FORMAT = "programs"
"""What the manifest of a store calls such features."""
_TOKENS = 1 << 18
"""Tokens that are read at a time."""


class ProgramSource:
    """A FeatureSource: token ids in, the activations of programs out."""

    def __init__(self, vocabulary: Sequence[str], programs: Sequence[Program]) -> None:
        """`vocabulary` is the text of every token id as it stands in the middle of a text."""
        self.lexicon, self.programs = Lexicon(vocabulary), tuple(programs)

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.programs)

    def activations(self, windows: Sequence[Sequence[int] | np.ndarray]) -> SparseActivations:
        """Activations above zero on windows of token ids."""
        parts, first = [], 0
        while first < len(windows):
            last, held = first, 0
            while last < len(windows) and (held == 0 or held + len(windows[last]) <= _TOKENS):
                held, last = held + len(windows[last]), last + 1
            parts.append(self._read(windows[first:last], first))
            first = last
        if not parts:
            none = np.zeros(0, np.int32)
            return SparseActivations(none, none, none, np.zeros(0, np.float32))
        return SparseActivations(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def fires(self, feature: int, windows: Sequence[Sequence[int] | np.ndarray]) -> list[np.ndarray]:
        """The truth about one feature, without noise: bool (tokens,) for each window."""
        reading = Reading(self.lexicon, windows)
        return np.split(self.programs[feature].fires(reading), reading.starts[1:-1]) if len(windows) else []

    def _read(self, windows: Sequence[Sequence[int] | np.ndarray], first: int) -> SparseActivations:
        reading = Reading(self.lexicon, windows)
        at, feature, value = [], [], []
        for number, program in enumerate(self.programs):
            values = program.values(reading)
            (active,) = np.nonzero(values > 0)
            at.append(active)
            feature.append(np.full(len(active), number, np.int32))
            value.append(values[active])
        token, features, found = (np.concatenate(column) if column else np.zeros(0) for column in (at, feature, value))
        order = np.lexsort((features, token))
        token = token[order].astype(np.int64)
        return SparseActivations(
            (reading.row[token] + first).astype(np.int32),
            reading.position[token].astype(np.int32),
            features[order].astype(np.int32),
            found[order].astype(np.float32),
        )


def write_programs(path: Path, programs: Sequence[Program]) -> None:
    """Keep programs in a file."""
    data = {"format": 1, "programs": [program.to_json() for program in programs]}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_programs(path: Path) -> list[Program]:
    """The programs of a file.

    Raises:
        UserError: there is none, or it holds something else.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        return [Program.from_json(one) for one in data["programs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The programs of the features in {path} cannot be read: make the store again.") from error

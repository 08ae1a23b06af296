"""The harvest's progress on disk: numbered shards of documents, each finished by its rest file.

A shard is `documents-N.parquet`, `contexts-N.parquet`, `activations-N.keys`, `activations-N.counts` (see `store/runs.py`) and
`rest-N.json` in the store's build folder.
Each is written under another name and renamed; the rest file comes last and says where the next shard begins. What a killed
process left behind is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8

from dragoman.store.errors import UserError
from dragoman.store.records import SPLITS
from dragoman.store.runs import RunWriter

from .windows import TokenizedDocument, Windows

_LAYOUT = 2
"""Goes up when the files of a shard change."""
_FILES = ("activations.keys", "activations.counts", "documents.parquet", "contexts.parquet")


@dataclass(frozen=True, eq=False)
class Shard:
    """Some documents, read and cut, to be run through the model."""

    number: int
    """From 0."""
    documents: Sequence[TokenizedDocument]
    """The documents."""
    windows: Windows
    """What they were cut into."""
    first_context: int
    """Number of the first window in the store."""
    first_token: int
    """Number of the first token in the store."""

    @cached_property
    def splits(self) -> UInt8[np.ndarray, " windows"]:
        """Split of each window, as its place in SPLITS."""
        return np.repeat(
            np.array([SPLITS.index(d.split) for d in self.documents], np.uint8),
            np.bincount(self.windows.owner, minlength=len(self.documents)),
        )


@dataclass
class Fit:
    """Sums for the fraction of variance unexplained of one dictionary, on a sample of tokens."""

    tokens: int = 0
    """Number of tokens."""
    residual: float = 0.0
    """Sum of squared differences of target and reconstruction."""
    square: float = 0.0
    """Sum of the target's squares."""
    total: list[float] = field(default_factory=list)
    """Sum of the targets, (d_out,)."""

    def __add__(self, other: Fit) -> Fit:
        if not self.total or not other.total:
            return other if not self.total else self
        total = (np.array(self.total) + np.array(other.total)).tolist()
        return Fit(self.tokens + other.tokens, self.residual + other.residual, self.square + other.square, total)

    @property
    def unexplained(self) -> float | None:
        """Residual sum of squares over the total sum of squares around the mean; None where there is no variance."""
        if not self.tokens:
            return None
        variance = self.square - float(np.square(self.total).sum()) / self.tokens
        return self.residual / variance if variance > 0 else None


@dataclass
class Rest:
    """What a finished shard says about itself."""

    shard: int
    """Its number."""
    next_document: int
    """Number of the first document of the next shard."""
    next_context: int
    """Number of the first context of the next shard."""
    tokens: int
    """Tokens in it."""
    activations: int
    """Activations in it."""
    documents: dict[str, int]
    """Documents of each split in it."""
    fits: dict[str, Fit]
    """By the names of the dictionaries that reconstruct something."""


class ShardWriter:
    """Writes one shard; use it as a context, then call `finish`."""

    def __init__(self, build: Path, shard: Shard, width: int) -> None:
        """width: features of all dictionaries together."""
        self.build, self.shard = build, shard
        keys, counts, self._documents, self._contexts = self._partial
        self._runs = RunWriter(keys, counts, width)
        self.add = self._runs.add

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._runs.close()

    def finish(self, fits: dict[str, Fit]) -> Rest:
        """Write the other files and put everything in place."""
        shard = self.shard
        self._runs.close()
        pq.write_table(_documents(shard.documents), self._documents, compression="lz4")
        pq.write_table(_contexts(shard), self._contexts, compression="lz4")
        splits = [d.split for d in shard.documents]
        rest = Rest(
            shard=shard.number,
            next_document=shard.documents[-1].number + 1,
            next_context=shard.first_context + len(shard.windows.owner),
            tokens=len(shard.windows.ids),
            activations=self._runs.rows,
            documents={split: splits.count(split) for split in SPLITS},
            fits=fits,
        )
        for partial, name in zip(self._partial, _FILES, strict=True):
            kind, suffix = name.split(".")
            partial.replace(self.build / f"{kind}-{shard.number:05}.{suffix}")
        _write_json(_rest_file(self.build, shard.number), asdict(rest))
        return rest

    @property
    def _partial(self) -> list[Path]:
        return [self.build / f"{name}-{self.shard.number:05}.partial" for name in _FILES]


def finished(build: Path) -> list[Rest]:
    """The shards that are done, in order."""
    shards: list[Rest] = []
    while (file := _rest_file(build, len(shards))).exists():
        raw = json.loads(file.read_text())
        shards.append(Rest(**{**raw, "fits": {name: Fit(**fit) for name, fit in raw["fits"].items()}}))
    return shards


def open_plan(build: Path, digest: str, config: dict[str, object], command: str) -> None:
    """Write the plan of a new harvest, or check that a begun one has the same.

    Raises:
        UserError: another harvest was begun here, or by another version.
    """
    file = build / "plan.json"
    if file.exists():
        begun = json.loads(file.read_text())
        if begun.get("layout") != _LAYOUT:
            raise UserError(f"{build.parent} holds an unfinished harvest of another version of Dragoman: delete the folder.")
        if begun["hash"] != digest:
            old, new = begun["config"], json.loads(json.dumps(config))
            changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            raise UserError(
                f"{build.parent} holds an unfinished harvest with another {' and '.join(changed)}: use the same settings "
                "to go on, another --store, or delete the folder."
            )
        return
    build.mkdir(parents=True, exist_ok=True)
    _write_json(file, {"hash": digest, "layout": _LAYOUT, "config": config, "command": command})


def _rest_file(build: Path, number: int) -> Path:
    return build / f"rest-{number:05}.json"


def _write_json(file: Path, content: dict[str, object]) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(file)


def _documents(documents: Sequence[TokenizedDocument]) -> pa.Table:
    return pa.table(
        {
            "document": pa.array([d.number for d in documents], pa.uint32()),
            "hash": pa.array([d.digest for d in documents], pa.string()),
            "split": pa.array([d.split for d in documents], pa.string()),
            "text": pa.array([d.text for d in documents], pa.string()),
            "tokens": pa.array([len(d.tokens.ids) for d in documents], pa.uint32()),
            "source": pa.array([d.source for d in documents], pa.string()),
        }
    )


def _contexts(shard: Shard) -> pa.Table:
    documents, windows, first_context = shard.documents, shard.windows, shard.first_context
    offsets = pa.array(windows.bounds.astype(np.int32))

    def lists(values: np.ndarray) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.array(values))

    count = len(windows.owner)
    return pa.table(
        {
            "context": pa.array(np.arange(first_context, first_context + count, dtype=np.uint32)),
            "document": pa.array([documents[i].number for i in windows.owner], pa.uint32()),
            "split": pa.array([documents[i].split for i in windows.owner], pa.string()),
            "ids": lists(windows.ids),
            "starts": lists(windows.starts),
            "ends": lists(windows.ends),
        }
    )

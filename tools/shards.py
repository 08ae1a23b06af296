"""The harvest's progress on disk: numbered shards of documents, each finished by its rest file.

A shard is `documents-N.parquet`, `contexts-N.parquet`, `activations-N.parquet` and `rest-N.json` in the store's build folder.
Each is written under another name and renamed; the rest file comes last and says where the next shard begins. What a killed
process left behind is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dragoman.store.errors import UserError

from .windows import TokenizedDocument, Windows

ROW_GROUP = 1 << 20
"""Activations in memory before they are written."""

_ACTIVATIONS = pa.schema(
    [
        pa.field("feature", pa.uint32(), nullable=False),
        pa.field("context", pa.uint32(), nullable=False),
        pa.field("position", pa.uint16(), nullable=False),
        pa.field("value", pa.float32(), nullable=False),
    ]
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

    def __init__(self, build: Path, number: int) -> None:
        self.build, self.number = build, number
        self.activations = 0
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._writer = pq.ParquetWriter(self._partial("activations"), _ACTIVATIONS, compression="lz4", use_dictionary=False)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()

    def add(self, feature: np.ndarray, context: np.ndarray, position: np.ndarray, value: np.ndarray) -> None:
        """Add activations: uint32, uint32, uint16 and float32, all (n,)."""
        columns = [pa.array(feature), pa.array(context), pa.array(position), pa.array(value)]
        self._waiting.append(pa.record_batch(columns, schema=_ACTIVATIONS))
        self._rows += len(feature)
        self.activations += len(feature)
        if self._rows >= ROW_GROUP:
            self._flush()

    def finish(self, documents: Sequence[TokenizedDocument], windows: Windows, first_context: int, fits: dict[str, Fit]) -> Rest:
        """Write the other files and put everything in place."""
        self._flush()
        self._writer.close()
        pq.write_table(_documents(documents), self._partial("documents"), compression="zstd")
        pq.write_table(_contexts(documents, windows, first_context), self._partial("contexts"), compression="zstd")
        splits = [d.split for d in documents]
        rest = Rest(
            shard=self.number,
            next_document=documents[-1].number + 1,
            next_context=first_context + len(windows.owner),
            tokens=len(windows.ids),
            activations=self.activations,
            documents={split: splits.count(split) for split in ("train", "validation", "test")},
            fits=fits,
        )
        for kind in ("activations", "documents", "contexts"):
            self._partial(kind).replace(self.build / f"{kind}-{self.number:05}.parquet")
        _write_json(_rest_file(self.build, self.number), asdict(rest))
        return rest

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting), row_group_size=ROW_GROUP * 2)
            self._waiting, self._rows = [], 0

    def _partial(self, kind: str) -> Path:
        return self.build / f"{kind}-{self.number:05}.partial"


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
        UserError: another harvest was begun here.
    """
    file = build / "plan.json"
    if file.exists():
        begun = json.loads(file.read_text())
        if begun["hash"] != digest:
            old, new = begun["config"], json.loads(json.dumps(config))
            changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            raise UserError(
                f"{build.parent} holds an unfinished harvest with another {' and '.join(changed)}: use the same settings "
                "to go on, another --store, or delete the folder."
            )
        return
    build.mkdir(parents=True, exist_ok=True)
    _write_json(file, {"hash": digest, "config": config, "command": command})


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


def _contexts(documents: Sequence[TokenizedDocument], windows: Windows, first_context: int) -> pa.Table:
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

"""Stores without a model: random documents and activations that follow simple rules, so that every test can have one in a second.

Text is made of short words; a token is a word with the space before it. Feature k of the first ones fires on its own trigger
word (with a value that grows with the place in the window), the others fire at random, the last one never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.records import SPLITS, DictionaryInfo, SubjectInfo
from dragoman.store.runs import RunWriter
from dragoman.store.seal import StaticTables, seal
from dragoman.store.splits import document_hash, split_of

WORDS = (
    "the",
    "park",
    "robin",
    "sparrow",
    "sat",
    "on",
    "a",
    "red",
    "roof",
    "42",
    "Mary",
    "gave",
    "John",
    "tea",
    "and",
    "sang",
    ".",
    "\n",
    "é",
    "x=1",
)


@dataclass
class Rows:
    """The rows of a harvest, as a test may want to compute with them."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    contexts: list[dict[str, Any]] = field(default_factory=list)
    activations: list[dict[str, Any]] = field(default_factory=list)


def make_store(path: Path, **options: Any) -> Store:
    """Write synthetic shards, seal them and open the store; options as of `make_rows` and `seal`."""
    sealing = {name: options.pop(name) for name in ("max_per_feature", "memory_limit", "threads") if name in options}
    features = options.get("features", 24)
    rows = make_rows(**options)
    with write_lock(path):
        write_shards(path, rows, features=features)
        seal_shards(path, features, **sealing)
    return Store.open(path)


def make_rows(
    documents: int = 150, windows: int = 3, window: int = 16, features: int = 24, seed: int = 0, rate: float = 0.05
) -> Rows:
    """Random documents, windows and activations; rate: share of tokens on which the random features are active."""
    random = np.random.default_rng(seed)
    rows = Rows()
    for number in range(documents):
        words = random.integers(0, len(WORDS), windows * window)
        text = "".join((" " if i else "") + WORDS[word] for i, word in enumerate(words))
        digest = document_hash(text)
        split = split_of(digest)
        rows.documents.append(
            {
                "document": number,
                "hash": digest,
                "split": split,
                "text": text,
                "tokens": len(words),
                "source": f"synthetic.txt:{number}",
            }
        )
        lengths = [len(WORDS[word]) + (1 if i else 0) for i, word in enumerate(words)]
        ends = np.cumsum(lengths)
        for first in range(0, len(words), window):
            here = slice(first, first + window)
            context = len(rows.contexts)
            rows.contexts.append(
                {
                    "context": context,
                    "document": number,
                    "split": split,
                    "ids": words[here].tolist(),
                    "starts": (ends - lengths)[here].tolist(),
                    "ends": ends[here].tolist(),
                }
            )
            rows.activations += _activations(context, words[here], features, rate, random)
    return rows


def _activations(
    context: int, words: np.ndarray, features: int, rate: float, random: np.random.Generator
) -> list[dict[str, Any]]:
    """Activations of one window."""
    values = random.gamma(2.0, 1.0, (len(words), features)) * (random.random((len(words), features)) < rate)
    for feature in range(min(features // 2, len(WORDS))):
        values[:, feature] = np.where(words == feature, 1.0 + 0.1 * np.arange(len(words)), 0.0)
    values[:, -1] = 0.0
    return [
        {"feature": int(f), "context": context, "position": int(p), "value": float(np.float32(values[p, f]))}
        for p, f in np.argwhere(values > 0)
    ]


def write_shards(path: Path, rows: Rows, shards: int = 3, features: int = 24) -> None:
    """Write rows as a harvest would."""
    build = path / "build"
    build.mkdir(parents=True, exist_ok=True)
    schemas = {
        "documents": pa.schema(
            {
                "document": pa.uint32(),
                "hash": pa.string(),
                "split": pa.string(),
                "text": pa.large_string(),
                "tokens": pa.uint32(),
                "source": pa.string(),
            }
        ),
        "contexts": pa.schema(
            {
                "context": pa.uint32(),
                "document": pa.uint32(),
                "split": pa.string(),
                "ids": pa.list_(pa.int32()),
                "starts": pa.list_(pa.int32()),
                "ends": pa.list_(pa.int32()),
            }
        ),
    }
    for kind, schema in schemas.items():
        entries = getattr(rows, kind)
        step = max(1, -(-len(entries) // shards))
        for number, first in enumerate(range(0, max(len(entries), 1), step)):
            table = pa.Table.from_pylist(entries[first : first + step], schema)
            pq.write_table(table, build / f"{kind}-{number:05d}.parquet")
    starts = np.cumsum([0, *(len(entry["ids"]) for entry in rows.contexts)])
    splits = [SPLITS.index(entry["split"]) for entry in rows.contexts]
    step = max(1, -(-len(rows.activations) // shards))
    for number, first in enumerate(range(0, max(len(rows.activations), 1), step)):
        here = rows.activations[first : first + step]
        context = np.array([entry["context"] for entry in here], np.int64)
        write_run(
            build,
            number,
            features,
            feature=np.array([entry["feature"] for entry in here], np.uint32),
            split=np.array(splits, np.uint8)[context],
            token=starts[context] + np.array([entry["position"] for entry in here], np.int64),
            value=np.array([entry["value"] for entry in here], np.float32),
        )


def write_run(build: Path, number: int, features: int, **columns: np.ndarray) -> None:
    """Write the activations of one shard."""
    writer = RunWriter(build / f"activations-{number:05d}.keys", build / f"activations-{number:05d}.counts", features)
    writer.add(**columns)
    writer.close()


def seal_shards(path: Path, features: int = 24, **sealing: Any) -> None:
    """Seal shards written by `write_shards`, with made-up static tables."""
    effects = [
        {"feature": f, "side": side, "rank": rank, "token": (f + rank) % len(WORDS), "value": sign * (1.0 - 0.1 * rank)}
        for f in range(features)
        for side, sign in (("promoted", 1.0), ("suppressed", -1.0))
        for rank in range(5)
    ]
    near = [
        {"feature": f, "rank": rank, "other": (f + rank + 1) % features, "cosine": 0.9 - 0.1 * rank}
        for f in range(features)
        for rank in range(4)
    ]
    seal(
        path,
        subject=subject(),
        dictionaries=[dictionary(features)],
        vocabulary=[(" " if word not in ("\n",) else "") + word for word in WORDS],
        plan={"text": "synthetic", "hash": "0"},
        tables=StaticTables(pa.Table.from_pylist(effects), pa.Table.from_pylist(near)),
        **sealing,
    )


def subject() -> SubjectInfo:
    """A model that does not exist."""
    return SubjectInfo(
        name="synthetic",
        family="none",
        layers=1,
        d_model=8,
        vocabulary=len(WORDS),
        weights_hash="0",
        tokenizer_hash="0",
        prepend_bos=False,
    )


def dictionary(width: int, name: str = "sae", offset: int = 0) -> DictionaryInfo:
    """A dictionary that does not exist."""
    return DictionaryInfo(
        name=name,
        source="synthetic",
        format="synthetic",
        architecture="random",
        hook_in="resid_post.0",
        hook_out="resid_post.0",
        width=width,
        offset=offset,
        weights_hash="0",
        variance_unexplained=None,
    )

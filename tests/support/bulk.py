"""Millions of synthetic activations, written as a harvest would write them, for measuring the store.

Every token activates `active` features out of `features`, drawn by popularity (a power law), with values that are lognormal
around a feature's own scale; so features differ in density and values fill all bits of their mantissa, as real ones do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dragoman.store.manifest import Manifest
from dragoman.store.records import SPLITS
from dragoman.store.seal import seal
from dragoman.store.splits import document_hash, split_of
from tests.support.synthetic import dictionary, subject, write_run

WINDOW = 128
WINDOWS = 3
VOCABULARY = 2048


def write_bulk(path: Path, *, activations: int, features: int, active: int, seed: int = 0) -> int:
    """Write shards of about so many activations under `path`/build; returns the exact number."""
    build = path / "build"
    build.mkdir(parents=True)
    random = np.random.default_rng(seed)
    contexts = max(60, activations // (WINDOW * active))
    popularity = np.cumsum(1 / np.arange(1, features + 1) ** 0.6)
    names = random.permutation(features).astype(np.uint32)
    scale = np.exp(random.normal(0, 0.5, features))
    step = max(1, 1_000_000 // (WINDOW * active))
    written = 0
    for shard, first in enumerate(range(0, contexts, step)):
        here = np.arange(first, min(first + step, contexts), dtype=np.uint32)
        splits = _write_text(build, shard, here, random)
        rank = np.searchsorted(popularity, random.random((len(here) * WINDOW, active)) * popularity[-1])
        rank = np.sort(rank.clip(0, features - 1), axis=1)
        new = np.diff(rank, axis=1, prepend=-1) != 0  # a token activates a feature once
        token, place = np.nonzero(new)
        feature = names[rank[token, place]]
        value = (scale[feature] * np.exp(random.normal(0, 0.7, len(feature)))).astype(np.float32)
        write_run(
            build,
            shard,
            features,
            feature=feature,
            split=splits[token // WINDOW],
            token=first * WINDOW + token,
            value=value,
        )
        written += len(feature)
    return written


def seal_bulk(path: Path, features: int, **sealing: Any) -> Manifest:
    """Seal what `write_bulk` wrote."""
    words = [f" w{i}" for i in range(VOCABULARY)]
    return seal(path, subject=subject(), dictionaries=[dictionary(features)], vocabulary=words, plan={"text": "bulk"}, **sealing)


def _write_text(build: Path, shard: int, contexts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The documents and contexts of a shard; a document's text is its tokens in hexadecimal, four characters each.

    Returns the split of each context as its place in SPLITS.
    """
    ids = random.integers(0, VOCABULARY, (len(contexts), WINDOW)).astype(np.int32)
    documents, texts, at = contexts // WINDOWS, [], []
    bounds = np.flatnonzero(np.diff(documents, prepend=-1))
    for begin, end in zip(bounds, [*bounds[1:], len(contexts)], strict=True):
        texts.append(ids[begin:end].astype(">u2").tobytes().hex())
        at += list(range(end - begin))
    hashes = [document_hash(text) for text in texts]
    splits = [split_of(digest) for digest in hashes]
    numbers = documents[bounds] + (np.uint32(shard) << np.uint32(20))  # a document never goes over two shards
    table = {
        "document": numbers,
        "hash": hashes,
        "split": splits,
        "text": pa.array(texts, pa.large_string()),
        "tokens": np.diff([*bounds, len(contexts)]).astype(np.uint32) * WINDOW,
        "source": [f"bulk:{number}" for number in numbers],
    }
    pq.write_table(pa.table(table), build / f"documents-{shard:05d}.parquet")
    counts = np.diff([*bounds, len(contexts)])
    starts = (np.array(at)[:, None] * WINDOW + np.arange(WINDOW)) * 4
    offsets = np.arange(len(contexts) + 1, dtype=np.int32) * WINDOW

    def lists(values: np.ndarray) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, values.astype(np.int32).ravel())

    columns = {
        "context": contexts,
        "document": np.repeat(numbers, counts),
        "split": np.repeat(np.array(splits), counts),
        "ids": lists(ids),
        "starts": lists(starts),
        "ends": lists(starts + 4),
    }
    pq.write_table(pa.table(columns), build / f"contexts-{shard:05d}.parquet")
    return np.repeat(np.array([SPLITS.index(split) for split in splits], np.uint8), counts)

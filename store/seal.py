"""Seal a harvest: the shards in STORE/build become STORE/features.duckdb, and the manifest says that it is done.

1. Documents and contexts are copied; in another thread, activations are sorted by feature, split, value descending, context,
   position, a block of features at a time.
2. One pass over the blocks gives statistics, co-activation and, where a limit is set, the sample that is kept.
3. The finished database is moved into place, the manifest is written, the build folder is deleted.

A kill at any moment leaves either the shards, from which the same call seals again, or a finished store. The caller holds the
write lock.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .blocks import Corpus, sorted_blocks
from .database import create_features, interruptible
from .disk import disk_errors, sync_folder
from .manifest import BUILD, FEATURES, Manifest, version, write_manifest
from .passing import ROWS, Sealing
from .records import SPLITS, DictionaryInfo, SubjectInfo
from .streams import ahead, streamed

_WORK = "features.duckdb.partial"
_TOKENS = ("ids.bin", "owner.bin")


@dataclass(frozen=True)
class StaticTables:
    """What is computed once per dictionary, from weights alone."""

    logit_effect: pa.Table | None = None
    """Columns feature (global id), side (promoted or suppressed), rank from 0, token, value; None where there is none."""
    neighbour: pa.Table | None = None
    """Columns feature, rank from 0, other (both global ids), cosine; None where there is none."""


def seal(
    folder: Path | str,
    *,
    subject: SubjectInfo,
    dictionaries: Sequence[DictionaryInfo],
    vocabulary: Sequence[str],
    plan: dict[str, Any],
    tables: StaticTables | None = None,
    max_per_feature: int | None = None,
    memory_limit: str = "2GB",
    threads: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Seal the shards in `folder`/build into a store.

    vocabulary: text of every token id. plan: the resolved configuration of the harvest, kept in the manifest.
    max_per_feature: keep a stratified sample of about so many activations a feature; statistics are exact all the same.
    memory_limit, threads: of DuckDB while it writes. progress: told each step in words.
    Raises `UserError` when the disk is full (nothing is lost), `ValueError` when the shards contradict themselves.
    """
    folder = Path(folder)
    build = folder / BUILD
    width = sum(dictionary.width for dictionary in dictionaries)
    with interruptible(), disk_errors("sealing the store", folder):
        _clear(build)
        progress("reading documents")
        corpus = _read_corpus(build)
        progress("sorting activations")
        keys, counts = shards(build, "activations", "keys"), shards(build, "activations", "counts")
        sealing = Sealing(corpus, width, sum(file.stat().st_size for file in keys) // 8, max_per_feature, build)
        blocks = sorted_blocks(keys, counts, width, corpus)
        with (
            ahead(sealing.rows(blocks), 2) as rows,
            closing(create_features(build / _WORK, memory_limit=memory_limit, threads=threads)) as connection,
        ):
            _copy_static(connection, dictionaries, vocabulary, tables or StaticTables())
            _copy_corpus(connection, build)
            _copy_activations(connection, rows)
            progress("computing statistics")
            _copy_statistics(connection, sealing, dictionaries)
            manifest = Manifest(
                made_by=version(),
                subject=subject,
                dictionaries=tuple(dictionaries),
                plan=plan,
                documents=_counts(connection, "document", "count(*)"),
                contexts=_counts(connection, "context", "count(*)"),
                tokens=dict(zip(SPLITS, corpus.tokens(), strict=True)),
                activations=sealing.kept,
                activations_seen=sealing.seen,
                max_per_feature=max_per_feature,
                coactivation_tokens=sealing.pairs.tokens,
            )
            facts = {"coactivation_tokens": sealing.pairs.tokens, "max_per_feature": max_per_feature}
            _insert(connection, "meta", pa.table({"key": list(facts), "value": [json.dumps(fact) for fact in facts.values()]}))
            progress("writing the store")
            connection.execute("CHECKPOINT features")
        _publish(folder, manifest)
    shutil.rmtree(build, ignore_errors=True)
    return manifest


def shards(build: Path, kind: str, suffix: str = "parquet") -> list[Path]:
    """The files of the finished shards of one kind (`documents`, `contexts`, `activations`), in order."""
    return sorted(build.glob(f"{kind}-*.{suffix}"), key=lambda path: int(path.stem.rpartition("-")[2]))


def _clear(build: Path) -> None:
    """Delete what an interrupted seal left."""
    for path in build.glob("*.duckdb*"):
        path.unlink()
    for name in _TOKENS:
        (build / name).unlink(missing_ok=True)


def _copy_static(
    connection: duckdb.DuckDBPyConnection, dictionaries: Sequence[DictionaryInfo], vocabulary: Sequence[str], tables: StaticTables
) -> None:
    """Fill dictionary, vocabulary, logit_effect and neighbour."""
    _insert(
        connection,
        "vocabulary",
        pa.table({"token": np.arange(len(vocabulary), dtype=np.uint32), "text": pa.array(vocabulary, pa.large_string())}),
    )
    rows = [(i, d.name, d.offset, d.width, d.hook_in, d.hook_out, d.source) for i, d in enumerate(dictionaries)]
    names = ("dictionary", "name", "first_feature", "width", "hook_in", "hook_out", "source")
    _insert(connection, "dictionary", pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))))
    for name, table in (("logit_effect", tables.logit_effect), ("neighbour", tables.neighbour)):
        if table is not None:
            _insert(connection, name, table)


def _read_corpus(build: Path) -> Corpus:
    """The contexts of all shards as flat arrays, what there is for every token on disk."""
    lengths, documents, splits = [np.empty(0, np.int64)], [np.empty(0, np.int32)], [np.empty(0, np.uint8)]
    first = 0
    with (build / _TOKENS[0]).open("wb") as ids, (build / _TOKENS[1]).open("wb") as owners:
        for path in shards(build, "contexts"):
            table = pq.read_table(path, columns=["context", "document", "split", "ids"]).combine_chunks()
            count = len(table)
            if not np.array_equal(table["context"].to_numpy(), np.arange(first, first + count)):
                raise ValueError("contexts must be numbered from 0 in the order of their shards")
            lengths.append(pc.list_value_length(table["ids"]).to_numpy().astype(np.int64))
            documents.append(table["document"].to_numpy().astype(np.int32))
            splits.append(pc.index_in(table["split"], pa.array(SPLITS)).to_numpy().astype(np.uint8))
            ids.write(np.ascontiguousarray(pc.list_flatten(table["ids"]).to_numpy(), np.int32).data)
            owners.write(np.repeat(np.arange(first, first + count, dtype=np.uint32), lengths[-1]).data)
            first += count
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    kinds = (np.int32, np.uint32)
    flat = [np.memmap(build / name, k, "r") if starts[-1] else np.empty(0, k) for name, k in zip(_TOKENS, kinds, strict=True)]
    return Corpus(starts, np.concatenate(documents), np.concatenate(splits), *flat)


def _copy_corpus(connection: duckdb.DuckDBPyConnection, build: Path) -> None:
    """Fill document and context from the shards."""
    connection.execute(
        f"INSERT INTO document SELECT document, hash, split, source, tokens, text FROM read_parquet({_files(build, 'documents')})"
    )
    connection.execute(
        f"INSERT INTO context SELECT context, document, split, ids, starts, ends FROM read_parquet({_files(build, 'contexts')})"
    )


def _copy_activations(connection: duckdb.DuckDBPyConnection, rows: Iterator[pa.RecordBatch]) -> None:
    """Fill activation with rows that are already in order; statistics are computed while DuckDB compresses."""
    with streamed(connection, "incoming", ROWS, rows):
        connection.execute("INSERT INTO activation FROM incoming")


def _copy_statistics(connection: duckdb.DuckDBPyConnection, sealing: Sealing, dictionaries: Sequence[DictionaryInfo]) -> None:
    """Fill feature, top_token, coactivation and active_context."""
    _insert(connection, "feature", sealing.statistics.feature_table(dictionaries, sealing.sampled))
    _insert(connection, "top_token", sealing.statistics.top_token_table())
    _insert(connection, "coactivation", sealing.coactivations)
    connection.execute(
        f"INSERT INTO active_context SELECT feature, split, context FROM read_parquet({_quoted(sealing.left_out)})"
    )


def _publish(folder: Path, manifest: Manifest) -> None:
    """Move the finished database into place and write the manifest."""
    work = folder / BUILD / _WORK
    with work.open("rb+") as file:
        os.fsync(file.fileno())
    work.replace(folder / FEATURES)
    sync_folder(folder)
    write_manifest(folder, manifest)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Append the rows of an Arrow table, columns matched by name."""
    names = ", ".join(rows.column_names)
    connection.register("incoming", rows)
    connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming")
    connection.unregister("incoming")


def _counts(connection: duckdb.DuckDBPyConnection, table: str, what: str) -> dict[str, int]:
    """A count for every split."""
    found = dict(connection.execute(f"SELECT split, {what} FROM {table} GROUP BY split").fetchall())
    return {split: int(found.get(split, 0)) for split in SPLITS}


def _files(build: Path, kind: str) -> str:
    """A SQL list of the shards of a kind."""
    found = shards(build, kind)
    if not found:
        raise ValueError(f"there are no {kind} shards in {build}")
    return f"[{', '.join(map(_quoted, found))}]"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"

"""Reads from the sealed database: rows of one split (`SplitReader`), and what belongs to no split (`StaticReader`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import scipy.sparse
from jaxtyping import Float32, Int32, Int64

from .database import interruptible
from .errors import UserError
from .held import HeldActivations
from .records import SPLITS, Context, DictionaryInfo, FeatureKey, RelatedFeature, Split, TokenValue
from .tokens import ContextIndex, TokenTable, contributions

_Tokens = Int32[np.ndarray, " n"]
_CONTEXT = ("context", "document", "ids", "starts", "ends")

RECENT = 8
"""Features whose rows of a split are kept for whoever asks again: what is shown of one takes several looks."""
CLOSING = 10.0
"""Seconds that a file may take to close."""


class Database:
    """The sealed database, safe to read from several threads at once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._local = threading.local()

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with interruptible():
            return list(self._cursor().execute(query, list(parameters)).fetchall())

    def records(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """All rows of a query, their values by the names of the columns."""
        with interruptible():
            result = self._cursor().execute(query, list(parameters))
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def columns(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> dict[str, np.ndarray]:
        """All columns of a query as NumPy arrays; no value may be null."""
        with interruptible():
            given = parameters if isinstance(parameters, dict) else list(parameters)
            return dict(self._cursor().execute(query, given).fetchnumpy())

    def table(self, query: str) -> pa.Table:
        """The result of a query as an Arrow table."""
        with interruptible():
            return self._cursor().sql(query).to_arrow_table()

    def close(self) -> None:
        """Close the file, once reads that other threads are in the middle of have ended."""
        begun = time.monotonic()
        while True:
            try:
                self._connection.close()
                return
            except duckdb.OperationalError:  # it is busy
                if time.monotonic() - begun > CLOSING:
                    raise
                time.sleep(0.01)

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self._connection.cursor()
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor


class StaticReader:
    """What belongs to no split: addresses, vocabulary, decoder neighbours, logit effects."""

    def __init__(self, database: Database, dictionaries: Sequence[DictionaryInfo]) -> None:
        self._database = database
        self._dictionaries = {dictionary.name: dictionary for dictionary in dictionaries}

    def key(self, feature: int) -> FeatureKey:
        """The address of a global feature id. Raises `UserError` when there is no such feature."""
        for dictionary in self._dictionaries.values():
            if dictionary.offset <= feature < dictionary.offset + dictionary.width:
                return FeatureKey(dictionary.name, feature - dictionary.offset)
        raise UserError(f"There is no feature with the id {feature}: this store has {self.width} features, numbered from 0.")

    def id(self, address: str | int | FeatureKey) -> int:
        """The global id of a feature from its address (DICT/INDEX, INDEX where there is one dictionary) or from the id itself.

        A bare number is an id; ids and indices are the same thing in a store with one dictionary.
        Raises `UserError` for an unknown dictionary, an index out of range, or something that is no address.
        """
        if isinstance(address, int):
            self.key(address)
            return address
        name, index = self._parse(address)
        dictionary = self._dictionaries.get(name)
        if dictionary is None:
            raise UserError(f"There is no dictionary {name!r} in this store: it has {', '.join(self._dictionaries)}.")
        if not 0 <= index < dictionary.width:
            raise UserError(
                f"There is no feature {name}/{index}: {name} has {dictionary.width} features, "
                f"numbered 0 to {dictionary.width - 1}."
            )
        return dictionary.offset + index

    @property
    def dictionaries(self) -> tuple[DictionaryInfo, ...]:
        """The dictionaries, in the order of their features."""
        return tuple(self._dictionaries.values())

    @property
    def width(self) -> int:
        """Number of features in all dictionaries."""
        return sum(dictionary.width for dictionary in self._dictionaries.values())

    @cached_property
    def vocabulary(self) -> list[str]:
        """Text of every token id as it stands alone."""
        return [str(text) for (text,) in self._database.rows("SELECT text FROM vocabulary ORDER BY token")]

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " vocabulary"]:
        """Characters of each of them."""
        return np.fromiter(map(len, self.vocabulary), np.int64, len(self.vocabulary))

    def neighbours(self, feature: int) -> tuple[RelatedFeature, ...]:
        """Nearest features by cosine of the decoder directions."""
        rows = self._database.rows("SELECT other, cosine FROM neighbour WHERE feature = ? ORDER BY rank", [feature])
        return tuple(RelatedFeature(self.key(other), cosine) for other, cosine in rows)

    def logit_effects(self, feature: int, side: str) -> tuple[TokenValue, ...]:
        """Tokens whose logit the feature's direction moves most; side is `promoted` or `suppressed`."""
        rows = self._database.rows(
            "SELECT token, value FROM logit_effect WHERE feature = ? AND side = ? ORDER BY rank", [feature, side]
        )
        return tuple(TokenValue(self.vocabulary[token], value) for token, value in rows)

    def _parse(self, address: str | FeatureKey) -> tuple[str, int]:
        if isinstance(address, FeatureKey):
            return address
        name, slash, index = address.strip().rpartition("/")
        if not index.isascii() or not index.isdigit():
            raise UserError(f"{address!r} is not a feature: write DICT/INDEX, for example {next(iter(self._dictionaries))}/0.")
        if not slash and len(self._dictionaries) > 1:
            raise UserError(
                f"Say which dictionary {address!r} is in, as DICT/INDEX: this store has {', '.join(self._dictionaries)}."
            )
        return name or next(iter(self._dictionaries)), int(index)


class SplitReader:
    """Rows of one split; there is no way from here to another one."""

    def __init__(self, database: Database, static: StaticReader, split: Split) -> None:
        if split not in SPLITS:
            raise UserError(f"There is no split {split!r}: the splits are {', '.join(SPLITS)}.")
        self._database = database
        self._static = static
        self.split = split
        self._code = SPLITS.index(split)
        self._held: HeldActivations | None = None
        self._recent = lru_cache(RECENT)(self._read_activations)
        self._unstored = lru_cache(RECENT)(self._read_unstored)

    def hold(self) -> None:
        """Keep the split's tokens in memory, and its activations where they are few enough (see held.py)."""
        _ = self.tokens
        if self._held is None:
            self._held = HeldActivations.read(self._database, self.index, self._code, self._static.width)

    @cached_property
    def index(self) -> ContextIndex:
        """Where each context begins among the tokens of the split."""
        read = self._database.columns(
            "SELECT context, document, len(ids) AS length FROM context WHERE split = ? ORDER BY context", [self.split]
        )
        starts = np.concatenate([[0], np.cumsum(np.asarray(read["length"], np.int64))])
        return ContextIndex(self.split, np.asarray(read["context"], np.int64), np.asarray(read["document"], np.int64), starts)

    @cached_property
    def tokens(self) -> TokenTable:
        """All tokens of the split."""
        read = self._database.table(f"SELECT ids, starts, ends FROM context WHERE split = '{self.split}' ORDER BY context")
        flat = {name: _flat(read.column(name)) for name in ("ids", "starts", "ends")}
        texts = self._database.table(f"SELECT document, text FROM document WHERE split = '{self.split}' ORDER BY document")
        lengths = np.diff(self.index.starts)
        return TokenTable(
            split=self.split,
            ids=flat["ids"],
            row=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            position=(np.arange(len(flat["ids"])) - np.repeat(self.index.starts[:-1], lengths)).astype(np.int32),
            starts=self.index.starts,
            context_ids=self.index.context_ids,
            document=self.index.document,
            char_start=flat["starts"],
            char_end=flat["ends"],
            vocabulary=self._static.vocabulary,
            documents=texts.column("document").to_numpy().astype(np.int64),
            texts=pa.concat_arrays(
                [chunk.cast(pa.large_string()) for chunk in texts.column("text").chunks] or [pa.array([], pa.large_string())]
            ),
        )

    def activations(self, feature: int) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Places among the split's tokens at which a feature is stored as active, ascending, and its values there."""
        if self._held is not None:
            return self._held.of(feature)
        flat, values = self._recent(feature)
        return flat.copy(), values.copy()

    def _read_activations(self, feature: int) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        read = self._database.columns(
            "SELECT context, position, value FROM activation WHERE feature = ? AND split = ?", [feature, self._code]
        )
        flat = self.index.starts[self.index.rows_of(read["context"])] + read["position"]
        order = np.argsort(flat)
        return flat[order], np.asarray(read["value"], np.float32)[order]

    def matrix(self, first: int, width: int, rows: Int64[np.ndarray, " contexts"]) -> scipy.sparse.csc_matrix:
        """Stored activations of the features `first` to `first + width - 1` on the tokens of some contexts (rows of the index,
        ascending), those tokens numbered in order: (tokens, width), float32.
        """
        read = self._database.columns(
            "SELECT feature, context, position, value FROM activation WHERE feature >= ? AND feature < ? AND split = ? "
            "AND context IN (SELECT unnest(?))",
            [first, first + width, self._code, self.index.context_ids[rows].tolist()],
        )
        begins = np.concatenate([[0], np.cumsum(np.diff(self.index.starts)[rows])])
        token = begins[np.searchsorted(rows, self.index.rows_of(read["context"]))] + read["position"]
        values = np.asarray(read["value"], np.float32)
        column = read["feature"].astype(np.int64) - first
        return scipy.sparse.csc_matrix((values, (token, column)), shape=(int(begins[-1]), width))

    def together(self, feature: int, threshold: float) -> dict[str, np.ndarray]:
        """Features that fire where a feature fires: columns other, tokens and contexts (of this split) on which both fire,
        firing and firing_contexts (train tokens and contexts on which the other one fires).
        """
        if self._held is not None:
            return self._held_together(self._held, feature)
        return self._database.columns(
            "WITH mine AS (SELECT context, position FROM activation WHERE feature = $f AND split = $s AND value > $t), "
            "others AS (SELECT a.feature, a.context, a.position FROM activation a JOIN feature USING (feature) "
            "WHERE a.split = $s AND a.value > feature.threshold AND a.feature <> $f "
            "AND a.context IN (SELECT context FROM mine)) "
            "SELECT o.feature AS other, count(m.context) AS tokens, count(DISTINCT o.context) AS contexts, "
            "any_value(feature.firing) AS firing, any_value(feature.firing_contexts) AS firing_contexts "
            "FROM others o LEFT JOIN mine m USING (context, position) JOIN feature ON feature.feature = o.feature "
            "GROUP BY o.feature ORDER BY o.feature",
            {"f": feature, "s": self._code, "t": threshold},
        )

    def _held_together(self, held: HeldActivations, feature: int) -> dict[str, np.ndarray]:
        """The same from memory."""
        table = self._firing
        tokens, contexts = held.together(feature, np.asarray(table["threshold"], np.float32), self.index)
        contexts[feature] = 0
        other = np.flatnonzero(contexts)
        found = {"other": other, "tokens": tokens[other], "contexts": contexts[other]}
        return found | {name: table[name][other] for name in ("firing", "firing_contexts")}

    @cached_property
    def _firing(self) -> dict[str, np.ndarray]:
        """Threshold and train counts of all features."""
        return self._database.columns("SELECT threshold, firing, firing_contexts FROM feature ORDER BY feature")

    def top(self, feature: int, n: int) -> list[tuple[int, int, float]]:
        """The n largest activations of a feature: context, position, value."""
        query = (
            "SELECT context, position, value FROM activation WHERE feature = ? AND split = ? "
            "ORDER BY value DESC, context, position LIMIT ?"
        )
        return self._database.rows(query, [feature, self._code, n])

    def firing(self, features: Sequence[int], thresholds: Float32[np.ndarray, " width"]) -> list[Int64[np.ndarray, " rows"]]:
        """The rows of the contexts in which each of some features fires, ascending; thresholds: of all features."""
        if self._held is not None:
            each = [self._held.of(feature) for feature in features]
            fired = [flat[values > thresholds[feature]] for feature, (flat, values) in zip(features, each, strict=True)]
            return [np.unique(self.index.row_of_token(flat)) for flat in fired]
        read = self._database.columns(
            f"SELECT feature, context, value FROM activation WHERE feature IN ({', '.join(map(str, features)) or 'NULL'}) "
            "AND split = ?",
            [self._code],
        )
        fires = read["value"] > thresholds[read["feature"]]
        owner, rows = read["feature"][fires], self.index.rows_of(read["context"][fires])
        return [np.unique(rows[owner == feature]) for feature in features]

    def unstored(self, feature: int) -> Int64[np.ndarray, " n"]:
        """Rows of the contexts in which a feature is active but not stored; empty unless the store is a sample."""
        return self._unstored(feature).copy()

    def _read_unstored(self, feature: int) -> Int64[np.ndarray, " n"]:
        read = self._database.columns("SELECT context FROM active_context WHERE feature = ? AND split = ?", [feature, self._code])
        return np.sort(self.index.rows_of(read["context"]))

    def unknown_contexts(self, feature: int) -> Int64[np.ndarray, " n"]:
        """The same as numbers of contexts."""
        return np.asarray(self.index.context_ids[self.unstored(feature)], np.int64)

    def contexts(self, ids: Sequence[int]) -> list[Context]:
        """These contexts, in the order asked for. Raises `UserError` for one that is not in the split."""
        if "tokens" in self.__dict__:
            return [self._in_memory(int(i)) for i in ids]
        wanted = sorted({int(i) for i in ids})
        found = self._from_database(wanted) if wanted else {}
        missing = [i for i in wanted if i not in found]
        if missing:
            raise self._no_context(missing[0])
        return [found[int(i)] for i in ids]

    def _in_memory(self, number: int) -> Context:
        """A context from the tokens that are in memory."""
        tokens = self.tokens
        row = int(np.searchsorted(tokens.context_ids, number))
        if row == tokens.n_contexts or tokens.context_ids[row] != number:
            raise self._no_context(number)
        here = slice(int(tokens.starts[row]), int(tokens.starts[row + 1]))
        ids, starts, ends = (column[here] for column in (tokens.ids, tokens.char_start, tokens.char_end))
        return self._context(number, int(tokens.document[row]), tokens.document_text(row), ids, starts, ends)

    def _from_database(self, wanted: list[int]) -> dict[int, Context]:
        """Those of these contexts that are in the split."""
        read = self._database.columns(
            "SELECT context, document, ids, starts, ends FROM context WHERE split = ? AND context IN (SELECT unnest(?))",
            [self.split, wanted],
        )
        texts = self._database.rows(
            "SELECT document, text FROM document WHERE document IN (SELECT unnest(?::BIGINT[]))",
            [np.unique(read["document"]).tolist()],
        )
        text_of = dict(texts)
        rows = zip(*(read[name].tolist() for name in _CONTEXT), strict=True)
        return {number: self._context(number, document, text_of[document], *lists) for number, document, *lists in rows}

    def _no_context(self, number: int) -> UserError:
        return UserError(f"There is no context {number} among the {self.split} contexts of this store.")

    def _context(self, number: int, document: int, text: str, ids: _Tokens, starts: _Tokens, ends: _Tokens) -> Context:
        return Context.model_construct(
            id=number,
            document=document,
            split=self.split,
            ids=tuple(ids.tolist()),
            strings=self._strings(text, ids, starts, ends),
            offsets=tuple(zip(starts.tolist(), ends.tolist(), strict=True)),
        )

    def _strings(self, text: str, ids: _Tokens, starts: _Tokens, ends: _Tokens) -> tuple[str, ...]:
        """`contributions` of a window. Where every token adds what it is when it stands alone, as nearly everywhere, the
        vocabulary's own strings are taken, which is several times as fast.
        """
        vocabulary, lengths = self._static.vocabulary, self._static.lengths
        if len(ids) and np.array_equal(np.cumsum(lengths[ids]) + starts[0], ends):
            pieces = [vocabulary[token] for token in ids.tolist()]
            if text.startswith("".join(pieces), int(starts[0])):
                return tuple(pieces)
        return tuple(contributions(text, starts.tolist(), ends.tolist()))


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    """The values of all lists of a column, one after the other."""
    parts = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate([*parts, np.empty(0, np.int32)]).astype(np.int32, copy=False)

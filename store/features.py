"""The store: one folder that holds what a harvest found and, in the ledger, everything that is said about it later."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from .catalogue import Catalogue
from .database import open_features
from .digest import digest_tables
from .examples import Examples, Strata
from .facts import FeatureFacts
from .hashing import row_id
from .ledger import Ledger
from .manifest import FEATURES, LEDGER, Manifest, read_manifest
from .pages import store_html
from .query import MAX_ROWS, MAX_SECONDS, QueryResult, run_query
from .reading import Database, SplitReader, StaticReader
from .records import Context, DictionaryInfo, Feature, FeatureKey, Label, Liveness, Split, Stratum, SubjectInfo
from .search import search_labels
from .tokens import TokenTable
from .verdicts import Verdicts
from .view import TrainView


class Store:
    """A sealed store, open for reading; any number of processes may have it open. Also a context manager."""

    def __init__(self, path: Path, manifest: Manifest, database: Database) -> None:
        """Use `Store.open`."""
        self.path = path
        self.manifest = manifest
        self._database = database
        self._static = StaticReader(database, manifest.dictionaries)
        self._facts = FeatureFacts(database, self._static)
        self._readers: dict[str, SplitReader] = {}

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Open a finished store, read-only.

        Raises `UserError` when the folder is missing, is no store, is being written, is unfinished, or is of another version.
        """
        path = Path(path)
        manifest = read_manifest(path)
        return cls(path, manifest, Database(open_features(path / FEATURES)))

    def __repr__(self) -> str:
        tokens = sum(self.manifest.tokens.values())
        return f"Store({str(self.path)!r}: {self.subject.name}, {self._static.width:,} features, {tokens:,} tokens)"

    def _repr_html_(self) -> str:
        return store_html(self)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Store.open, (self.path,)

    @property
    def subject(self) -> SubjectInfo:
        """The language model it was harvested from."""
        return self.manifest.subject

    @property
    def dictionaries(self) -> tuple[DictionaryInfo, ...]:
        """The dictionaries, in the order of their features."""
        return self.manifest.dictionaries

    @property
    def width(self) -> int:
        """Number of features of all dictionaries; ids run from 0 to one below."""
        return self._static.width

    @property
    def vocabulary(self) -> list[str]:
        """Text of every token id as it stands alone."""
        return self._static.vocabulary

    @cached_property
    def ledger(self) -> Ledger:
        """Runs, labels and scores; made when there is none."""
        return Ledger(self.path / LEDGER)

    def key(self, feature: int) -> FeatureKey:
        """The address of a global feature id. Raises `UserError` when there is no such feature."""
        return self._static.key(feature)

    def id(self, address: str | int | FeatureKey) -> int:
        """The global id of a feature from DICT/INDEX, INDEX (where there is one dictionary) or the id itself.

        Raises `UserError` for an unknown dictionary, an index out of range, or something that is no address.
        """
        return self._static.id(address)

    def feature(self, feature: str | int | FeatureKey) -> Feature:
        """Everything known about a feature without a model."""
        number = self.id(feature)
        return Feature(
            key=self.key(number),
            id=number,
            stats=self._facts.all_stats(number),
            promoted=self._static.logit_effects(number, "promoted"),
            suppressed=self._static.logit_effects(number, "suppressed"),
            neighbours=self._static.neighbours(number),
            coactive=self._facts.coactive(number),
        )

    def features(self, liveness: Liveness | None = None) -> list[int]:
        """Ids of all features, or of those that are live, rare or dead."""
        query = "SELECT feature FROM feature" + ("" if liveness is None else " WHERE liveness = ?") + " ORDER BY feature"
        return [int(number) for (number,) in self._database.rows(query, [] if liveness is None else [liveness])]

    def stats_table(self) -> pa.Table:
        """Table `feature`: one row for every feature, with the corpus_ figures."""
        return self._database.table("SELECT * FROM feature ORDER BY feature")

    def examples(self, feature: str | int | FeatureKey, split: Split, stratum: Stratum, n: int, seed: int = 0) -> Examples:
        """At most n examples of a stratum (see store/examples.py).
        Raises `UserError` for an unknown feature, split or stratum.
        """
        strata = Strata(self._reader(split), self._reader("train"), self._facts)
        return strata.examples(self.id(feature), stratum, n, seed)

    def top(self, feature: str | int | FeatureKey, split: Split, n: int) -> list[tuple[int, int, float]]:
        """The n largest activations of a feature: context, position, value."""
        return self._reader(split).top(self.id(feature), n)

    def contexts(self, ids: Sequence[int]) -> list[Context]:
        """These contexts, of any split, in the order asked for. Raises `UserError` for one that is not there."""
        wanted = ", ".join(str(int(i)) for i in ids) or "NULL"
        splits = dict(self._database.rows(f"SELECT context, split FROM context WHERE context IN ({wanted})"))
        missing = [i for i in ids if int(i) not in splits]
        if missing:
            self._reader("train").contexts(missing)
        found: dict[int, Context] = {}
        for split in set(splits.values()):
            found |= {
                context.id: context for context in self._reader(split).contexts([i for i, s in splits.items() if s == split])
            }
        return [found[int(i)] for i in ids]

    def values(self, feature: str | int | FeatureKey, contexts: Sequence[int]) -> dict[int, Float32[np.ndarray, " length"]]:
        """The stored activations of a feature at every token of these contexts, of any split."""
        wanted = ", ".join(str(int(i)) for i in contexts) or "NULL"
        lengths = self._database.rows(f"SELECT context, len(ids) FROM context WHERE context IN ({wanted})")
        found = {number: np.zeros(length, np.float32) for number, length in lengths}
        query = f"SELECT context, position, value FROM activation WHERE feature = ? AND context IN ({wanted})"
        for number, position, value in self._database.rows(query, [self.id(feature)]):
            found[number][position] = value
        return found

    def tokens(self, split: Split) -> TokenTable:
        """All tokens of a split; read once, then kept."""
        return self._reader(split).tokens

    def activations(
        self, feature: str | int | FeatureKey, split: Split
    ) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Indices into `tokens(split)` at which a feature is active, ascending, and its values there."""
        return self._reader(split).activations(self.id(feature))

    def unknown_contexts(self, feature: str | int | FeatureKey, split: Split) -> Int64[np.ndarray, " n"]:
        """Numbers of the contexts in which a feature is active but its values are not stored;
        empty unless the store is a sample.
        """
        return self._reader(split).unknown_contexts(self.id(feature))

    def train_view(self) -> TrainView:
        """What explainers and agents may see: train rows only."""
        return TrainView(self._database, self._static, self._reader("train"))

    def search(self, text: str, n: int = 20) -> list[Label]:
        """Labels that hold the words of `text`, the best match first."""
        return search_labels(self.ledger.labels(), text, n)

    def catalogue(self, verdicts: Verdicts, scorers: Sequence[str]) -> Catalogue:
        """All features in one table, with their labels, their scores by these scorers, and what people said of them."""
        return Catalogue(self._database, self._static, self.ledger, verdicts, scorers)

    def sql(self, query: str, max_rows: int = MAX_ROWS, max_seconds: float = MAX_SECONDS) -> QueryResult:
        """The result of a SELECT over the store's tables and the ledger's (see store/README.md).

        Read-only, without access to files or the network, bounded in rows, time and memory. Raises `UserError` for anything
        else than one SELECT, for a query that is wrong or takes too long.
        """
        return run_query(self.path / FEATURES, self.ledger, query, max_rows=max_rows, max_seconds=max_seconds)

    def digest(self) -> str:
        """A hash over every row of every table and the manifest: equal for stores that hold the same,
        whatever happened on the way.
        """
        return row_id(self.digest_tables())

    def digest_tables(self) -> dict[str, str]:
        """The same for each table apart; the ledger's without times."""
        return digest_tables(self._database, self.manifest, self.ledger)

    def close(self) -> None:
        """Close the files."""
        self._database.close()
        if "ledger" in self.__dict__:
            self.ledger.close()

    def _reader(self, split: Split) -> SplitReader:
        if split not in self._readers:
            self._readers[split] = SplitReader(self._database, self._static, split)
        return self._readers[split]

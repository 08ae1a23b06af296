"""The one pass over the sorted activations: statistics and co-activation are computed from all rows,
and the rows to keep go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool

from .blocks import Block, Corpus
from .coactivation import Coactivation
from .sampling import kept_rows
from .statistics import Statistics

ROWS = pa.schema(
    {"feature": pa.uint32(), "split": pa.uint8(), "context": pa.uint32(), "position": pa.uint16(), "value": pa.float32()}
)
_LEFT_OUT = pa.schema({"feature": pa.uint32(), "split": pa.uint8(), "context": pa.uint32()})


class Sealing:
    """What the pass collects."""

    def __init__(self, corpus: Corpus, width: int, activations: int, max_per_feature: int | None, build: Path) -> None:
        """activations: number of rows that will come in."""
        self.statistics = Statistics(width, corpus)
        self.pairs = Coactivation(width, corpus, activations)
        self.sampled = np.zeros(width, bool)
        """Features of which some rows are left out."""
        self.seen = self.kept = 0
        """Rows that came in and rows that went on."""
        self.left_out = build / "left-out.parquet"
        """Active contexts whose rows are left out: feature, split, context."""
        self.coactivations = pa.table({})
        """Rows of table `coactivation`, once all rows are read."""
        self._corpus, self._max_per_feature = corpus, max_per_feature

    def rows(self, blocks: Iterable[Block]) -> Iterator[pa.RecordBatch]:
        """The rows to store, of schema ROWS; the pass runs as they are read, and ends with the table of co-activations."""
        with pq.ParquetWriter(self.left_out, _LEFT_OUT) as left_out:
            for block in blocks:
                self.pairs.add(block, self.statistics.add(block))
                columns = [block.feature, block.split, block.context, block.position(self._corpus), block.value]
                self.seen += len(block)
                if self._max_per_feature is not None:
                    keep = kept_rows(block, self._max_per_feature)
                    self._leave_out(block, ~keep, left_out)
                    columns = [column[keep] for column in columns]
                self.kept += len(columns[0])
                yield pa.record_batch(columns, schema=ROWS)
        self.coactivations = self.pairs.table()

    def _leave_out(self, block: Block, out: Bool[np.ndarray, " rows"], left_out: pq.ParquetWriter) -> None:
        self.sampled[block.feature[out]] = True
        rest = np.stack([block.feature, block.split, block.context], axis=1)[out]
        feature, split, context = np.unique(rest, axis=0).T
        left_out.write(pa.table([feature, split.astype(np.uint8), context], schema=_LEFT_OUT))

"""Rows of a table to a file and back: CSV or Parquet, by the file's ending."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from dragoman.store.ledger import clean

from .parsing import Fields, shown, unreadable

Kind = Literal["text", "number", "whole", "truth", "texts", "numbers"]
"""What a column holds: a text, a real or whole number, yes or no, a list of texts or of numbers."""
TEXT: Kind = "text"
NUMBER: Kind = "number"
WHOLE: Kind = "whole"
TRUTH: Kind = "truth"
TEXTS: Kind = "texts"
NUMBERS: Kind = "numbers"
_TYPES = {
    "text": pa.large_string(),
    "number": pa.float64(),
    "whole": pa.int64(),
    "truth": pa.bool_(),
    "texts": pa.list_(pa.large_string()),
    "numbers": pa.list_(pa.float64()),
}
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a text begins that a spreadsheet may execute, or one that has been made harmless before."""
_LARGEST = 1 << 28
"""Characters in a field of a CSV file at most; Python's own limit is smaller than a large token."""


class Sheet(Protocol):
    """A table that is being written."""

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows; columns that a row does not have are empty, entries that are no column are passed over."""
        ...


@contextmanager
def open_sheet(path: Path, columns: Mapping[str, Kind], wanted: bool = True) -> Iterator[Sheet]:
    """A table to write; without a file where it is not wanted."""
    if not wanted:
        yield _Nowhere()
    elif path.suffix == ".parquet":
        schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            yield _Parquet(writer, schema, columns)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield _Csv(csv.writer(file), columns)


class _Nowhere:
    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Nothing."""


class _Parquet:
    def __init__(self, writer: Any, schema: pa.Schema, columns: Mapping[str, Kind]) -> None:
        self._writer, self._schema, self._columns = writer, schema, columns

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows."""
        found = [{name: _clean(row.get(name)) for name in self._columns} for row in rows]
        if found:
            self._writer.write_table(pa.Table.from_pylist(found, self._schema))


class _Csv:
    def __init__(self, writer: Any, columns: Mapping[str, Kind]) -> None:
        self._writer, self._columns = writer, columns
        writer.writerow(columns)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows."""
        for row in rows:
            self._writer.writerow([_cell(row.get(name), kind) for name, kind in self._columns.items()])


def _cell(value: Any, kind: Kind) -> str:
    """A value as the text of a field."""
    if value is None:
        return ""
    if kind in ("texts", "numbers"):
        return json.dumps(list(value), ensure_ascii=True)
    if kind == "truth":
        return "true" if value else "false"
    return harmless(clean(value)) if kind == "text" else repr(value)


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: ' before those that begin like one. `as_meant` takes it away."""
    return "'" + text if _FORMULA.match(text) else text


def as_meant(text: str) -> str:
    """The text that `harmless` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (list, tuple)):
        return [_clean(entry) for entry in value]
    return value


def read_sheet(path: Path) -> Iterator[Fields]:
    """The rows of a table. Raises `UserError` when it is none."""
    return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)


def _read_parquet(path: Path) -> Iterator[Fields]:
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(4096):
                for row in batch.to_pylist():
                    number += 1
                    yield Fields(row, f"{path}, row {number}")
    except (pa.ArrowException, OSError) as error:
        raise unreadable(str(path), f"it is no Parquet file ({type(error).__name__})") from None


def _read_csv(path: Path) -> Iterator[Fields]:
    before = csv.field_size_limit(_LARGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            names = next(rows, [])
            while True:
                csv.field_size_limit(_LARGEST)
                row = next(rows, None)
                if row is None:
                    return
                place = f"{path}, line {rows.line_num}"
                if row and len(row) != len(names):
                    raise unreadable(place, f"it has {len(row)} fields and the first line names {len(names)}")
                if row:
                    yield _Row({name: as_meant(text) or None for name, text in zip(names, row, strict=True)}, place)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise unreadable(str(path), f"it is no CSV file in UTF-8 ({type(error).__name__})") from None
    finally:
        csv.field_size_limit(before)


class _Row(Fields):
    """A row of texts, some of which are numbers."""

    def number(self, name: str, default: Any = None) -> Any:
        """A finite number."""
        text = self.value.get(name)
        try:
            return default if text is None else self._finite(name, float(text))
        except ValueError:
            self.fail(f"{name} is {shown(text)}, not a number")

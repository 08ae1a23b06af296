"""Documents from text files, JSON, JSON Lines, Parquet, a folder of these, or a Hugging Face dataset, streamed.

- .txt: cut at blank lines, or at another separator.
- .json: a list of strings or of objects with a text field. .jsonl: a string or such an object on every line.
- .parquet: a column of texts, read in row groups.
- a folder: all such files in it and below, sorted by their paths.
- anything else: the name of a Hugging Face dataset, its `train` split (`NAME@SPLIT` for another), read as a stream.

NUL bytes, lone surrogates and bytes that are not UTF-8 are replaced by U+FFFD and counted. Empty documents are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.store.errors import UserError

_SUFFIXES = (".txt", ".json", ".jsonl", ".parquet")
_BAD = re.compile("[\0\ud800-\udfff]")
_PIECE = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")


class Document(NamedTuple):
    """One text."""

    text: str
    """The text, cleaned."""
    source: str
    """File name and number in the file, or dataset name and row."""


@dataclass
class Corpus:
    """Documents that can be read again and again in the same order."""

    place: str
    """File, folder or dataset name."""
    separator: str | None = None
    """What separates documents in .txt files; blank lines by default."""
    text_field: str = "text"
    """Field or column that holds the text, where there are several."""
    cleaned: int = field(default=0, init=False)
    """Documents of the last reading in which characters were replaced."""

    def __post_init__(self) -> None:
        if self.separator == "":
            raise UserError("The separator is empty: give a string, or leave it out to cut at blank lines.")
        if self.separator is not None:
            self.separator = self.separator.encode().decode("unicode_escape") if "\\" in self.separator else self.separator
        self.files = _files(Path(self.place))

    def __iter__(self) -> Iterator[Document]:
        """All documents, in the order of the corpus.

        Raises:
            UserError: a file cannot be read, or there are no documents at all.
        """
        self.cleaned, empty = 0, True
        for text, source in self._read():
            clean = _BAD.sub("\ufffd", text)
            if not clean.strip():
                continue
            self.cleaned += clean != text or "\ufffd" in text
            empty = False
            yield Document(clean, source)
        if empty:
            raise UserError(f"{self.place} holds no text: give a file, folder or dataset with documents.")

    @property
    def bytes(self) -> int | None:
        """Size of the files; None for a dataset on the hub."""
        return sum(f.stat().st_size for f in self.files) if self.files else None

    def _read(self) -> Iterator[tuple[str, str]]:
        if not self.files:
            yield from _dataset(self.place, self.text_field)
        for file in self.files:
            try:
                for number, text in enumerate(self._read_file(file)):
                    yield text, f"{file.name}:{number}"
            except OSError as error:
                raise UserError(f"{file} cannot be read: {error.strerror or error}.") from None

    def _read_file(self, file: Path) -> Iterator[str]:
        match file.suffix:
            case ".json":
                yield from _json(file, self.text_field)
            case ".jsonl":
                yield from _json_lines(file, self.text_field)
            case ".parquet":
                yield from _parquet(file, self.text_field)
            case _:
                yield from _text(file, self.separator)


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        files = sorted(f for f in place.rglob("*") if f.suffix in _SUFFIXES and f.is_file())
        if not files:
            raise UserError(f"The folder {place} holds no {', '.join(_SUFFIXES)} files.")
        return files
    if place.is_file():
        return [place]
    if place.suffix in _SUFFIXES or str(place).startswith((".", "/", "~")):
        raise UserError(f"There is no text file {place}.")
    return []


def _text(file: Path, separator: str | None) -> Iterator[str]:
    """Cut at the separator; memory holds one document and a piece of the file."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        if separator is None:
            lines: list[str] = []
            for line in stream:
                if line.strip():
                    lines.append(line)
                elif lines:
                    yield "".join(lines).removesuffix("\n")
                    lines = []
            yield "".join(lines).removesuffix("\n")
        else:
            rest = ""
            while piece := stream.read(_PIECE):
                *done, rest = (rest + piece).split(separator)
                yield from done
            yield rest


def _json(file: Path, text_field: str) -> Iterator[str]:
    """The entries of a JSON list, decoded one after the other."""
    decode = json.JSONDecoder().raw_decode
    with file.open(encoding="utf-8", errors="replace") as stream:
        rest = ""
        while not rest and (piece := stream.read(_PIECE)):
            rest = piece.lstrip("\ufeff \t\r\n")
        if not rest.startswith("["):
            raise UserError(f"{file} must hold a JSON list of strings or of objects with a text field.")
        at, number = 1, 0
        while True:
            at = _BETWEEN.match(rest, at).end()  # type: ignore[union-attr]
            if rest.startswith("]", at):
                return
            try:
                row, at = decode(rest, at)
            except ValueError as error:
                more = stream.read(max(_PIECE, len(rest) - at))
                if not more:
                    raise UserError(f"{file} is not valid JSON after entry {number} ({error}).") from None
                rest, at = rest[at:] + more, 0
                continue
            yield _field(row, text_field, f"{file}, entry {number}")
            number += 1


def _json_lines(file: Path, text_field: str) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise UserError(f"{file}, line {number} is not valid JSON ({error}).") from None
                yield _field(row, text_field, f"{file}, line {number}")


def _parquet(file: Path, text_field: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            strings = [f.name for f in table.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
            column = text_field if text_field in strings or len(strings) != 1 else strings[0]
            if column not in strings:
                raise UserError(
                    f"{file} has no text column {text_field!r}; it has {', '.join(strings) or 'none'}: use --text-field."
                )
            for batch in table.iter_batches(batch_size=1024, columns=[column]):
                yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except pa.ArrowException as error:
        raise UserError(f"{file} is not a readable Parquet file ({error}).") from None


def _dataset(place: str, text_field: str) -> Iterator[tuple[str, str]]:
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"There is no file or folder {place}; to read it as a Hugging Face dataset, pip install datasets."
        ) from None
    name, _, split = place.partition("@")
    try:
        rows: Any = datasets.load_dataset(name, split=split or "train", streaming=True)
        for number, row in enumerate(rows):
            yield _field(row, text_field, f"{name}, row {number}"), f"{name}:{number}"
    except UserError:
        raise
    except Exception as error:  # the library raises its own, requests', fsspec's and plain ones
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(
            f"There is no file or folder {place}, and it cannot be read as a Hugging Face dataset ({reason})."
        ) from None


def _field(row: Any, text_field: str, where: str) -> str:
    if isinstance(row, str):
        return row
    if isinstance(row, dict):
        if isinstance(row.get(text_field), str):
            return str(row[text_field])
        strings = [key for key, value in row.items() if isinstance(value, str)]
        raise UserError(f"{where} has no text field {text_field!r}; it has {', '.join(strings) or 'none'}: use --text-field.")
    raise UserError(f"{where} is neither a string nor an object with a text field.")

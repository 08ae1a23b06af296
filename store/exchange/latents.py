"""delphi's cached latents: for every range of features a safetensors file with all their train activations.

`locations` (n, 3) are row of the window, position and feature minus the first of the range; `activations` (n) the values;
`tokens` (windows, positions) the ids. Windows shorter than the longest are filled up at the end; `lengths` says how long each
is, and `contexts` which window of the store: delphi reads neither, and shows the filling as text. Values are float32, where
delphi halves them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int64
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dragoman.store.database import open_features
from dragoman.store.features import Store
from dragoman.store.manifest import FEATURES
from dragoman.store.reading import Database
from dragoman.store.records import DictionaryInfo

from .cards import Count, Source
from .parsing import unreadable

ROWS = 4_000_000
"""Activations in a file, except where one feature alone has more."""
FILLING = ("<pad>", "[PAD]", "<|padding|>", "<|endoftext|>", "</s>", "<eos>")
"""Tokens that fill up short windows: the first of them that the vocabulary has, else token 0."""


@dataclass(frozen=True)
class Latents:
    """One file of cached latents."""

    locations: Int64[np.ndarray, "n 3"]
    """Row of the window, position, and feature: the number in its dictionary."""
    activations: Float[np.ndarray, " n"]
    """The values there."""
    tokens: Int[np.ndarray, "windows positions"] | None
    """Token ids, where the file has them."""
    lengths: Int64[np.ndarray, " windows"] | None
    """Tokens of each window without the filling, where the file says so."""
    contexts: Int64[np.ndarray, " windows"] | None
    """Number of each window in its store, where the file says so."""


def write(store: Store, dictionary: DictionaryInfo, source: Source, folder: Path) -> Count:
    """Write latents/HOOKPOINT/FIRST_LAST.safetensors and config.json."""
    database = Database(open_features(store.path / FEATURES))
    place = folder / "latents" / source.hook.replace("/", "--")
    place.mkdir(parents=True)
    count = Count()
    windows = _windows(database, store.vocabulary)
    for first, last in _ranges(database, dictionary):
        read = database.columns(
            "SELECT feature, context, position, value FROM activation WHERE feature >= ? AND feature <= ? AND split = 0 "
            "ORDER BY feature, context, position",
            [dictionary.offset + first, dictionary.offset + last],
        )
        row = np.searchsorted(windows["contexts"], read["context"])
        small = max(last - first + 1, len(windows["contexts"]), source.window) < 2**16
        columns = (row, read["position"], read["feature"].astype(np.int64) - dictionary.offset - first)
        locations = np.stack([np.asarray(c, np.uint16 if small else np.uint32) for c in columns], axis=1)
        found = {"locations": locations, "activations": np.asarray(read["value"], np.float32), **windows}
        save_file(found, place / f"{first}_{last}.safetensors")
        count.files += 1
        count.features += last - first + 1
    tokens = int(windows["lengths"].sum())
    shape = {"ctx_len": source.window, "batch_size": 1, "n_tokens": tokens, "n_splits": count.files, "model_name": source.model}
    text = {"dataset_repo": source.corpus, "dataset_split": "train", "dataset_name": "", "dataset_column": "text"}
    count.files += 1
    (place / "config.json").write_text(json.dumps({**shape, **text}), "ascii")
    count.less("windows filled up to the longest", int((windows["lengths"] < source.window).sum()))
    database.close()
    return count


def _windows(database: Database, vocabulary: Sequence[str]) -> dict[str, np.ndarray]:
    """The train windows as one rectangle, with their lengths and numbers."""
    table = database.table("SELECT context, ids FROM context WHERE split = 'train' ORDER BY context")
    lists = table.column("ids").combine_chunks()
    lengths = np.asarray(lists.value_lengths().to_numpy(zero_copy_only=False), np.int64)
    filling = next((vocabulary.index(token) for token in FILLING if token in vocabulary), 0)
    tokens = np.full((len(lengths), int(lengths.max(initial=0))), filling, np.int32)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy()
    return {"tokens": tokens, "lengths": lengths, "contexts": table.column("context").to_numpy().astype(np.int64)}


def _ranges(database: Database, dictionary: DictionaryInfo) -> Iterator[tuple[int, int]]:
    """Ranges of features that cover the dictionary: first and last."""
    query = "SELECT active FROM feature WHERE feature >= ? AND feature < ? ORDER BY feature"
    rows = np.cumsum(database.columns(query, [dictionary.offset, dictionary.offset + dictionary.width])["active"])
    first = 0
    while first < dictionary.width:
        before = int(rows[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(rows, before + ROWS, side="right")))
        yield first, end - 1
        first = end


def read(path: Path) -> Latents:
    """One file, delphi's or ours. Raises `UserError` for anything else."""
    try:
        found = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(str(path), f"it is no safetensors file of numbers ({type(error).__name__})") from None
    first = path.stem.split("_")[0]
    locations, values = found.get("locations"), found.get("activations")
    if not first.isdigit() or locations is None or values is None or locations.ndim != 2 or locations.shape[1:] != (3,):
        raise unreadable(str(path), "it is no FIRST_LAST.safetensors with locations (n, 3) and activations (n)")
    if values.shape != locations.shape[:1]:
        raise unreadable(str(path), f"it has {len(locations)} locations and {values.size} activations")
    where = locations.astype(np.int64) + np.array([0, 0, int(first)])
    return Latents(where, values, found.get("tokens"), found.get("lengths"), found.get("contexts"))

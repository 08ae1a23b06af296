"""Text through programs into a store: a harvest without a model.

The store keeps what its features are made of in its own folder: `source/programs.json`, and the tokenizer in
`source/tokenizer`. The manifest names them, with their hashes, so that a workbench builds the source again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dragoman.store.disk import disk_errors
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.records import DictionaryInfo, SubjectInfo
from dragoman.store.seal import StaticTables
from dragoman.tools.documents import Corpus
from dragoman.tools.fingerprint import files_hash
from dragoman.tools.forward import Found
from dragoman.tools.harvest import Making, fill, finished_store
from dragoman.tools.harvest_config import SHARD_TOKENS, HarvestConfig
from dragoman.tools.shards import Shard
from dragoman.tools.speaking import TokenizerSpeaker, Voice

from .program import Program
from .source import FORMAT, ProgramSource, read_programs, write_programs

PROGRAMS = "source/programs.json"
"""Where a store keeps its programs."""
_TOKENIZER = "source/tokenizer"


def harvest_programs(
    store_path: Path | str,
    programs: Sequence[Program],
    voice: Voice,
    text: str | Path | Corpus,
    *,
    name: str = "made",
    window: int = 128,
    more: Mapping[str, object] | None = None,
    neighbours: pa.Table | None = None,
    progress: bool = True,
) -> Store:
    """Make a store of made features, or go on with one that was interrupted.

    Args:
        store_path: folder of the store.
        programs: the features.
        voice: the tokenizer.
        text: as for `harvest`.
        name: of the dictionary.
        window: tokens of a window.
        more: what else the manifest shall say of the plan, as JSON.
        neighbours: columns as of `StaticTables.neighbour`.
        progress: show the projected size and a progress bar on stderr.

    Raises:
        UserError: a finished store is there that was made with other settings, there are too few documents, a full disk …
    """
    store_path, corpus = Path(store_path), text if isinstance(text, Corpus) else Corpus(str(text))
    kept = json.dumps([program.to_json() for program in programs], sort_keys=True)
    plan: dict[str, object] = {
        "format": 1,
        "programs": hashlib.sha256(kept.encode()).hexdigest(),
        "tokenizer": voice.tokenizer_hash,
        "text": Path(corpus.place).name,
        "text_hash": files_hash(corpus.files) if corpus.files else None,
        "window": window,
        "name": name,
        **(more or {}),
    }
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    if (store_path / "manifest.json").exists():
        return finished_store(store_path, digest)
    source = ProgramSource(voice.vocabulary, programs)
    info = DictionaryInfo(
        name=name,
        source=PROGRAMS,
        format=FORMAT,
        architecture=FORMAT,
        hook_in="text",
        hook_out="text",
        width=source.width,
        offset=0,
        weights_hash=str(plan["programs"]),
        variance_unexplained=None,
    )
    making = Making(
        speaker=voice,
        info=_nobody(voice),
        forward=_Pass(source),
        infos=lambda _: [info],
        tables=lambda: StaticTables(neighbour=neighbours),
    )
    config = HarvestConfig(corpus, window, False, False, None, None, 1, SHARD_TOKENS)
    with write_lock(store_path), disk_errors("harvesting", store_path):
        (store_path / PROGRAMS).parent.mkdir(exist_ok=True)
        write_programs(store_path / PROGRAMS, programs)
        voice.save(store_path / _TOKENIZER)
        fill(store_path, making, config, plan, digest, progress)
    return Store.open(store_path)


def voice_of(store: Store) -> Voice:
    """The tokenizer of a store of made features.

    Raises:
        UserError: it is gone, or another one.
    """
    voice = Voice.load(store.path / _TOKENIZER, store.subject.name)
    if voice.tokenizer_hash != store.subject.tokenizer_hash:
        raise UserError(f"The tokenizer in {store.path / _TOKENIZER} changed since the store was made: make the store again.")
    return voice


def source_of(store: Store, info: DictionaryInfo, speaker: TokenizerSpeaker) -> ProgramSource:
    """The features of such a dictionary of a store.

    Raises:
        UserError: the programs are gone, cannot be read, or are others.
    """
    programs = read_programs(store.path / PROGRAMS)
    kept = json.dumps([program.to_json() for program in programs], sort_keys=True)
    if hashlib.sha256(kept.encode()).hexdigest() != info.weights_hash:
        raise UserError(f"The programs in {store.path / PROGRAMS} changed since the store was made: make the store again.")
    return ProgramSource(speaker.vocabulary, programs)


class _Pass:
    """Reads the windows of shards with a source."""

    def __init__(self, source: ProgramSource) -> None:
        self.source, self.width = source, source.width

    def run(self, shards: Iterable[Shard]) -> Generator[Found]:
        """A batch a shard."""
        for shard in shards:
            windows = shard.windows
            found = self.source.activations(windows.rows(np.arange(len(windows.owner))))
            place = windows.bounds[found.row] + found.position + shard.first_token
            activations = [(found.feature, shard.splits[found.row], place, found.value)]
            yield Found(shard, int(windows.bounds[-1]), activations, {})

    def activations_a_token(self, windows: Sequence[np.ndarray]) -> float:
        """Activations of all features on some windows, by their tokens."""
        tokens = sum(map(len, windows))
        return len(self.source.activations(windows).value) / tokens if tokens else 0.0


def _nobody(voice: Voice) -> SubjectInfo:
    """The manifest's words for a store without a model."""
    return SubjectInfo(
        name=f"no model, tokenizer of {Path(voice.name).name}",
        family="none",
        layers=0,
        d_model=0,
        vocabulary=len(voice.vocabulary),
        weights_hash="",
        tokenizer_hash=voice.tokenizer_hash,
        prepend_bos=False,
    )

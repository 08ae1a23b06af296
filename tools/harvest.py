"""Harvest: text through a subject and its dictionaries into a store, in one streaming pass.

1. The configuration is resolved and hashed; an unfinished harvest with the same hash goes on, any other is refused.
2. Documents are read in order, by another thread, and collected into shards of a fixed number of tokens, so that the shards, and
   the batches inside them, depend on the input alone. Finished shards are skipped.
3. A shard's windows run through the model up to the last hook point needed; what the dictionaries find is written to disk.
4. The tables that are made once per dictionary follow (linear logit effects, decoder neighbours).
5. The store is sealed.

Memory holds three shards of tokens, a few batches of activations and about a million rows on their way to disk, whatever the
corpus.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from dragoman.store.disk import disk_errors
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.records import SPLITS, DictionaryInfo, SubjectInfo
from dragoman.store.seal import StaticTables, seal
from dragoman.store.streams import ahead

from .dictionaries import Dictionary, load_all
from .documents import Corpus
from .forward import Clock, ForwardPass, Reader
from .harvest_config import SHARD_TOKENS, HarvestConfig, resolve
from .logits import logit_effects
from .neighbours import neighbours
from .progress import Progress
from .projection import Projection, project
from .scale import with_scales
from .shards import Fit, Rest, Shard, ShardWriter, finished, open_plan
from .speaking import TokenizerSpeaker
from .subject import Subject
from .windows import TokenizedDocument, cut, tokenized

log = logging.getLogger(__name__)

IMPLAUSIBLE = 0.7
"""A fraction of variance unexplained above this means that the dictionary was most likely loaded wrongly."""
MIN_DOCUMENTS = 20
"""Documents that every split needs."""


def harvest(
    store_path: Path | str,
    model: str | Path | Subject,
    dictionaries: Sequence[str] | Sequence[Dictionary],
    text: str | Path | Corpus,
    *,
    window: int | None = None,
    separator: str | None = None,
    text_field: str = "text",
    limit_tokens: int | None = None,
    max_per_feature: int | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    include_special: bool = False,
    progress: bool = True,
    shard_tokens: int = SHARD_TOKENS,
    clock: Clock | None = None,
) -> Store:
    """Make a store, or go on with one that was interrupted; the same command does both.

    Args:
        store_path: folder of the store.
        model: folder or hub id of a causal LM, or a loaded Subject.
        dictionaries: specs (see `dictionaries.load`) or loaded dictionaries.
        text: file, folder, dataset name (see `documents`) or a Corpus.
        window: tokens of a window, BOS not counted; by default the dictionaries' context_size, else 128.
        separator: what separates documents in .txt files; blank lines by default.
        text_field: field or column that holds the text.
        limit_tokens: stop after the document that reaches so many tokens.
        max_per_feature: keep at most about so many activations a feature; statistics stay exact.
        batch_size: windows a forward pass.
        device, dtype: as for `Subject.load`.
        include_special: keep special tokens other than BOS, EOS and PAD that stand in the text.
        progress: show the projected size and a progress bar on stderr.
        shard_tokens: tokens between two points from which an interrupted harvest can go on.
        clock: filled with the seconds spent on each part, for benchmarks.

    Raises:
        UserError: anything that the user can mend: missing files, a dictionary that does not fit, too few documents, a full
            disk …
    """
    store_path = Path(store_path)
    subject = model if isinstance(model, Subject) else Subject.load(model, device, dtype)
    loaded = [d for d in dictionaries if not isinstance(d, str)] or load_all(
        [d for d in dictionaries if isinstance(d, str)], subject
    )
    corpus = text if isinstance(text, Corpus) else Corpus(str(text), separator, text_field)
    config = resolve(
        subject,
        loaded,
        corpus,
        window=window,
        include_special=include_special,
        limit_tokens=limit_tokens,
        max_per_feature=max_per_feature,
        batch_size=batch_size,
        shard_tokens=shard_tokens,
    )
    loaded = with_scales(subject, loaded, config.text, config.window, config.prepend_bos)
    described = config.describe(subject, loaded)
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    if (store_path / "manifest.json").exists():
        return finished_store(store_path, digest)
    forward = ForwardPass(subject, loaded, config.prepend_bos, config.batch_size)
    if clock is not None:
        forward.clock = clock
    making = Making(
        speaker=subject,
        info=subject.info.model_copy(update={"prepend_bos": config.prepend_bos}),
        forward=forward,
        infos=lambda done: _infos(loaded, done),
        tables=lambda: StaticTables(logit_effects(subject, loaded), neighbours(loaded)),
        parts=forward.clock.parts,
    )
    with write_lock(store_path), disk_errors("harvesting", store_path):
        fill(store_path, making, config, described, digest, progress)
    return Store.open(store_path)


@dataclass(frozen=True)
class Making:
    """What a store is filled from: a subject with dictionaries, or another source of features."""

    speaker: TokenizerSpeaker
    """Cuts the text into tokens."""
    info: SubjectInfo
    """What the manifest says of the model."""
    forward: Reader
    """Finds the activations."""
    infos: Callable[[Sequence[Rest]], list[DictionaryInfo]]
    """What the manifest says of the dictionaries, once all shards are done."""
    tables: Callable[[], StaticTables]
    """What is computed from weights alone."""
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds spent."""


def fill(store_path: Path, making: Making, config: HarvestConfig, described: dict[str, object], digest: str, show: bool) -> None:
    """All shards, the static tables, and the seal."""
    build, parts, forward, subject = store_path / "build", making.parts, making.forward, making.speaker
    open_plan(build, digest, described, " ".join(sys.argv))
    done = finished(build)
    projection = project(subject, config, forward)
    _check_space(store_path, projection)
    with Progress(show, projection, sum(rest.tokens for rest in done)) as bar:
        with ahead(_shards(subject, config, done), 1) as shards, closing(forward.run(shards)) as found:
            for shard, batches in groupby(found, lambda batch: batch.shard):
                with ShardWriter(build, shard, forward.width) as writer:
                    fits: dict[str, Fit] = {}
                    for batch in batches:
                        for columns in batch.activations:
                            writer.add(*columns)
                        fits |= {name: fits.get(name, Fit()) + fit for name, fit in batch.fits.items()}
                        bar.advance(batch.tokens)
                    done.append(writer.finish(fits))
        if config.text.cleaned:
            log.warning(
                "%d documents held NUL bytes, lone surrogates or bytes that are not UTF-8; U+FFFD stands for them.",
                config.text.cleaned,
            )
        _check_splits(done)
        infos = making.infos(done)
        bar.say("logit effects and neighbours")
        start = time.perf_counter()
        tables = making.tables()
        parts["static"] = time.perf_counter() - start
        bar.say("sealing the store")
        start = time.perf_counter()
        seal(
            store_path,
            subject=making.info,
            dictionaries=infos,
            vocabulary=subject.vocabulary,
            plan={**described, "hash": digest, "implausible": [i.name for i in infos if _implausible(i)]},
            tables=tables,
            max_per_feature=config.max_per_feature,
        )
        parts["seal"] = time.perf_counter() - start


def _shards(subject: TokenizerSpeaker, config: HarvestConfig, done: Sequence[Rest]) -> Iterator[Shard]:
    """The shards that are not done."""
    special = np.array(sorted(subject.special_ids(config.include_special)), np.int32)
    number, context, total = len(done), done[-1].next_context if done else 0, sum(rest.tokens for rest in done)
    documents: list[TokenizedDocument] = []
    held = 0

    def shard() -> Shard:
        nonlocal documents, held, number, context
        made = Shard(number, documents, cut(documents, config.window), context, total - held)
        documents, held, number, context = [], 0, number + 1, context + len(made.windows.owner)
        return made

    for document in tokenized(subject, config.text, special, done[-1].next_document if done else 0):
        if config.limit_tokens is not None and total >= config.limit_tokens:
            break
        documents.append(document)
        count = len(document.tokens.ids)
        total, held = total + count, held + count
        if held >= config.shard_tokens:
            yield shard()
    if documents:
        yield shard()


# Checks and facts


def finished_store(store_path: Path, digest: str) -> Store:
    """A store that is there already. Raises `UserError` where it was made with other settings."""
    store = Store.open(store_path)
    if store.manifest.plan.get("hash") != digest:
        raise UserError(f"{store_path} is a finished store made with other settings: use another --store, or delete it.")
    return store


def _check_space(store_path: Path, projection: Projection) -> None:
    free = shutil.disk_usage(store_path).free
    if projection.peak_bytes > free:
        raise UserError(
            f"The harvest needs about {projection.peak_bytes / 1e9:.1f} GB and {store_path} has {free / 1e9:.1f} GB free: "
            "use --limit-tokens or --max-per-feature, or another disk."
        )


def _check_splits(done: Sequence[Rest]) -> None:
    counts = {split: sum(rest.documents[split] for rest in done) for split in SPLITS}
    if min(counts.values()) < MIN_DOCUMENTS:
        found = ", ".join(f"{split} {count}" for split, count in counts.items())
        raise UserError(
            f"Every split needs at least {MIN_DOCUMENTS} documents; there are {found}: give more text, raise --limit-tokens, "
            "or cut the text into more documents with --separator; then delete the unfinished store."
        )


def _infos(dictionaries: Sequence[Dictionary], done: Sequence[Rest]) -> list[DictionaryInfo]:
    infos, offset = [], 0
    for dictionary in dictionaries:
        name = dictionary.facts.name
        fit = Fit()
        for rest in done:
            fit = fit + rest.fits.get(name, Fit())
        info = dictionary.facts.info(dictionary.width, offset, fit.unexplained)
        if _implausible(info):
            log.warning(
                "Dictionary %s leaves %.2f of the variance of %s unexplained: it was most likely made for another model, "
                "hook point or normalisation. Labels made from it would be meaningless.",
                name,
                info.variance_unexplained,
                info.hook_out,
            )
        infos.append(info)
        offset += dictionary.width
    return infos


def _implausible(info: DictionaryInfo) -> bool:
    return info.variance_unexplained is not None and info.variance_unexplained > IMPLAUSIBLE

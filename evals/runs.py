"""Runs: the same command resumes. A run's id is the hash of its resolved configuration, `fresh` starts another attempt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from dragoman.store.features import Store
from dragoman.store.ledger import Ledger
from dragoman.store.locking import write_lock
from dragoman.store.ranges import features_of as features_of
from dragoman.store.ranges import spec as spec
from dragoman.store.records import Run

LOCKS = "locks"
"""Folder inside the store; one lock a run, so that two processes never work on the same one."""


NAMES = ("model", "text", "dictionaries", "hash")
"""Entries of a harvest's plan that say where something lay; its hash stands beside it."""


def store_hash(store: Store) -> str:
    """What identifies a store's content in configurations: hashes, settings and counts, but no paths.

    So the same harvest in two folders gives runs, labels and scores of the same ids.
    """
    known = store.manifest.model_dump(mode="json", exclude={"made_by", "subject", "dictionaries", "plan"})
    known["plan"] = {name: value for name, value in store.manifest.plan.items() if name not in NAMES}
    known["subject"] = [store.subject.weights_hash, store.subject.tokenizer_hash]
    known["dictionaries"] = [[d.name, d.weights_hash, d.hook_in, d.width] for d in store.dictionaries]
    return digest(canonical(known))


def digest(text: str) -> str:
    """First 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def canonical(config: Mapping[str, Any]) -> str:
    """A configuration as JSON with sorted keys and no spaces."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def resolve(ledger: Ledger, kind: Literal["label", "score", "debate"], config: Mapping[str, Any], fresh: bool) -> Run:
    """The run of this configuration: its latest attempt, or with `fresh` a new one."""
    attempts = [0]
    for run in ledger.runs():
        known = json.loads(run.config)
        attempt = known.pop("attempt", 0)
        if run.kind == kind and known == dict(config):
            attempts.append(attempt + 1 if fresh else attempt)
    text = canonical({**config, "attempt": max(attempts)})
    return Run(id=digest(f"{kind} {text}"), kind=kind, config=text, status="running")


@contextmanager
def working_on(folder: Path, ledger: Ledger, run: Run) -> Iterator[None]:
    """Hold the run's lock, record that it is going on, and record how it ended; UserError when another process works on it."""
    with write_lock(folder / LOCKS, f"{run.id}.lock", f"works on run {run.id} of {folder}"):
        ledger.start_run(run)
        try:
            yield
        except BaseException:
            ledger.finish_run(run.id, "stopped")
            raise
        ledger.finish_run(run.id, "done")

"""Runs, slices and threads that make things ahead: against plain Python."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dragoman.store.errors import UserError
from dragoman.store.runs import Runs, RunWriter, unpacked
from dragoman.store.slices import sort_slices, sums
from dragoman.store.streams import ahead


def test_runs_give_back_what_went_in_grouped_by_feature_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.store.runs.RUN_ROWS", 300)
    random = np.random.default_rng(0)
    expected: dict[tuple[int, int], list[tuple[int, float]]] = {}
    files = []
    for shard in range(3):
        files.append((tmp_path / f"{shard}.keys", tmp_path / f"{shard}.counts"))
        writer = RunWriter(*files[-1], width=7)
        for _ in range(4):
            feature = random.choice([0, 1, 2, 4, 6], 200).astype(np.uint32)
            split = random.integers(0, 3, 200).astype(np.uint8)
            token = random.integers(0, 2**33, 200)
            value = np.exp(random.normal(0, 20, 200)).astype(np.float32)
            writer.add(feature, split, token, value)
            for f, s, t, v in zip(feature.tolist(), split.tolist(), token.tolist(), value.tolist(), strict=True):
                expected.setdefault((f, s), []).append((t, v))
        writer.close()
        assert writer.rows == 800
    runs = Runs([keys for keys, _ in files], [counts for _, counts in files], 7)
    assert runs.rows.sum() == 2400 and runs.rows[3] == 0
    for first, features in ((0, 3), (3, 1), (4, 3)):
        keys, counts = runs.take(features)
        at = 0
        for group, count in enumerate(counts.ravel().tolist()):
            token, value = unpacked(keys[at : at + count])
            wanted = expected.get((first + group // 3, group % 3), [])
            assert sorted(zip(token.tolist(), value.tolist(), strict=True)) == sorted(wanted)
            at += count
        assert at == len(keys)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "keys", tmp_path / "counts", width=4)
    one = np.ones(5, np.int64)
    writer.add(one.astype(np.uint32), one.astype(np.uint8), one, one.astype(np.float32))
    with pytest.raises(UserError, match="at most 8,589,934,592 tokens"):
        writer.add(one.astype(np.uint32), one.astype(np.uint8), one << 33, one.astype(np.float32))
    writer.close()
    assert Runs([tmp_path / "keys"], [tmp_path / "counts"], 4).rows.tolist() == [0, 5, 0, 0]
    with pytest.raises(ValueError, match="not of 5 features"):
        Runs([tmp_path / "keys"], [tmp_path / "counts"], 5)
    (tmp_path / "keys").write_bytes(b"12345678")
    with pytest.raises(ValueError, match="do not belong together"):
        Runs([tmp_path / "keys"], [tmp_path / "counts"], 4)


def test_slices_are_sorted_and_added_up_by_themselves() -> None:
    random = np.random.default_rng(1)
    lengths = np.array([0, 1, 2, 3, 4, 5, 16, 17, 64, 65, 200, 0, 1, 64, 0])
    values = random.integers(0, 2**63, int(lengths.sum())).astype(np.uint64)
    values[:20] = np.iinfo(np.uint64).max
    parts = np.split(values.copy(), np.cumsum(lengths)[:-1])
    sort_slices(values, lengths)
    assert values.tolist() == [value for part in parts for value in sorted(part.tolist())]
    flags = random.random(len(values)) < 0.5
    assert sums(flags, lengths).tolist() == [int(part.sum()) for part in np.split(flags, np.cumsum(lengths)[:-1])]
    assert sums(np.empty(0, bool), np.zeros(3, np.int64)).tolist() == [0, 0, 0]


def test_ahead_gives_all_items_and_their_errors_and_stops_when_left() -> None:
    made: list[int] = []

    def items(bad: int | None = None) -> Iterator[int]:
        for number in range(50):
            if number == bad:
                raise LookupError(number)
            made.append(number)
            yield number

    with ahead(items(), 2) as found:
        assert list(found) == list(range(50))
    with pytest.raises(LookupError), ahead(items(bad=3), 2) as found:
        assert [next(found) for _ in range(3)] == [0, 1, 2]
        next(found)
    made.clear()
    before = threading.active_count()
    with ahead(items(), 2) as found:
        assert next(found) == 0
        time.sleep(0.05)
        assert len(made) <= 4, "at most two are waiting, one is being made"
    assert threading.active_count() <= before and len(made) < 50

"""Nearness by firing, matching and splitting against figures counted in plain Python."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import DictionaryInfo
from dragoman.tools.matching import match_activations, match_decoders
from dragoman.tools.related import related
from dragoman.tools.splitting import Firing, firing, split
from dragoman.tools.subject import Subject
from tests.support.synthetic import make_store
from tests.tools.test_interventions_reference import Sae


def part(store: Store, name: str, offset: int, width: int) -> DictionaryInfo:
    """Some features of the store's dictionary as a dictionary of their own."""
    return store.dictionaries[0].model_copy(update={"name": name, "offset": offset, "width": width})


def dense(store: Store) -> np.ndarray:
    """All train activations, (tokens, features), read feature by feature."""
    train = store.train_view()
    table = np.zeros((len(train.tokens.ids), train.width))
    for feature in range(train.width):
        where, values = train.activations(feature)
        table[where, feature] = values
    return table


def test_near_by_firing_on_the_same_tokens_and_contexts(synthetic_store: Store) -> None:
    train = synthetic_store.train_view()
    table = dense(synthetic_store)
    fires = table > np.array([train.threshold(f) for f in range(train.width)])
    row = train.tokens.row
    contexts = [set(row[fires[:, f]].tolist()) for f in range(train.width)]
    n = len(table)
    for feature in (0, 5, 20):
        jaccard, pmi, shared = {}, {}, {}
        for other in range(train.width):
            both = int((fires[:, feature] & fires[:, other]).sum())
            a, b = int(fires[:, feature].sum()), int(fires[:, other].sum())
            if other == feature:
                continue
            if both:
                jaccard[other] = both / (a + b - both)
            if both >= 5:
                pmi[other] = math.log(both * n / (a * b))
            if contexts[feature] & contexts[other]:
                shared[other] = len(contexts[feature] & contexts[other]) / len(contexts[feature] | contexts[other])
        for by, expected in (("coactivation", jaccard), ("pmi", pmi), ("contexts", shared)):
            found = related(train, feature, by, top=100)  # type: ignore[arg-type]
            got = {train.id(x.feature): x.value for x in found.found}
            assert got == pytest.approx(expected), (feature, by)
            assert [x.value for x in found.found] == sorted((x.value for x in found.found), reverse=True)
            assert "<table>" in found._repr_html_() and str(train.key(feature)) in repr(found)
    assert len(related(train, 0, "contexts", top=3).found) == 3


def test_near_by_decoder_from_the_store_and_from_the_dictionary(
    synthetic_store: Store, tiny: Callable[[str], Subject], tmp_path: Path
) -> None:
    train = synthetic_store.train_view()
    kept = related(train, 3, "decoder")
    assert [(x.feature, x.value) for x in kept.found] == [(str(key), value) for key, value in train.neighbours(3)]
    dictionary = Sae(tmp_path / "sae", "resid_post.1").load(tiny("llama"))
    found = related(train, 3, "decoder", 5, dictionary)
    unit = torch.nn.functional.normalize(dictionary.directions.double(), dim=-1)
    cosine = unit @ unit[3]
    cosine[3] = -2
    values, others = cosine.topk(5)
    assert [train.key(0).dictionary + f"/{o}" for o in others.tolist()] == [x.feature for x in found.found]
    assert [x.value for x in found.found] == pytest.approx(values.tolist(), rel=1e-5)
    with pytest.raises(UserError, match="does not exist: choose from decoder"):
        related(train, 0, "love")  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk", [3, 1024])
def test_matching_by_activation_in_one_store(synthetic_store: Store, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.tools.matching._CHUNK", chunk)
    train = synthetic_store.train_view()
    table = dense(synthetic_store)
    first, second = part(synthetic_store, "a", 0, 10), part(synthetic_store, "b", 6, 18)
    found = match_activations(first, train, second, train, threshold=0.9)
    with np.errstate(invalid="ignore"):
        correlation = np.corrcoef(table.T)[:10, 6:24]
    measured = [f for f in range(10) if table[:, f].std() > 0]
    best = {f: int(np.nanargmax(correlation[f])) for f in measured}
    assert {p.feature: p.other for p in found.pairs} == best
    assert {p.feature: p.value for p in found.pairs} == pytest.approx({f: correlation[f, o] for f, o in best.items()}, abs=1e-6)
    assert {p.feature for p in found.pairs if p.value >= 0.9} == {6, 7, 8, 9}, "those that are in both"
    assert found.matched == pytest.approx(4 / len(measured)) and found.mutual == found.matched
    back = [c for c in range(18) if table[:, 6 + c].std() > 0]
    assert found.matched_back == pytest.approx(4 / len(back))
    assert found.unmeasured == 10 - len(measured) and "one store" in found.over and "a mutual one" in repr(found)
    fewer = match_activations(first, train, second, train, max_tokens=len(table) // 3)
    assert int(fewer.over.split()[0].replace(",", "")) < len(table) / 2


def test_matching_two_stores_of_the_same_text(synthetic_store: Store, tmp_path: Path) -> None:
    train = synthetic_store.train_view()
    with make_store(tmp_path / "again") as again, make_store(tmp_path / "other", seed=1) as other:
        info = again.dictionaries[0]
        found = match_activations(info, train, info, again.train_view())
        assert all(p.feature == p.other and p.mutual and p.value == pytest.approx(1) for p in found.pairs)
        assert found.matched == 1 and "two stores of the same text" in found.over
        with pytest.raises(UserError, match="do not hold the same train tokens"):
            match_activations(info, train, info, other.train_view())
        with pytest.raises(UserError, match="must be above 0"):
            match_activations(info, train, info, again.train_view(), threshold=math.nan)


@pytest.mark.parametrize("chunk", [7, 1024])
def test_matching_by_decoder(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.tools.matching._CHUNK", chunk)
    random = torch.Generator().manual_seed(0)
    a = torch.randn(20, 8, generator=random)
    b = torch.cat([3 * a[5:12] + 0.01 * torch.randn(7, 8, generator=random), torch.randn(6, 8, generator=random)])
    a[19] = 0
    found = match_decoders("a", a, "b", b, threshold=0.99)
    cosine = (a / a.norm(dim=-1, keepdim=True)) @ (b / b.norm(dim=-1, keepdim=True)).T
    assert {p.feature: p.value for p in found.pairs} == pytest.approx({i: float(cosine[i].max()) for i in range(19)}, abs=1e-5)
    assert [p.feature - 5 == p.other for p in found.pairs[:7]] == [True] * 7
    assert found.matched == found.mutual == pytest.approx(7 / 19)
    assert found.matched_back == pytest.approx(7 / 13) and found.unmeasured == 1
    with pytest.raises(UserError, match="width 8, those of b 3"):
        match_decoders("a", a, "b", b[:, :3])


def test_splitting() -> None:
    kinds: dict[int, set[int]] = {0: set(range(40)), 1: set(range(40, 70)), 2: set(range(60, 80)), 3: set(range(80, 83))}
    kinds[4] = set(range(20)) | set(range(200, 300))  # mostly elsewhere
    coarse_tokens = set(range(100))
    import scipy.sparse

    def matrix(columns: dict[int, set[int]]) -> Any:
        table = np.zeros((500, len(columns)), np.int32)
        for column, tokens in columns.items():
            table[sorted(tokens), column] = 1
        return scipy.sparse.csc_matrix(table)

    info: Any = SimpleNamespace(name="coarse"), SimpleNamespace(name="fine")
    found = split(Firing(info[0], matrix({0: coarse_tokens})), 0, Firing(info[1], matrix(kinds)))
    assert [p.feature for p in found.pieces] == ["fine/0", "fine/1", "fine/2"]
    assert [p.share for p in found.pieces] == pytest.approx([0.4, 0.3, 0.2]) and all(p.exclusivity == 1 for p in found.pieces)
    assert found.coverage == pytest.approx(0.8) and found.overlap == pytest.approx(10 / 80)
    assert "3 finer features cover 80.0%" in repr(found)
    with pytest.raises(UserError, match="no feature coarse/1"):
        split(Firing(info[0], matrix({0: coarse_tokens})), 1, Firing(info[1], matrix(kinds)))


def test_firing_is_above_the_thresholds_of_the_store(synthetic_store: Store) -> None:
    train = synthetic_store.train_view()
    thresholds = np.array([train.threshold(f) for f in range(train.width)])
    found = firing(train, part(synthetic_store, "b", 6, 18), thresholds)
    expected = (dense(synthetic_store) > thresholds)[:, 6:]
    assert np.array_equal(found.fires.toarray() > 0, expected)
    counts: dict[int, int] = defaultdict(int)
    for column in found.fires.tocoo().col:
        counts[int(column)] += 1
    assert counts[0] == train.stats(6).firing

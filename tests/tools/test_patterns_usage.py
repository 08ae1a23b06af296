"""How tokens are used: the sparse, randomised computation against a dense one in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns import learn_usage, parse
from dragoman.tools.patterns.language import ANY
from dragoman.tools.patterns.usage import COSINE, DIMENSIONS, MIN_COUNT
from tests.support.patterns import table_of, text_of

NOUNS = ["robin", "finch", "heron", "crow"]
VERBS = ["sang", "slept", "flew", "ate"]


def sentences(seed: int, count: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [f"the {random.choice(NOUNS)} {random.choice(VERBS)} at {random.integers(1, 9)} today ." for _ in range(count)]


def dense(ids: NDArray[np.int32], row: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Cosines of all tokens from a full singular value decomposition of the same information matrix."""
    counts = np.bincount(ids, minlength=size)
    blocks = []
    for offset, weight in ((1, 1.0), (-1, 1.0), (2, 0.5), (-2, 0.5)):
        table = np.zeros((size, size))
        for i in range(len(ids)):
            j = i - offset
            if 0 <= j < len(ids) and row[i] == row[j] and counts[ids[i]] >= MIN_COUNT:
                table[ids[i], ids[j]] += 1
        share = table.sum(0) ** 0.75
        expected = table.sum(1, keepdims=True) * share / share.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            blocks.append(weight * np.where(table > 0, np.maximum(np.log(table / expected), 0), 0))
    left, singular, _ = np.linalg.svd(np.concatenate(blocks, axis=1), full_matrices=False)
    rank = min(DIMENSIONS, (counts >= MIN_COUNT).sum() - 1)
    vectors = left[:, :rank] * np.sqrt(singular[:rank])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return np.asarray(vectors @ vectors.T)


def test_vectors_agree_with_a_dense_float64_computation() -> None:
    table = table_of(sentences(0, 300), pieces=r" ?[A-Za-z]+| ?\d|\s| ?[^A-Za-z\d\s]")
    usage = learn_usage(table.ids, table.row, table.vocabulary)
    known = usage.vectors.any(1)
    expected = dense(table.ids, table.row, len(table.vocabulary))
    assert known.sum() >= 15
    np.testing.assert_allclose((usage.vectors @ usage.vectors.T)[known][:, known], expected[known][:, known], atol=2e-3)


def test_tokens_in_the_same_slots_are_used_alike() -> None:
    table = table_of(sentences(1, 300), pieces=r" ?[A-Za-z]+| ?\d|\s| ?[^A-Za-z\d\s]")
    usage = learn_usage(table.ids, table.row, table.vocabulary)
    like = {usage.bare[token] for token in np.flatnonzero(usage.members(parse('weakly: like "robin"').clauses[0].tokens))}
    assert like == set(NOUNS)
    strict = usage.members(parse('weakly: much-like "robin"').clauses[0].tokens)
    loose = usage.members(parse('weakly: loosely-like "robin"').clauses[0].tokens)
    assert not (strict & ~loose).any()
    assert COSINE["loosely-like"] < COSINE["like"] < COSINE["much-like"]


def test_usage_is_the_same_every_time_and_rare_tokens_have_none() -> None:
    table = table_of([*sentences(2, 100), "hapax"])
    first, second = (learn_usage(table.ids, table.row, table.vocabulary) for _ in range(2))
    assert np.array_equal(first.vectors, second.vectors)
    assert not first.vectors[[token for token, count in enumerate(first.counts) if count < MIN_COUNT]].any()


def test_tiny_texts_have_no_usage_and_do_not_fail() -> None:
    for texts in ([], ["a"], ["a b"]):
        usage = text_of(texts).usage
        assert not usage.vectors.any()
        assert usage.members(ANY).all()

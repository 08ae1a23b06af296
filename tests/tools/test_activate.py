"""Features on any text: what is stored comes back, tokens are exact, and a contrast counts what it says it counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dragoman.store.errors import UserError
from dragoman.store.facts import Scales
from dragoman.tools.activate import Stronger, activate, contrast, stronger
from dragoman.tools.prompt import Prompt
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench
from tests.support.benches import WINDOW, make_bench

Tiny = Callable[[str], Subject]


@pytest.fixture(scope="module", params=[("llama", True), ("gpt_neox", False), ("gemma3", True)], ids=lambda p: f"{p[0]}-{p[1]}")
def bench(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    family, bos = request.param
    return make_bench(tmp_path_factory.mktemp("activate"), tiny(family), prepend_bos=bos)


def test_a_stored_window_gives_its_stored_values(bench: Workbench) -> None:
    store, tokens = bench.store, bench.store.tokens("test")
    rows = [tuple(tokens.ids[tokens.starts[r] : tokens.starts[r + 1]].tolist()) for r in range(12)]
    found = activate(bench, [Prompt.from_ids(bench.subject, row) for row in rows], batch_size=5)
    checked = 0
    for feature in range(0, store.width, 3):
        where, values = store.activations(feature, "test")
        stored = np.zeros(len(tokens.ids), np.float32)
        stored[where] = values
        for row, text in enumerate(found):
            own = stored[tokens.starts[row] : tokens.starts[row + 1]]
            np.testing.assert_allclose(text.values(feature), own, atol=1e-4, rtol=1e-4)
            checked += int((own > 0).sum())
    assert checked > 300


def test_a_whole_document_is_cut_like_a_harvest_cuts_it(bench: Workbench) -> None:
    tokens = bench.store.tokens("train")
    documents, counts = np.unique(tokens.document, return_counts=True)
    row = int(np.flatnonzero(tokens.document == documents[counts.argmax()])[0])
    rows = np.flatnonzero(tokens.document == tokens.document[row])
    assert len(rows) >= 3, "longer than two windows"
    (text,) = activate(bench, [tokens.document_text(row)])
    assert "".join(text.prompt.strings) == tokens.document_text(row)
    assert [text.prompt.text[a:b] for a, b in text.prompt.offsets] == list(text.prompt.strings)
    assert bench.window == WINDOW
    for feature in ("sae/3", "mlp.0/5", "probes/1"):
        where, values = bench.store.activations(feature, "train")
        stored = np.zeros(len(tokens.ids), np.float32)
        stored[where] = values
        own = stored[tokens.starts[rows[0]] : tokens.starts[rows[-1] + 1]]
        np.testing.assert_allclose(text.values(feature), own, atol=1e-4, rtol=1e-4)


def test_firing_features_and_strips(bench: Workbench) -> None:
    (text,) = activate(bench, ["the cat sat on the Red ball"], dictionaries=["sae"])
    assert set(text.feature) <= set(range(32)) and len(text.feature) == 6 * len(text.prompt)
    strips = text.firing(5)
    shares = [strip.peak / strip.maximum for strip in strips]
    assert len(strips) == 5 and shares == sorted(shares, reverse=True) and all(s.peak > s.threshold for s in strips)
    best = text.on_token(3, 2)
    mine = text.token == 3
    assert best[0][1] == pytest.approx(float(text.value[mine].max())) and best[0][1] >= best[1][1]
    page = text._repr_html_()
    assert strips[0].feature in page and "<script" not in activate(bench, ["<script>alert(1)</script>"])[0]._repr_html_()


def test_contrast_counts_texts_and_ranks(bench: Workbench) -> None:
    a, b = ["the cat sat", "a dog ran", "Red park"], ["42 7 42", "7 7"]
    found = contrast(bench, a, b, n=1000)
    texts = activate(bench, [*a, *b])
    fires = np.array([[text.values(f).max() > bench.threshold(f) for f in range(bench.store.width)] for text in texts])
    share = fires[:3].mean(0) - fires[3:].mean(0)
    assert found.features == len(found.rows) == int((share > 0).sum()) > 3
    for row in found.rows:
        number = bench.store.id(row.feature)
        assert row.share == pytest.approx(share[number]) and row.fires_a == pytest.approx(fires[:3, number].mean())
        peaks = [float(text.values(number).max()) for text in texts]
        expected = (np.mean(peaks[:3]) - np.mean(peaks[3:])) / bench.maximum(number)
        assert row.strength == pytest.approx(expected, abs=1e-5)
    order = [(-row.share, -row.strength) for row in found.rows]
    assert order == sorted(order)
    assert contrast(bench, a, a).rows == ()
    assert len(contrast(bench, a, b, n=2).rows) == 2


def test_features_that_tell_two_sets_apart_by_strength_alone() -> None:
    scales = Scales(np.ones(4, np.float32), np.array([10.0, 10, 0, 10], np.float32))
    a = np.array([[5.0, 9, 3, 9], [7, 8, 4, 2]], np.float32)
    b = np.array([[4.0, 2, 2, 3], [3, 3, 2.5, 0.5], [2, 2, 2, 4]], np.float32)
    rows, more = stronger(scales, a, b, 2, str)
    assert more == 3 and rows == [Stronger("1", 8, 9, 2, 3), Stronger("2", 3, 4, 2, 2.5)]
    silent = np.where(b == 3, 0.9, b).astype(np.float32)  # no longer fires on all of B: `differences` shows it
    assert [row.feature for row in stronger(scales, a, silent, 9, str)[0]] == ["2"]


def test_a_long_or_hostile_text_has_a_short_repr(bench: Workbench) -> None:
    (found,) = activate(bench, ["the \x1b[31m\u202ecat " * 500])
    assert repr(found).startswith("TextActivations(Prompt(") and len(repr(found)) < 400
    assert "\x1b" not in repr(found) and "\u202e" not in repr(found) and len(found._repr_html_()) < 2_000_000


def test_bad_input(bench: Workbench) -> None:
    with pytest.raises(UserError, match="empty"):
        activate(bench, ["the cat", ""])
    with pytest.raises(UserError, match="at least one text"):
        contrast(bench, ["the"], [])
    with pytest.raises(UserError, match="no dictionary 'nosuch'"):
        activate(bench, ["the"], dictionaries=["nosuch"])


def test_tokens_that_the_tokenizer_would_not_put_side_by_side(bench: Workbench) -> None:
    subject = bench.subject
    ids = subject.tokenize("the cat").ids.tolist()
    assert Prompt.from_ids(subject, ids).canonical and Prompt.from_ids(subject, ids).text == "the cat"
    odd = [subject.tokenize("t").ids[0], subject.tokenize("h").ids[0], subject.tokenize("e").ids[0]]
    prompt = Prompt.from_ids(subject, odd)
    assert not prompt.canonical and prompt.ids == tuple(odd) and prompt.strings == ("t", "h", "e") and prompt.text == "the"


def test_pieces_of_text_inside_a_text(bench: Workbench) -> None:
    for piece in (" cat", "cat", " the dog", ".", "\n"):
        assert bench.subject.tokenizer.backend_tokenizer.decode(bench.subject.tokenize_inside(piece)) == piece
    assert [bench.subject.vocabulary[i] for i in bench.subject.tokenize_inside(" the")] == [" the"]

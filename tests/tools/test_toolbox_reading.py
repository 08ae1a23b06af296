"""What the tools say is what an independent count or pass says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dragoman.store.errors import ToolError
from dragoman.store.features import Store
from dragoman.tools.source import SubjectSource
from dragoman.tools.subject import Subject
from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.tools.workbench import Workbench
from tests.support.benches import make_bench
from tests.support.synthetic import make_store
from tests.support.words import WordSource, planted_desk

TEXTS = ["the cat sat on the mat", "a dog ran to the park with a Red ball 42", "7\n7"]


@pytest.fixture(scope="module")
def bench(tiny: Callable[[str], Subject], tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return make_bench(tmp_path_factory.mktemp("toolbox"), tiny("llama"))


@pytest.fixture(scope="module")
def desk(bench: Workbench) -> Desk:
    return Desk.of(bench)


def alone(bench: Workbench, feature: str, ids: list[int]) -> np.ndarray:
    """A feature on one sequence, through the source that the harvest is tested with."""
    name, index = bench.store.key(bench.store.id(feature))
    values = np.zeros(len(ids), np.float32)
    for first in range(0, len(ids), bench.window):
        got = SubjectSource(bench.subject, bench.dictionary(name), True).activations([ids[first : first + bench.window]])
        mine = got.feature == index
        values[first + got.position[mine]] = got.value[mine]
    return values


@pytest.mark.parametrize("feature", ["sae/3", "mlp.0/3", "probes/1"])
def test_activate_is_what_the_source_says(bench: Workbench, desk: Desk, feature: str) -> None:
    result = Toolbox(desk, "run", feature).call("activate", {"texts": TEXTS})
    ids = [bench.subject.tokenize(text).ids.tolist() for text in TEXTS]
    for text, own, row in zip(TEXTS, ids, result.data["texts"], strict=True):
        expected = alone(bench, feature, own)
        np.testing.assert_allclose(row["values"], expected, atol=1e-4)
        assert row["max"] == pytest.approx(float(expected.max()), abs=1e-4) and row["text"] == "".join(row["tokens"]) == text
        assert row["fires"] == bool(expected.max() > bench.threshold(feature))
    assert result.forwarded == sum(map(len, ids)) and result.read == 0
    assert result.data["threshold"] == pytest.approx(bench.threshold(feature), rel=1e-5)
    fired = sum(row["fires"] for row in result.data["texts"])
    assert f"It fires on {fired} of {len(TEXTS)} texts." in result.text and "\n7" not in result.text


def test_a_stored_context_reproduces_its_values(bench: Workbench, desk: Desk) -> None:
    for feature in ("sae/3", "mlp.0/3"):
        (example,) = desk.train.examples(bench.store.id(feature), "top", 1)
        edits = [{"kind": "delete", "start": 0}]
        result = Toolbox(desk, "run", feature).call("edit_and_compare", {"context": example.context.id, "edits": edits})
        np.testing.assert_allclose(result.data["values"], example.values, atol=1e-4)
        assert result.data["tokens"] == list(example.context.strings) and result.read == 1
        assert result.data["position"] == int(np.argmax(example.values))


def test_edits_are_compared_with_passes_of_their_own(bench: Workbench, desk: Desk) -> None:
    text = "the cat sat on the mat"
    edits = [
        {"kind": "substitute", "find": " cat", "text": " dog"},
        {"kind": "substitute", "start": 1, "stop": 3, "text": " Red ball"},
        {"kind": "insert", "start": 2, "text": " 42"},
        {"kind": "delete", "start": 5},
        {"kind": "swap", "start": 1, "other": 5},
        {"kind": "repeat", "start": 1, "times": 3},
        {"kind": "case", "find": "the cat", "how": "upper"},
        {"kind": "space", "start": 1, "how": "newline"},
        {"kind": "truncate", "start": 2},
        {"kind": "shift", "times": 2, "text": " park"},
        {"kind": "of_its_kind", "start": 1},
    ]
    after = {
        0: "the dog sat on the mat",
        1: "the Red ball on the mat",
        2: "the cat 42 sat on the mat",
        3: "the cat sat on the",
        4: "the mat sat on the cat",
        5: "the cat cat cat sat on the mat",
        6: "THE CAT sat on the mat",
        7: "the\ncat sat on the mat",
        8: " sat on the mat",
        9: " park parkthe cat sat on the mat",
    }
    box = Toolbox(desk, "run", "mlp.0/3")
    result = box.call("edit_and_compare", {"text": text, "edits": edits, "position": 5})
    assert [v["edits"] for v in result.data["variants"]] != [] and len(result.data["variants"]) == len(edits)
    before = alone(bench, "mlp.0/3", bench.subject.tokenize(text).ids.tolist())
    assert result.data["before"] == pytest.approx(float(before[5]), abs=1e-4)
    total = len(before)
    vocabulary = bench.subject.vocabulary
    for number, variant in enumerate(result.data["variants"]):
        if number in after:
            assert "".join(variant["tokens"]) == after[number]
        total += len(variant["tokens"])
        if not variant["canonical"]:
            continue
        ids = bench.subject.tokenize("".join(variant["tokens"])).ids.tolist()
        values = alone(bench, "mlp.0/3", ids)
        np.testing.assert_allclose(variant["values"], values, atol=1e-4)
        if variant["image"] is None:
            assert variant["after"] is None and variant["change"] is None
        else:
            assert variant["after"] == pytest.approx(float(values[variant["image"]]), abs=1e-4)
            assert variant["change"] == pytest.approx(variant["after"] - result.data["before"], abs=1e-4)
    assert result.forwarded == total and vocabulary
    assert result.data["variants"][3]["image"] is None and "the token is gone" in result.text
    both = box.call("edit_and_compare", {"text": text, "edits": [edits[0], edits[3]], "together": True})
    assert len(both.data["variants"]) == 1 and "".join(both.data["variants"][0]["tokens"]) == "the dog sat on the"


def test_contrast_agrees_with_activate(bench: Workbench, desk: Desk) -> None:
    a, b = TEXTS[:2], ["the dog ran", "7 42"]
    result = Toolbox(desk, "run").call("contrast", {"a": a, "b": b, "n": 30})
    assert result.data["rows"] and result.forwarded == 3 * sum(len(bench.subject.tokenize(t).ids) for t in (*a, *b))
    shares = []
    for row in result.data["rows"]:
        box = Toolbox(desk, "run", row["feature"])
        sides = [box.call("activate", {"texts": side}).data["texts"] for side in (a, b)]
        fires = [np.mean([text["fires"] for text in side]) for side in sides]
        peaks = [np.mean([text["max"] for text in side]) for side in sides]
        assert (row["fires_a"], row["fires_b"]) == tuple(fires) and fires[0] > fires[1]
        np.testing.assert_allclose((row["peak_a"], row["peak_b"]), peaks, atol=1e-3)
        shares.append(fires[0] - fires[1])
    assert shares == sorted(shares, reverse=True)
    alike = ["the cat sat", "the cat ran"], ["the dog sat", "a cat"]
    result = Toolbox(desk, "run").call("contrast", {"a": alike[0], "b": alike[1], "n": 3})
    assert result.data["stronger"], "some feature fires on all four"
    for row in result.data["stronger"]:
        box = Toolbox(desk, "run", row["feature"])
        sides = [[t["max"] for t in box.call("activate", {"texts": side}).data["texts"]] for side in alike]
        shown = [row[name] for name in ("least_a", "most_a", "least_b", "most_b")]
        np.testing.assert_allclose(shown, [of(side) for side in sides for of in (min, max)], atol=1e-3)
        assert row["least_a"] > row["most_b"] and f"{row['feature']}: peaks " in result.text
    assert Toolbox(desk, "run").call("contrast", {"a": a[:1], "b": b}).data["stronger"] == []


def test_examples_are_the_stored_ones_and_read_exactly(synthetic_store: Store) -> None:
    box = Toolbox(planted_desk(synthetic_store), "run", 2)
    stored = synthetic_store.train_view().examples(2, "top", 5)
    result = box.call("top_examples", {"n": 5, "whole": True})
    assert [e["context"] for e in result.data["examples"]] == [e.context.id for e in stored] and result.read == 5
    for example, row in zip(stored, result.data["examples"], strict=True):
        assert row["tokens"] == list(example.context.strings)
        np.testing.assert_allclose(row["values"], example.values, rtol=1e-5)
    line = next(line for line in result.text.splitlines() if line.startswith("<text>"))
    first = stored[0]
    shown = "".join(
        f"[[{word}]]{round(10 * value / first.scale)}" if value > first.threshold else word
        for word, value in zip(first.context.strings, first.values, strict=True)
    )
    assert line == f"<text>{shown}</text>".replace(" \n", " \\n")
    later = box.call("top_examples", {"n": 2, "skip": 3}).data["examples"]
    assert [e["context"] for e in later] == [e.context.id for e in stored[3:]]


def test_patterns_are_counted_exactly(synthetic_store: Store) -> None:
    """Precision, recall, F1 and r by loops over the train tokens."""
    tokens = synthetic_store.tokens("train")
    for feature, pattern, holds in (
        (2, 'strongly: "robin"', lambda word, before: 0.7 if word == "robin" else 0.0),
        (
            2,
            'fully: "robin" where prev "the"; weakly: "park"',
            lambda word, before: 0.9 * (word == "robin" and before == "the") or 0.3 * (word == "park"),
        ),
        (15, 'moderately: any where prev "sat"', lambda word, before: 0.5 * (before == "sat")),
    ):
        result = Toolbox(planted_desk(synthetic_store), "run", feature).call("match_pattern", {"pattern": pattern})
        flat, values = synthetic_store.activations(feature, "train")
        real = np.zeros(len(tokens.ids))
        real[flat] = values
        words = [tokens.vocabulary[i].strip(" ") for i in tokens.ids]
        said = np.array([holds(w, words[i - 1] if tokens.position[i] else "") for i, w in enumerate(words)], float)
        fires, weak = real > synthetic_store.feature(feature).stats.threshold, real > 0
        weak &= ~fires
        hits = int(((said > 0.2) & fires).sum())
        wrong = int(((said > 0.2) & ~fires & ~weak).sum())
        data = result.data
        assert (data["firing"], data["hits"], data["predicted"]) == (fires.sum(), hits, (said > 0.2).sum())
        assert data["precision"] == pytest.approx(hits / (hits + wrong), rel=1e-5)
        assert data["recall"] == pytest.approx(hits / fires.sum(), rel=1e-5)
        p, r = data["precision"], data["recall"]
        assert data["f1"] == pytest.approx(2 * p * r / (p + r) if p + r else 0.0, rel=1e-4)
        assert data["r"] == pytest.approx(np.corrcoef(said, real)[0, 1], abs=1e-5)
        rows = {
            kind: {int(tokens.row[i]) for i in np.flatnonzero(mask)}
            for kind, mask in (("said", said > 0.2), ("fires", fires), ("active", real > 0))
        }
        clear = {row for row in rows["said"] if row in rows["fires"] or row not in rows["active"]}
        assert data["context_recall"] == pytest.approx(len(rows["said"] & rows["fires"]) / len(rows["fires"]), rel=1e-5)
        assert data["context_precision"] == pytest.approx(len(clear & rows["fires"]) / len(clear), rel=1e-5)
        for mistake in data["mistakes"]:
            at = int(tokens.starts[tokens.context_ids.tolist().index(mistake["context"])]) + mistake["position"]
            assert (fires[at] and not said[at] > 0.2) if mistake["kind"] == "missed" else (real[at] == 0 and said[at] > 0.2)
    assert result.read == len(data["mistakes"]) > 0


def test_a_sampled_store_leaves_unknown_contexts_out(tmp_path: Any) -> None:
    with make_store(tmp_path / "store", rate=0.3, max_per_feature=60) as store:
        box = Toolbox(planted_desk(store), "run", 15)
        unknown = store.unknown_contexts(15, "train")
        tokens = store.tokens("train")
        left = len(tokens.ids) - sum(int(tokens.starts[r + 1] - tokens.starts[r]) for r in tokens.index.rows_of(unknown))
        assert len(unknown) and box.call("match_pattern", {"pattern": "strongly: any"}).data["tokens"] == left


def test_statistics_and_neighbours_are_those_of_train(synthetic_store: Store) -> None:
    box, stats = Toolbox(planted_desk(synthetic_store), "run", 2), synthetic_store.feature(2).stats
    data = box.call("feature_stats", {}).data
    assert (data["active"], data["firing"], data["firing_contexts"]) == (stats.active, stats.firing, stats.firing_contexts)
    assert data["maximum"] == pytest.approx(stats.max, rel=1e-5) and not {k for k in data if "corpus" in k or "live" in k}
    assert "never active" in Toolbox(planted_desk(synthetic_store), "run", 23).call("feature_stats", {}).text
    near = box.call("neighbours", {"n": 3}).data["neighbours"]
    assert [(n["feature"], n["value"]) for n in near] == [("sae/3", 0.9), ("sae/4", 0.8), ("sae/5", 0.7)]
    together = box.call("neighbours", {"by": "contexts", "n": 2}).data["neighbours"]
    flat = [set(tokens_rows(synthetic_store, feature)) for feature in range(24)]
    expected = sorted(((-len(flat[2] & f) / len(flat[2] | f), n) for n, f in enumerate(flat) if n != 2 and f), key=lambda e: e)[
        :2
    ]
    assert [(n["feature"], n["value"]) for n in together] == [(f"sae/{n}", pytest.approx(-v, rel=1e-4)) for v, n in expected]


def tokens_rows(store: Store, feature: int) -> list[int]:
    """Rows of the train contexts in which a feature fires."""
    flat, values = store.activations(feature, "train")
    rows: list[int] = store.tokens("train").row[flat[values > store.feature(feature).stats.threshold]].tolist()
    return rows


def test_a_planted_program_needs_no_model(synthetic_store: Store) -> None:
    box = Toolbox(planted_desk(synthetic_store), "run", 2)
    result = box.call("activate", {"texts": ["the park robin sang", "Mary gave John tea"]})
    assert [(row["fires"], row["max"], row["position"]) for row in result.data["texts"]] == [(True, 1.2, 2), (False, 0.0, 0)]
    assert result.forwarded == 8
    edits = [{"kind": "substitute", "find": " robin", "text": " tea"}, {"kind": "shift", "times": 3, "text": " and"}]
    data = box.call("edit_and_compare", {"text": "the park robin sang", "edits": edits}).data
    assert [(v["after"], v["fires_after"]) for v in data["variants"]] == [(0.0, False), (pytest.approx(1.5), True)]
    found = box.call("search_inputs", {"length": 6, "effort": 400, "n": 1})
    assert found.data["texts"][0]["value"] == pytest.approx(1.5) and found.data["texts"][0]["text"].endswith(" robin")
    kept = box.call("minimal_context", {"text": "the park robin sang", "others": "delete"}).data
    assert kept["kept"] == [2] and kept["kept_value"] == 1.0 and kept["proven"]
    long = box.call("activate", {"texts": ["the park robin sang " * 5]})
    assert "in windows of 16 tokens" in long.text and long.data["texts"][0]["values"][18] == 1.2
    rows = box.call("contrast", {"a": ["the robin"], "b": ["the park"]}).data["rows"]
    assert [row["feature"] for row in rows] == ["sae/2"]


def test_a_store_alone_says_so(synthetic_store: Store) -> None:
    box = Toolbox(Desk(synthetic_store.train_view(), synthetic_store.dictionaries), "run", 2)
    assert "activate" not in [spec.name for spec in box.specs] and box.call("top_examples", {}).read
    with pytest.raises(ToolError, match=r"activate cannot be used here: it needs anything that gives activations"):
        box.call("activate", {"texts": ["the park"]})


def test_the_planted_program_is_the_store(synthetic_store: Store) -> None:
    tokens = synthetic_store.tokens("train")
    got = WordSource().activations([tokens.ids[a:b].tolist() for a, b in zip(tokens.starts[:-1], tokens.starts[1:], strict=True)])
    flat, values = synthetic_store.activations(2, "train")
    mine = got.feature == 2
    assert (tokens.starts[got.row[mine]] + got.position[mine]).tolist() == flat.tolist() and np.allclose(got.value[mine], values)


def test_features_of_a_text_are_those_that_fire_there_and_rarely_elsewhere(bench: Workbench, desk: Desk) -> None:
    text = TEXTS[1]
    result = Toolbox(desk, "run").call("find_features", {"text": text, "n": 30})
    ids = bench.subject.tokenize(text).ids.tolist()
    contexts = desk.train.tokens.n_contexts
    told = {}
    for number in range(desk.train.width):
        key, stats = str(desk.train.key(number)), desk.stats(number)
        values = alone(bench, key, ids)
        if values.max() > stats.threshold and stats.max > 0:
            rarity = -np.log2(max(stats.firing_contexts, 1) / (contexts + 1))
            told[key] = (values.max() / stats.max * rarity, int(values.argmax()), stats.firing_contexts)
    assert result.data["firing"] == len(told) > 0 and f"{len(told)} features fire" in result.text
    best = sorted(told, key=lambda key: -told[key][0])[:30]
    assert [row["feature"] for row in result.data["features"]][:3] == best[:3]
    for row in result.data["features"]:
        assert row["telling"] == pytest.approx(told[row["feature"]][0], rel=1e-3)
        assert (row["position"], row["contexts"]) == (told[row["feature"]][1], max(told[row["feature"]][2], 1))
        assert row["token"] == result.data["tokens"][row["position"]] and row["label"] is None
    assert result.forwarded == len(ids) * len(desk.dictionaries) and result.read == 0

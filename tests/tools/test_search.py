"""Search for inputs: against trying everything, from nothing, for features that never fire, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.store.errors import UserError
from dragoman.tools.probe import Probe
from dragoman.tools.search import Round, search_inputs
from dragoman.tools.search.candidates import Candidate, Pool
from dragoman.tools.search.fluency import log_probability
from dragoman.tools.search.gradient import gains
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench
from tests.support.benches import make_bench

Tiny = Callable[[str], Subject]
METHODS = ("evolution", "gradient", "both")


@pytest.fixture(scope="module", params=[("llama", True), ("gpt2", False)], ids=lambda p: f"{p[0]}-{p[1]}")
def bench(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    family, bos = request.param
    return make_bench(tmp_path_factory.mktemp("search"), tiny(family), prepend_bos=bos)


@pytest.fixture(scope="module")
def everything(bench: Workbench) -> dict[str, list[Candidate]]:
    """Every text of one or two tokens, judged; the best first."""
    judged = {}
    for feature in ("mlp.0/7",) if bench.prepend_bos else ("sae/2",):
        pool = Pool(Probe.of(bench, feature), 2)
        rows = pool.possible([(int(a),) for a in pool.allowed] + [(int(a), int(b)) for a, b in product(pool.allowed, repeat=2)])
        assert len(rows) > 20_000
        judged[feature] = sorted(pool.run(rows), reverse=True)
    return judged


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_best_of_all_short_texts_is_found_or_nearly(
    bench: Workbench, everything: dict[str, list[Candidate]], method: Any
) -> None:
    for feature, ranked in everything.items():
        found = search_inputs(Probe.of(bench, feature), method, from_nothing=True, length=2, budget=1000)
        value = found.found[0].value
        better = sum(candidate.value > value + 1e-4 for candidate in ranked)
        assert value > 0 and better <= len(ranked) // 200, (better, len(ranked))
        assert value <= ranked[0].value + 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_what_is_reported_is_what_the_text_gives(bench: Workbench, method: Any) -> None:
    probe = Probe.of(bench, "sae/2")
    found = search_inputs(probe, method, length=6, budget=800, seed=3, n=4)
    assert len(found.found) == 4 and 800 <= found.forwards < 1100
    values = [one.value for one in found.found]
    assert values[0] == max(values) > probe.maximum * 0.9, "fragments of train are where it begins"
    for one in found.found:
        prompt = probe.prompt(one.text)
        assert prompt.ids == one.ids and len(one.ids) <= 6, "the text leads back to the tokens"
        (got,) = probe.at([prompt.ids])
        assert float(got) == pytest.approx(one.value, abs=1e-3) and one.value == pytest.approx(one.pre_activation or 0, abs=1e-3)
    gained = [(entry.value, entry.pre_activation) for entry in found.history]
    assert gained == sorted(gained) and [e.forwards for e in found.history] == sorted(e.forwards for e in found.history)
    assert found.core is not None and probe.key in str(found) and found.found[0].strip.feature in found._repr_html_()


def test_the_seed_decides_everything(bench: Workbench) -> None:
    one, same, other = (search_inputs(Probe.of(bench, "sae/2"), "both", length=5, budget=500, seed=seed) for seed in (1, 1, 2))
    assert one.found == same.found and one.history == same.history
    assert one.history != other.history


def test_a_feature_that_never_fires_is_followed_by_its_pre_activation(bench: Workbench) -> None:
    """The last feature of the autoencoder has so low a bias that nothing fires it."""
    assert bench.maximum("sae/31") == 0
    for method in METHODS:
        found = search_inputs(Probe.of(bench, "sae/31"), method, from_nothing=True, length=4, budget=500)  # type: ignore[arg-type]
        assert found.found[0].value == 0 and found.core is None
        pool = Pool(Probe.of(bench, "sae/31"), 4)
        random = pool.run(pool.possible(pool.random(np.random.default_rng(5), 200)))
        assert (found.found[0].pre_activation or 0) > np.quantile([c.pre for c in random], 0.98)


def test_from_nothing_never_looks_at_the_corpus(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe.of(bench, "sae/2")
    probe.train = None
    assert search_inputs(probe, "both", from_nothing=True, length=4, budget=300).found[0].value > 0
    with pytest.raises(UserError, match="no corpus"):
        search_inputs(probe, "both", length=4, budget=300)


def test_the_estimate_is_the_derivative(bench: Workbench) -> None:
    """Moving a little of the way from one embedding to another changes the pre-activation as estimated."""
    probe = Probe.of(bench, "sae/2")
    pool = Pool(probe, 6)
    ids = probe.prompt("the cat sat on").ids
    (candidate,) = pool.run([ids])
    estimate = gains(pool, candidate)
    embeddings = probe.embed([candidate.ids]).double()
    for place, column in ((0, 5), (len(candidate.ids) - 1, 100)):
        other = probe.embed([[int(pool.allowed[column])]])[0, 0].double()
        step = 1e-2
        ends = []
        for sign in (1, -1):
            moved = embeddings.clone()
            moved[0, place] += sign * step * (other - embeddings[0, place])
            ends.append(float(probe.gradients(moved.float(), [len(candidate.ids) - 1])[0]))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float(estimate[place, column]) == pytest.approx(slope, rel=2e-2, abs=2e-3)


def test_log_probabilities_are_the_models_own(bench: Workbench) -> None:
    probe = Probe.of(bench, "sae/2")
    rows = [probe.prompt(text).ids for text in ("the cat sat on", "42", "a Red ball and the dog ran")]
    for row, got in zip(rows, log_probability(probe, rows), strict=True):
        ids = [*([1] if bench.prepend_bos else []), *row]
        with torch.inference_mode():
            table = torch.log_softmax(bench.subject.model(torch.tensor([ids])).logits[0].double(), -1)
        own = [float(table[at - 1, ids[at]]) for at in range(1, len(ids))]
        assert got == pytest.approx(sum(own) / len(row), abs=1e-4)


def test_fluency_trades_strength_for_likelihood(bench: Workbench) -> None:
    """On the same budget, a search in which fluency counts finds likelier texts, and better ones by the measure it is given."""
    price = 3.0
    probe = Probe.of(bench, "sae/2")
    odd, fluent = (
        search_inputs(probe, "gradient", from_nothing=True, length=6, budget=1200, fluency=fluency) for fluency in (0.0, price)
    )
    likelihood = [log_probability(probe, [found.ids for found in result.found]) for result in (odd, fluent)]
    scores = [
        [found.value + price * probe.maximum * float(own) for found, own in zip(result.found, means, strict=True)]
        for result, means in zip((odd, fluent), likelihood, strict=True)
    ]
    assert max(scores[1]) >= max(scores[0]) and likelihood[1].mean() > likelihood[0].mean()
    assert scores[1][0] == pytest.approx(max(scores[1]), abs=1e-3) and "fluent" in fluent.method


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "magic"}, "no method 'magic'"),
        ({"length": 0}, "allow 1 to 20"),
        ({"length": 21}, "allow 1 to 20"),
        ({"budget": 0}, "at least 1 forward"),
        ({"n": 0}, "at least 1 text"),
        ({"fluency": -1.0}, "0 or more"),
        ({"fluency": float("nan")}, "0 or more"),
    ],
)
def test_bad_input(bench: Workbench, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        search_inputs(Probe.of(bench, "sae/2"), **arguments)


def test_a_search_tells_how_far_it_is_and_ends_when_it_is_told_to(bench: Workbench) -> None:
    told: list[Round] = []
    probe = Probe.of(bench, "sae/2")
    found = search_inputs(probe, length=3, budget=400, tell=told.append)
    assert len(told) >= 4 and told[-1].forwards <= found.forwards
    assert [now.forwards for now in told] == sorted(now.forwards for now in told) and set(found.history[1:]) <= set(told)
    assert search_inputs(probe, length=3, budget=400) == found, "it finds the same"

    def enough(now: Round) -> None:
        raise InterruptedError

    before = probe.forwards
    with pytest.raises(InterruptedError):
        search_inputs(probe, length=3, budget=400, tell=enough)
    assert probe.forwards - before < 200

"""The laboratory of a store: its answers against the store, the tools underneath, and plain float64."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Passage
from dragoman.evals.scorers.laboratory import STRONGEST, Steer, WorkbenchLaboratory
from dragoman.tools.intervene import steers
from dragoman.tools.interventions import FeatureEdit, generate, measure, random_direction
from dragoman.tools.probe import Probe
from dragoman.tools.workbench import Workbench

pytestmark = pytest.mark.slow
Logprobs = Float[NDArray[np.float64], "prompts vocabulary"]


@pytest.fixture(scope="module")
def laboratory(organism_bench: Workbench) -> Iterator[WorkbenchLaboratory]:
    with WorkbenchLaboratory(organism_bench) as found:
        yield found


@pytest.fixture(scope="module")
def feature(laboratory: WorkbenchLaboratory) -> int:
    """The live feature that fires on most test tokens without being dense."""
    stats = {row["feature"]: row for row in laboratory.bench.store.stats_table().to_pylist()}
    return max((f for f in laboratory.rivals if not stats[f]["dense"]), key=lambda f: (stats[f]["firing"], f))


def contexts(laboratory: WorkbenchLaboratory, n: int) -> list[Passage]:
    tokens = laboratory.bench.store.tokens("test")
    rows = np.flatnonzero(np.diff(tokens.starts) >= 12)[:n].tolist()
    return [
        Passage(tuple(tokens.strings(row)), tuple(tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].tolist()))
        for row in rows
    ]


def prompts(laboratory: WorkbenchLaboratory, n: int) -> list[Passage]:
    return [Passage(p.strings[:12], p.ids[:12]) for p in contexts(laboratory, n)]


def test_texts_are_read_as_a_harvest_reads_them(laboratory: WorkbenchLaboratory) -> None:
    texts = [laboratory.bench.store.tokens("test").document_text(row) for row in range(5)]
    found = asyncio.run(laboratory.passages([*texts, "", texts[0] * 20]))
    for text, passage in zip(texts, found, strict=False):
        ids = laboratory.bench.subject.tokenize(text).ids[: laboratory.bench.window]
        assert list(passage.ids) == ids.tolist() and text.startswith(passage.text)
    assert found[5] == Passage((), ())
    assert len(found[6].ids) == laboratory.bench.window


def test_activations_are_those_of_the_store(laboratory: WorkbenchLaboratory, feature: int) -> None:
    whole = contexts(laboratory, 10)
    store = laboratory.bench.store
    tokens = store.tokens("test")
    flat, values = store.activations(feature, "test")
    real = np.zeros(len(tokens.ids), np.float32)
    real[flat] = values
    rows = np.flatnonzero(np.diff(tokens.starts) >= 12)[:10]
    found = asyncio.run(laboratory.activations(feature, [*whole[:5], Passage(()), *whole[5:]]))
    assert len(found.pop(5)) == 0
    for row, got in zip(rows, found, strict=True):
        np.testing.assert_allclose(got, real[tokens.starts[row] : tokens.starts[row + 1]], atol=1e-4)
    assert any(row.any() for row in found)


def test_edits_are_small_canonical_and_of_many_kinds(laboratory: WorkbenchLaboratory, feature: int) -> None:
    passage = contexts(laboratory, 1)[0]
    passage = Passage(passage.strings[:20], passage.ids[:20])
    found = asyncio.run(laboratory.alter(feature, passage, 16, 3))
    assert len(found) == 16 == len({edit.passage.ids for edit in found})
    for edit in found:
        assert list(edit.passage.ids) == laboratory.bench.subject.tokenize(edit.passage.text).ids.tolist()
        same = sum(a == b for a, b in zip(edit.passage.ids, passage.ids, strict=False))
        tail = sum(a == b for a, b in zip(edit.passage.ids[::-1], passage.ids[::-1], strict=False))
        assert edit.passage.ids != passage.ids
        if edit.done.startswith("cut off"):  # it may leave little, but nothing else than what stood there
            assert tail == len(edit.passage.ids), edit.done
        else:
            assert same + tail >= 8, edit.done
    assert len({edit.done.split()[0] for edit in found}) >= 6, "many kinds"
    assert asyncio.run(laboratory.alter(feature, passage, 16, 3)) == found
    assert asyncio.run(laboratory.alter(feature, passage, 16, 4)) != found


@pytest.mark.parametrize("random", [None, 5])
def test_the_strength_found_has_the_effect_asked_for(laboratory: WorkbenchLaboratory, feature: int, random: int | None) -> None:
    """The KL is measured again by the interventions' own measurement, and from float64 log-probabilities."""
    asked = prompts(laboratory, 12)
    tuned = asyncio.run(laboratory.tune(feature, asked, 1.0, random))
    assert tuned.kl == pytest.approx(1.0, abs=0.1)
    bench = laboratory.bench
    (edit,) = steers(bench, [feature], tuned.strength)
    edit = edit if random is None else random_direction(edit, random)
    effects = measure(bench.subject, [edit], [p.ids for p in asked], at="last", bos=bench.prepend_bos)
    assert effects.kl == pytest.approx(tuned.kl, rel=1e-3)
    clean, steered = (last_predictions(bench, asked, edits) for edits in ([], [edit]))
    assert float((np.exp(clean) * (clean - steered)).sum(1).mean()) == pytest.approx(tuned.kl, rel=1e-3)


def last_predictions(bench: Workbench, asked: list[Passage], edits: list[FeatureEdit]) -> Logprobs:
    """Log-probabilities of the token after each prompt, in float64, from the model with a forward hook of our own."""
    subject, added = bench.subject, torch.zeros(bench.store.subject.d_model, dtype=torch.float64)
    for edit in edits:
        written = edit.dictionary.directions[edit.features[0]].double() * edit.amounts[0]
        if edit.random is not None:
            unit = torch.randn(len(written), generator=torch.Generator().manual_seed(edit.random)).double()
            written = unit / unit.norm() * written.norm()
        added = added + written
    first = int(bench.prepend_bos)

    def hook(module: object, args: object, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[:, first:] += added.to(hidden.dtype)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    block = subject.blocks[int(bench.store.dictionaries[0].hook_out.split(".")[1])]
    handle = block.register_forward_hook(hook)
    rows = []
    with torch.inference_mode():
        for passage in asked:
            ids = torch.tensor([[*([subject.bos_id] if first else []), *passage.ids]])
            rows.append(torch.log_softmax(subject.model(ids).logits[0, -1].double(), -1).numpy())
    handle.remove()
    return np.stack(rows)


def test_an_effect_out_of_reach_is_reported_as_it_is(laboratory: WorkbenchLaboratory, feature: int) -> None:
    tuned = asyncio.run(laboratory.tune(feature, prompts(laboratory, 4), 1e6))
    assert tuned.strength == 2.0**STRONGEST and 0 < tuned.kl < 1e6


def test_continuations_are_sampled_under_the_steer_and_kept(laboratory: WorkbenchLaboratory, feature: int) -> None:
    asked = prompts(laboratory, 4)
    bench = laboratory.bench
    for steer in (None, Steer(feature, 3.0), Steer(feature, 3.0, 7)):
        edits = [] if steer is None else steers(bench, [feature], 3.0)
        edits = [random_direction(edits[0], 7)] if steer and steer.random is not None else edits
        wanted = generate(bench.subject, [p.ids for p in asked], edits, tokens=8, temperature=1.0, seed=2, bos=bench.prepend_bos)
        found = asyncio.run(laboratory.continuations(asked, steer, 8, 2))
        assert found == [said.text for said in wanted]
        found[0] = "spoiled by whoever got it"
        assert asyncio.run(laboratory.continuations(asked, steer, 8, 2))[0] == wanted[0].text
    assert asyncio.run(laboratory.continuations(asked, None, 8, 3)) != asyncio.run(laboratory.continuations(asked, None, 8, 2))


def test_what_was_asked_before_is_not_run_again(laboratory: WorkbenchLaboratory, feature: int) -> None:
    """A shuffled label asks about its feature what the feature's own label asked."""
    asked = [Passage(p.strings[:7], p.ids[:7]) for p in contexts(laboratory, 3)]
    first = asyncio.run(laboratory.activations(feature, asked))
    forwards = laboratory._probe(feature).forwards
    assert forwards and all(a is b for a, b in zip(first, asyncio.run(laboratory.activations(feature, asked)), strict=True))
    assert laboratory._probe(feature).forwards == forwards


def test_rivals_are_live_and_can_be_probed(laboratory: WorkbenchLaboratory) -> None:
    assert list(laboratory.rivals) == laboratory.bench.store.features("live")
    assert Probe.of(laboratory.bench, laboratory.rivals[0]).threshold > 0

"""Minimal contexts and occlusion against one forward pass at a time, and against every subset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest

from dragoman.store.errors import UserError
from dragoman.tools.attribution import occlude
from dragoman.tools.minimal import minimal_set, minimal_suffix
from dragoman.tools.probe import Probe
from dragoman.tools.source import SubjectSource
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench
from tests.support.benches import make_bench

Tiny = Callable[[str], Subject]
TEXT = "the cat sat on the mat and a dog"


@pytest.fixture(scope="module", params=[("llama", True), ("gpt2", False)], ids=lambda p: f"{p[0]}-{p[1]}")
def bench(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    family, bos = request.param
    return make_bench(tmp_path_factory.mktemp("minimal"), tiny(family), prepend_bos=bos)


@pytest.fixture(scope="module")
def probes(bench: Workbench) -> list[Probe]:
    """Features that fire on the text, the threshold raised so that it takes some context."""
    found = []
    for feature in range(bench.store.width):
        probe = Probe.of(bench, feature)
        focus_value = max(probe.values([probe.prompt(TEXT).ids])[0])
        if focus_value > probe.threshold and focus_value > 0:
            probe.threshold = 0.9 * float(focus_value)
            found.append(probe)
    assert len(found) > 15
    return found


def alone(probe: Probe, row: Sequence[int], position: int = -1) -> float:
    """One sequence on its own, through the source that the harvest is tested with."""
    got = SubjectSource(probe.subject, probe.dictionary, probe.prepend_bos).activations([row])
    mine = (got.feature == probe.index) & (got.position == (len(row) + position if position < 0 else position))
    return float(got.value[mine].sum())


def test_the_shortest_suffix(probes: list[Probe]) -> None:
    lengths = set()
    for probe in probes[:25]:
        found = minimal_suffix(probe, TEXT)
        ids = probe.prompt(TEXT).ids
        values = [alone(probe, ids[a : found.position + 1]) for a in range(found.position, -1, -1)]
        np.testing.assert_allclose(found.curve, values, atol=1e-4)
        assert len(found.kept) == next(n for n, v in enumerate(values, 1) if v > probe.threshold)
        assert found.kept[-1] == found.position and found.kept_value == pytest.approx(values[len(found.kept) - 1], abs=1e-4)
        lengths.add(len(found.kept))
    assert len(lengths) > 1, "the texts must not all be one token"


@pytest.mark.parametrize("baseline", ["delete", "neutral"])
def test_the_smallest_set_is_the_smallest_of_all_subsets(probes: list[Probe], baseline: str) -> None:
    sizes = set()
    for probe in probes[:12]:
        found = minimal_set(probe, TEXT, baseline=baseline, neutral=" park" if baseline == "neutral" else None)  # type: ignore[arg-type]
        assert found.proven and found.kept_value > probe.threshold and found.kept[-1] == found.position
        ids = probe.prompt(TEXT).ids[: found.position + 1]
        park = probe.token(" park")

        def row(kept: Sequence[int], ids: tuple[int, ...] = ids, park: int = park) -> list[int]:
            if baseline == "delete":
                return [ids[i] for i in (*kept, len(ids) - 1)]
            return [ids[i] if i in kept or i == len(ids) - 1 else park for i in range(len(ids))]

        assert alone(probe, row(found.kept[:-1])) == pytest.approx(found.kept_value, abs=1e-4)
        for size in range(len(found.kept) - 1):
            values = probe.at([row(kept) for kept in combinations(range(len(ids) - 1), size)])
            assert values.max() <= probe.threshold, "nothing smaller fires it"
        sizes.add(len(found.kept))
    assert len(sizes) > 1


@pytest.mark.parametrize("method", ["delete", "replace"])
def test_occlusion_is_one_forward_pass_a_token(probes: list[Probe], method: str) -> None:
    for probe in probes[:6]:
        found = occlude(probe, TEXT, method=method, replacement=" park")  # type: ignore[arg-type]
        ids = list(probe.prompt(TEXT).ids)
        here = found.position
        base = alone(probe, ids, here)
        assert found.value == pytest.approx(base, abs=1e-4) and len(found.scores) == len(ids)
        park = probe.token(" park")
        for i, score in enumerate(found.scores):
            if i > here or (method == "delete" and i == here):
                assert score is None
            elif method == "delete":
                assert score == pytest.approx(base - alone(probe, ids[:i] + ids[i + 1 :], here - 1), abs=2e-4)
            else:
                assert score == pytest.approx(base - alone(probe, [*ids[:i], park, *ids[i + 1 :]], here), abs=2e-4)


def test_a_long_text_is_seen_through_its_window(bench: Workbench) -> None:
    text = " ".join(["the cat sat on the mat"] * 12)
    probe = Probe.of(bench, "mlp.0/3")
    prompt = probe.prompt(text)
    assert len(prompt) > 2 * bench.window
    where = bench.window + 5
    found = occlude(probe, prompt, position=where)
    assert [i for i, s in enumerate(found.scores) if s is not None] == list(range(bench.window, where + 1))
    (values,) = probe.values([prompt.ids])
    assert found.value == pytest.approx(values[where], abs=1e-4)
    assert values[where] == pytest.approx(alone(probe, prompt.ids[bench.window : 2 * bench.window], 5), abs=1e-4)


def test_the_neutral_token_is_the_commonest_silent_one(bench: Workbench) -> None:
    probe = Probe.of(bench, "sae/3")
    tokens = bench.store.tokens("train")
    where, _ = bench.store.activations("sae/3", "train")
    silent = set(tokens.ids.tolist()) - set(tokens.ids[where].tolist())
    counts = np.bincount(tokens.ids)
    assert probe.neutral in silent and counts[probe.neutral] == max(counts[i] for i in silent)


def test_bad_input(bench: Workbench) -> None:
    probe = Probe.of(bench, "sae/3")
    dead = Probe.of(bench, "sae/31")
    for call, says in (
        (lambda: minimal_set(dead, TEXT), "does not fire on this text"),
        (lambda: minimal_suffix(dead, TEXT, 2), "does not fire at token 2"),
        (lambda: occlude(probe, TEXT, 99), "no token 99 in this text"),
        (lambda: occlude(probe, "", 0), "empty"),
        (lambda: occlude(probe, TEXT, 0, replacement=" the cat"), "tokens here"),
        (lambda: occlude(probe, TEXT, 0, method="blur"), "no occlusion 'blur'"),  # type: ignore[arg-type]
        (lambda: minimal_set(probe, TEXT, baseline="blur"), "no baseline 'blur'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UserError, match=says):
            call()


def test_how_they_look(bench: Workbench, probes: list[Probe]) -> None:
    probe = probes[0]
    for result in (minimal_suffix(probe, TEXT), minimal_set(probe, TEXT), occlude(probe, "<b>the</b> cat", 1)):
        assert probe.key in result._repr_html_() and "<b>" not in result._repr_html_()
        assert result.__rich__() is not None

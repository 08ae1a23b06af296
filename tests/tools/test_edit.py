"""Edits: what they do to the text, which token becomes which, what they refuse, and what they change in a feature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dragoman.store.errors import UserError
from dragoman.tools.edit import apply, compare
from dragoman.tools.edits import (
    EDITS,
    Case,
    Delete,
    Edit,
    Insert,
    OfItsKind,
    Repeat,
    Shift,
    Space,
    Substitute,
    Swap,
    Truncate,
)
from dragoman.tools.kinds import form
from dragoman.tools.pairs import minimal_pairs
from dragoman.tools.probe import Probe
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench
from tests.support.benches import WORDS, make_bench

Tiny = Callable[[str], Subject]
TEXT = "the cat sat on the mat"


@pytest.fixture(scope="module", params=[("llama", True), ("gpt2", False)], ids=lambda p: f"{p[0]}-{p[1]}")
def bench(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    family, bos = request.param
    return make_bench(tmp_path_factory.mktemp("edit"), tiny(family), prepend_bos=bos)


@pytest.fixture(scope="module")
def probe(bench: Workbench) -> Probe:
    """A feature that is active on many tokens."""
    return Probe.of(bench, "mlp.0/3")


def place(probe: Probe, token: str) -> int:
    return probe.prompt(TEXT).strings.index(token)


def test_each_edit_does_to_the_text_what_it_says(probe: Probe) -> None:
    strings = probe.prompt(TEXT).strings
    assert strings == ("the", " cat", " sat", " on", " the", " mat")
    for edit, after in (
        (Substitute(1, " dog"), "the dog sat on the mat"),
        (Substitute(1, " Red ball", stop=3), "the Red ball on the mat"),
        (Insert(0, "a dog and "), "a dog and the cat sat on the mat"),
        (Insert(6, "."), "the cat sat on the mat."),
        (Delete(1, 3), "the on the mat"),
        (Delete(0), " cat sat on the mat"),
        (Swap(5, 1), "the mat sat on the cat"),
        (Repeat(1, 3), "the cat sat cat sat on the mat"),
        (Repeat(5, times=3), "the cat sat on the mat mat mat"),
        (Case(1, "upper", stop=3), "the CAT SAT on the mat"),
        (Case(0, "title"), "The cat sat on the mat"),
        (Case(1, "lower"), TEXT),
        (Space(1, "remove"), "thecat sat on the mat"),
        (Space(1, "double"), "the  cat sat on the mat"),
        (Space(2, "newline"), "the cat\nsat on the mat"),
        (Space(2, "add"), TEXT),
        (Truncate(3), " on the mat"),
        (Shift(2, " park"), " park parkthe cat sat on the mat"),
    ):
        found = apply(probe, TEXT, [edit])
        assert found.after.text == after, edit
        assert found.edits == (str(edit),) and found.before.text == TEXT
        kept = [(new, old) for new, old in enumerate(found.origin) if old is not None]
        if not isinstance(edit, (Substitute, Case, Space)):
            assert all(found.after.ids[new] == found.before.ids[old] for new, old in kept)
        assert len({old for _, old in kept}) == len(kept), "every old token has at most one image"


def test_which_token_becomes_which(probe: Probe) -> None:
    def origin(*edits: Edit) -> list[int | None]:
        return list(apply(probe, TEXT, edits).origin)

    assert origin(Delete(1)) == [0, 2, 3, 4, 5]
    assert origin(Swap(1, 5)) == [0, 5, 2, 3, 4, 1]
    assert origin(Repeat(1, 3)) == [0, 1, 2, None, None, 3, 4, 5]
    assert origin(Insert(2, " dog")) == [0, 1, None, 2, 3, 4, 5]
    assert origin(Substitute(1, " dog", stop=3)) == [0, 2, 3, 4, 5], "fewer tokens: matched from the end"
    longer = origin(Substitute(1, " Red ball dog"))
    assert longer[-5:] == [1, 2, 3, 4, 5] and set(longer[1:-5]) == {None}, "more tokens: the last one is the image"
    assert origin(Truncate(4)) == [4, 5]
    assert origin(Shift(2), Delete(0), Substitute(5, " dog")) == [None, None, 1, 2, 3, 4, 5]


def test_edits_are_made_together(probe: Probe) -> None:
    edits: list[Edit] = [Delete(2), Insert(2, " dog"), Substitute(5, " park"), Case(0, "upper")]
    one, other = apply(probe, TEXT, edits), apply(probe, TEXT, edits[::-1])
    assert one.after.text == other.after.text == "THE cat dog on the park"
    assert one.origin == other.origin


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ([Delete(1, 3), Substitute(2, " x")], "overlap at token 2"),
        ([Swap(1, 3), Case(3, "upper")], "overlap at token 3"),
        ([Delete(1, 4), Insert(2, " dog")], "overlap at token 2"),
        ([Delete(6)], "no token 6"),
        ([Delete(-1)], "no token -1"),
        ([Substitute(4, " x", stop=4)], "no span 4:4"),
        ([Insert(7, "x")], "before token 7"),
        ([Swap(2, 2)], "cannot change places with itself"),
        ([Repeat(1, times=1)], "2 to 100 times"),
        ([Truncate(6)], "Nothing would be left"),
        ([Delete(0, 6)], "Nothing is left"),
        ([Shift(0)], "shifted by 1 to"),
        ([Shift(2, " the cat")], "tokens here"),
        ([Case(1, "odd")], "no case 'odd'"),  # type: ignore[arg-type]
        ([Space(1, "odd")], "no white space 'odd'"),  # type: ignore[arg-type]
        ([OfItsKind(1, choice=10**6)], "holds only"),
        ([Insert(1, " cat" * 300)], "at most 256 tokens"),
    ],
)
def test_what_is_refused(probe: Probe, edits: list[Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        apply(probe, TEXT, edits)


def test_another_of_its_kind(bench: Workbench, probe: Probe) -> None:
    assert form(" Monday") == " Aa" and form("42 x=1") == "00 a=0" and form("NASA I") == "A A"
    for start, stop in ((1, 2), (4, 6)):
        texts = [apply(probe, TEXT, [OfItsKind(start, stop, choice)]).after for choice in range(3)]
        spans = ["".join(text.strings[start : start + len(text) - 6 + stop - start]) for text in texts]
        old = "".join(probe.prompt(TEXT).strings[start:stop])
        assert len(set(spans)) == 3 and old not in spans
        assert all(form(span) == form(old) and set(span.split()) <= set(WORDS) for span in spans)
    ids = probe.prompt("park with a").ids
    words = ["".join(bench.subject.vocabulary[i] for i in ids[a:b]) for a, b in bench.kinds.words(ids)]
    assert words == ["park", " with", " a"]


def test_a_comparison_reads_both_texts(probe: Probe) -> None:
    edits: list[Edit] = [Delete(2), Insert(1, " park")]
    found = compare(probe, TEXT, edits, position=4)
    (before,) = probe.values([probe.prompt(TEXT).ids])
    (after,) = probe.values([probe.prompt("the park cat on the mat").ids])
    np.testing.assert_allclose(found.before_values, before, atol=1e-4)
    np.testing.assert_allclose(found.after_values, after, atol=1e-4)
    assert found.image == 4 and found.change == pytest.approx(float(after[4] - before[4]), abs=1e-4)
    assert [row[:2] for row in found.rows] == [(0, 0), (None, 1), (1, 2), (2, None), (3, 3), (4, 4), (5, 5)]
    assert sum(row[2] for row in found.rows) == pytest.approx(float(after.sum() - before.sum()), abs=1e-3)
    assert compare(probe, TEXT, [Delete(4)], position=4).change is None
    assert found.feature in str(found) and "after" in found._repr_html_() and found.__rich__() is not None
    with pytest.raises(UserError, match="no token 9"):
        compare(probe, TEXT, edits, position=9)


def test_a_text_that_grows_out_of_its_window_is_still_read_whole(probe: Probe) -> None:
    text = " ".join(["the cat sat on the mat"] * 3)
    prompt = probe.prompt(text)
    assert len(prompt) <= probe.window < len(prompt) + 6
    found = compare(probe, prompt, [Shift(6, " park")], position=len(prompt) - 1)
    whole = [probe.token(" park")] * 6 + list(prompt.ids)
    (value,) = probe.at([whole])
    assert found.image == len(whole) - 1 and found.after_values[-1] == pytest.approx(float(value), abs=1e-4)


def test_minimal_pairs(probe: Probe) -> None:
    here = 5
    found = minimal_pairs(probe, TEXT, here, limit=300)
    assert found.tried == len(found.pairs) > 30
    changes = [abs(pair.change) for pair in found.pairs]
    assert changes == sorted(changes, reverse=True)
    (values,) = probe.values([probe.prompt(TEXT).ids])
    assert found.position == here and found.before == pytest.approx(float(values[here]), abs=1e-4)
    by_edit = {pair.edit: pair for pair in found.pairs}
    for edit in (Truncate(2), Delete(3), Swap(1, 2), Case(5, "upper"), Shift(4), Repeat(2), OfItsKind(1, 2, 0)):
        pair, edited = by_edit[str(edit)], apply(probe, TEXT, [edit])
        image = edited.image(here)
        assert image is not None
        (value,) = probe.at([edited.after.ids[: image + 1]])
        assert pair.after == pytest.approx(float(value), abs=1e-4) and pair.fires == (value > probe.threshold)
        assert pair.change == pytest.approx(pair.after - found.before, abs=1e-4)
    assert len({pair.new for pair in found.pairs}) > 0.8 * len(found.pairs)
    assert "edits" in str(found) and "<table>" in found._repr_html_()
    assert len(minimal_pairs(probe, TEXT, limit=5).pairs) == 5
    with pytest.raises(UserError, match="1 to"):
        minimal_pairs(probe, TEXT, limit=0)


def test_every_kind_of_edit_has_a_name() -> None:
    assert len(EDITS) == 10 and all(name == name.lower() for name in EDITS)


class Everywhere(Probe):
    """A feature for which no token is neutral."""

    @property
    def neutral(self) -> int:  # type: ignore[override]
        raise UserError("It is active on every token.")


def test_pairs_of_a_feature_that_is_active_on_every_token_do_without_a_neutral_one(bench: Workbench) -> None:
    dense, probe = Everywhere.of(bench, "mlp.0/3"), Probe.of(bench, "mlp.0/3")
    found, all_of_them = (minimal_pairs(p, TEXT, 3, limit=300) for p in (dense, probe))
    assert {pair.edit.split()[0] for pair in all_of_them.pairs} - {pair.edit.split()[0] for pair in found.pairs} >= {"insert"}
    assert 0 < found.tried < all_of_them.tried

"""Groups of what a feature fires on, against tokens whose kinds are known."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.tools.toolkit.desk import Rows
from dragoman.tools.toolkit.groups import DRAWN, _drawn, _grouped
from dragoman.tools.workbench import Workbench


@pytest.fixture(scope="module")
def desk(organism_bench: Workbench) -> Desk:
    return Desk.of(organism_bench)


def test_tokens_of_two_kinds_fall_into_two_groups(desk: Desk) -> None:
    text = desk.text
    marks = np.flatnonzero(np.isin(text.ids, _ids(desk, ["?"])))
    names = np.flatnonzero(np.isin(text.ids, _ids(desk, [" Mary", " Thomas", " Walter", " Gloria", " Frank"])))
    at = np.sort(np.concatenate([marks[:60], names[:60]]))
    kind = np.isin(at, marks)
    label = _grouped(desk, at)
    largest = [np.bincount(label[kind == one]).argmax() for one in (True, False)]
    assert largest[0] != largest[1]
    assert not set(label[kind]) & set(label[~kind])
    assert (label[kind] == largest[0]).mean() > 0.8


def _ids(desk: Desk, strings: list[str]) -> list[int]:
    return [id for id, text in enumerate(desk.train.tokens.vocabulary) if text in strings]


def test_firing_tokens_are_drawn_evenly_over_their_strength() -> None:
    values = np.linspace(1, 100, 10 * DRAWN).astype(np.float32)
    rows = Rows(np.arange(len(values)), values)
    chosen = _drawn(rows, np.arange(len(values)), 0)
    assert len(chosen) == DRAWN == len(set(chosen.tolist())) and (np.diff(chosen) > 0).all()
    assert np.allclose(np.quantile(values[chosen], [0.1, 0.5, 0.9]), np.quantile(values, [0.1, 0.5, 0.9]), atol=1.0)
    assert (_drawn(rows, np.arange(5), 0) == np.arange(5)).all()


def test_groups_say_what_they_hold(desk: Desk) -> None:
    feature = max(range(desk.train.width), key=lambda n: desk.stats(n).firing)
    toolbox = Toolbox(desk, "run", feature)
    result = toolbox.call("example_groups", {"most": 2})
    groups = result.data["groups"]
    assert 1 <= len(groups) <= 2 and groups[0]["share"] >= groups[-1]["share"] > 0
    train = {int(context) for context in desk.train.tokens.context_ids}
    assert all(set(group["contexts"]) <= train and group["mean"] > desk.stats(feature).threshold for group in groups)
    assert result == toolbox.call("example_groups", {"most": 2}) and "Group A: " in result.text and result.read > 0


def test_a_feature_that_hardly_fires_is_not_grouped(desk: Desk) -> None:
    feature = min(range(desk.train.width), key=lambda n: desk.stats(n).firing)
    assert desk.stats(feature).firing < 4
    result = Toolbox(desk, "run", feature).call("example_groups", {})
    assert result.data["groups"] == [] and "too few to group" in result.text

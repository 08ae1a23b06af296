"""The table of features: what fits, in which order, and what was written since is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragoman.store.catalogue import LONGEST, Catalogue, Wish
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import Facet, Label, Score
from dragoman.store.verdicts import Correction, Verdicts
from tests.support.synthetic import make_store

SCORERS = ("simulation.r", "detection.auroc")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[tuple[Catalogue, Store, Verdicts]]:
    with make_store(tmp_path / "store", documents=60, windows=1) as store, closing(Verdicts(store.ledger.path)) as verdicts:
        yield store.catalogue(verdicts, SCORERS), store, verdicts


def label(feature: int, name: str, description: str = "", run: str = "a", agent: str = "induction") -> Label:
    return Label(
        id=f"{run}-{feature}-{name}",
        feature=feature,
        run=run,
        name=name,
        description=description or name,
        facets=(Facet(description="ends in a hundredfold"),) if feature == 3 else (),
        agent=agent,
    )


def score(
    of: Label, value: float | None, scorer: str = "simulation.r", judge: str = "pattern", contestant: str = "label"
) -> Score:
    return Score(
        label=of.id,
        feature=of.feature,
        run=f"scores-{judge}",
        scorer=scorer,
        judge=judge,
        contestant=contestant,
        split="test",
        value=value,
        n=10,
    )


def ids(catalogue: Catalogue, wish: Wish) -> list[int]:
    return [row.feature for row in catalogue.page(wish).rows]


def test_every_column_sorts_as_the_store_says(catalogue: tuple[Catalogue, Store, Verdicts]) -> None:
    table, store, _ = catalogue
    rows = store.stats_table().to_pylist()
    for order, column in (("density", "firing_density"), ("max", "max")):
        for descending in (False, True):
            expected = sorted(range(store.width), key=lambda f: (-1 if descending else 1) * np.float32(rows[f][column]))
            assert ids(table, Wish(order=order, descending=descending)) == expected
    assert ids(table, Wish()) == list(range(store.width))
    assert ids(table, Wish(descending=True, order="feature")) == list(reversed(range(store.width)))
    tokens = {f: store.feature(f).stats.top_tokens for f in range(store.width)}
    by_token = ids(table, Wish(order="token"))
    named = [tokens[f][0].token.strip() for f in by_token if tokens[f]]
    assert named == sorted(named, key=str.casefold) and not tokens[by_token[-1]], "a feature without tokens is last"
    first = table.page(Wish()).rows[1]
    assert first.key == "sae/1" and [t.token for t in first.tokens] == [t.token for t in tokens[1][:5]]
    assert first.density == pytest.approx(rows[1]["firing_density"]) and first.liveness == rows[1]["liveness"]


def test_pages_hold_every_feature_once(catalogue: tuple[Catalogue, Store, Verdicts]) -> None:
    table, store, _ = catalogue
    wish = Wish(order="density", descending=True, size=7)
    pages = [table.page(replace(wish, page=n)) for n in range(1, 5)]
    assert [f for page in pages for f in (row.feature for row in page.rows)] == ids(table, replace(wish, size=100))
    assert pages[0].pages == 4 and pages[0].total == store.width
    assert table.page(replace(wish, page=99)).page == 4 and table.page(replace(wish, page=-1)).page == 1


def test_words_tokens_and_kinds_narrow_the_table(catalogue: tuple[Catalogue, Store, Verdicts]) -> None:
    table, store, _ = catalogue
    store.ledger.record(
        labels=[
            label(2, "Names of birds", "fires on robin"),
            label(3, "numbers"),
            label(5, "trees", "the names of trees, birds excepted"),
        ]
    )
    assert ids(table, Wish(words="BIRD name")) == [2, 5], "the one with the words in its name first"
    assert ids(table, Wish(words="ird")) == [], "words begin where words begin"
    assert ids(table, Wish(words="hundredf")) == [3], "facets are searched"
    assert ids(table, Wish(words="sae/7")) == [7] == ids(table, Wish(words="7")), "an address finds its feature"
    assert ids(table, Wish(words="birds", order="feature", descending=True)) == [5, 2]
    assert ids(table, Wish(labeled="yes")) == [2, 3, 5] and len(ids(table, Wish(labeled="no"))) == store.width - 3
    with_sparrow = ids(table, Wish(token="PARROW"))
    assert 3 in with_sparrow and all("sparrow" in row.tokens[0].token for row in table.page(Wish(token="PARROW")).rows)
    assert ids(table, Wish(liveness="dead")) == store.features("dead") != []
    assert ids(table, Wish(dictionary="sae", labeled="yes")) == [2, 3, 5]
    for wrong in (Wish(dictionary="none"), Wish(order="colour"), Wish(liveness="alive")):  # type: ignore[arg-type]
        with pytest.raises(UserError):
            table.page(wrong)


def test_what_is_written_while_the_table_is_open_appears(catalogue: tuple[Catalogue, Store, Verdicts]) -> None:
    table, store, verdicts = catalogue
    assert table.page(Wish()).scorers == ()
    one, two = label(1, "one"), label(2, "two")
    store.ledger.record(labels=[one, two], scores=[score(one, 0.25), score(two, 0.75), score(two, 0.1, contestant="shuffled")])
    page = table.page(Wish(order="simulation.r", descending=True))
    assert [row.feature for row in page.rows][:3] == [2, 1, 0] and page.scorers == ("simulation.r",)
    assert page.rows[0].scores == (0.75,) and page.rows[2].scores == (None,)
    assert ids(table, Wish(order="simulation.r"))[:2] == [1, 2], "what has no figure is last either way"
    verdicts.give(1, one.id, "wrong")
    verdicts.give(1, one.id, "partly")
    assert table.page(Wish(words="one")).rows[0].verdict == "partly"
    newer = label(1, "newer", run="b")
    store.ledger.record(labels=[newer])
    row = table.page(Wish()).rows[1]
    assert (row.name, row.scores, row.verdict) == ("newer", (None,), None), "an old label's score is not the new one's"
    assert table.page(Wish(run="a")).rows[1].name == "one"
    store.ledger.record(scores=[score(newer, 0.5), score(newer, 0.9, judge="model")])
    assert table.page(Wish(judge="pattern")).rows[1].scores == (0.5,)
    assert table.page(Wish(judge="model")).rows[1].scores == (float(np.float32(0.9)),)


def test_a_persons_label_stands_only_where_no_other_does(catalogue: tuple[Catalogue, Store, Verdicts]) -> None:
    table, store, verdicts = catalogue
    store.ledger.record(labels=[label(1, "by a model")])
    for feature in (1, 4):
        given = verdicts.give(feature, None, None, correction=Correction(description="what I think"))
    rows = table.page(Wish()).rows
    assert (rows[1].name, rows[1].agent) == ("by a model", "induction")
    assert (rows[4].name, rows[4].agent) == ("what I think", "human")
    store.ledger.record(labels=[label(4, "by a model later")])
    assert table.page(Wish()).rows[4].agent == "induction"
    written = store.ledger.label(str(given.correction))
    assert written and table.page(Wish(run=written.run, labeled="yes")).total == 2


def test_a_label_of_a_million_characters_is_kept_short(catalogue: tuple[Catalogue, Store, Verdicts]) -> None:
    table, store, _ = catalogue
    store.ledger.record(labels=[label(1, "x" * 1_000_000, "needle " * 200_000)])
    assert len(table.page(Wish()).rows[1].name) == LONGEST

"""What a reader is asked about a label."""

from __future__ import annotations

from dragoman.evals.scorers.claims import claims
from dragoman.store.records import Facet, Label


def label(description: str, *facets: str) -> Label:
    parts = tuple(Facet(description=facet) for facet in facets)
    return Label(id="l", feature=1, run="r", name="birds and roofs", description=description, facets=parts, agent="a")


def test_the_whole_and_each_facet_are_claims() -> None:
    assert claims(label("birds, or roofs", "birds", "roofs")) == ("birds, or roofs", ("birds", "roofs"))


def test_one_facet_says_what_the_whole_says_and_an_empty_description_leaves_the_name() -> None:
    assert claims(label("birds", "birds")) == ("birds", ())
    assert claims(label(" ", "birds", " ")) == ("birds and roofs", ())

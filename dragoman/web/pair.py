"""Two features side by side: what they share, and on what they differ."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dragoman.evals.report.plots import activation_histogram
from dragoman.evals.report.sections import Row
from dragoman.store.errors import UserError
from dragoman.store.records import Feature, Label, TokenValue

from .feature import AROUND, TOKENS, found, scores_of, shown_label
from .features import address_of
from .site import Site, site_of
from .strips import strip

EXAMPLES = 4
"""Texts shown of each kind."""


class Side(NamedTuple):
    """One of the two features."""

    key: str
    """DICT/INDEX."""
    feature: Feature
    """What the store knows."""
    label: Label | None
    """Its label."""
    scores: list[Row]
    """Its label's scores on test."""
    histogram: Markup
    """Its activations on train."""
    tokens: list[tuple[TokenValue, bool]]
    """Its top tokens, and whether the other one has them too."""
    promoted: list[tuple[TokenValue, bool]]
    """Tokens it promotes, likewise."""


class Firing(NamedTuple):
    """On how many train tokens the two fire."""

    both: int
    """Both."""
    left: int
    """The first alone."""
    right: int
    """The second alone."""

    @property
    def jaccard(self) -> float:
        """Tokens on which both fire as a share of those on which either does."""
        every = self.both + self.left + self.right
        return self.both / every if every else 0.0


class Shown(NamedTuple):
    """Texts on which the two agree or differ."""

    title: str
    """Which."""
    n: int
    """How many train tokens."""
    texts: list[tuple[Markup, Markup]]
    """Each with the activations of the first and of the second."""


async def page(request: Request) -> Response:
    """Two features side by side; where only one is named, a form asks for the other."""
    site, query = site_of(request), request.query_params
    names = [name.strip() for name in f"{query.get('features', '')},{query.get('with', '')}".split(",") if name.strip()]
    values: dict[str, Any] = {"names": [*names, "", ""][:2], "pair": None, "trouble": "", "cosine": None}
    if len(names) > 2:
        values["trouble"] = "Two features stand side by side, not more: name two."
    elif len(names) == 2:
        one, two = (found(site, name) for name in names)
        if one == two:
            values["trouble"] = "These are the same feature: name another one."
        else:
            values |= await site.read(pair, site, one, two)
            if values["cosine"] is None:
                values["cosine"] = await site.work(measured_cosine, site, one, two)
    return site.pages.page(request, "pair.html.j2", status=400 if values["trouble"] else 200, addressed=address_of, **values)


def pair(site: Site, one: int, two: int) -> dict[str, Any]:
    """What the store knows of two features."""
    left, right = site.store.feature(one), site.store.feature(two)
    firing, shown = overlap(site, left, right)
    cosines = {str(other.key): other.value for other in left.neighbours} | {
        str(left.key): other.value for other in right.neighbours if other.key == left.key
    }
    return {
        "pair": (_side(site, left, right), _side(site, right, left)),
        "firing": firing,
        "shown": shown,
        "cosine": cosines.get(str(right.key), cosines.get(str(left.key))),
    }


def overlap(site: Site, left: Feature, right: Feature) -> tuple[Firing, list[Shown]]:
    """On how many train tokens both or one of two features fires, and the strongest texts of each kind."""
    fired = []
    for known in (left, right):
        places, values = site.store.activations(known.id, "train")
        fires = values > known.stats.threshold
        fired.append((places[fires], values[fires] / (known.stats.max or 1.0)))
    (first, strong), (second, strongly) = fired
    both, at_first, at_second = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    alone = np.setdiff1d(np.arange(len(first)), at_first), np.setdiff1d(np.arange(len(second)), at_second)
    groups = [
        ("Both fire", both, np.minimum(strong[at_first], strongly[at_second])),
        (f"Only {left.key} fires", first[alone[0]], strong[alone[0]]),
        (f"Only {right.key} fires", second[alone[1]], strongly[alone[1]]),
    ]
    firing = Firing(*(len(places) for _, places, _ in groups))
    return firing, [Shown(title, len(places), _texts(site, left, right, places, weight)) for title, places, weight in groups]


def _texts(site: Site, left: Feature, right: Feature, places: np.ndarray, weight: np.ndarray) -> list[tuple[Markup, Markup]]:
    """The texts in which the heaviest of some train tokens stand, each once, with the activations of both features."""
    tokens = site.store.tokens("train")
    chosen: dict[int, int] = {}
    for at in np.argsort(-weight, kind="stable")[: 50 * EXAMPLES]:
        if len(chosen) == EXAMPLES:
            break
        chosen.setdefault(int(tokens.context_ids[tokens.row[places[at]]]), int(tokens.position[places[at]]))
    numbers = list(chosen)
    contexts = site.store.contexts(numbers)
    values = [site.store.values(known.id, numbers) for known in (left, right)]
    texts = []
    for context in contexts:
        here = slice(max(0, chosen[context.id] - AROUND), chosen[context.id] + AROUND + 1)
        one, two = (
            strip(context.strings[here], own[context.id].tolist()[here], known.stats.max, known.stats.threshold)
            for own, known in zip(values, (left, right), strict=True)
        )
        texts.append((one, two))
    return texts


def measured_cosine(site: Site, one: int, two: int) -> float | None:
    """Cosine of two decoder directions, from the dictionaries; None where they are not there or write to different places."""
    keys = [site.store.key(feature) for feature in (one, two)]
    hooks = {info.name: info.hook_out for info in site.store.dictionaries}
    if hooks[keys[0].dictionary] != hooks[keys[1].dictionary]:
        return None
    try:
        left, right = (site.bench.dictionary(key.dictionary).directions[key.index].float() for key in keys)
    except UserError:
        return None
    return float(left @ right / (left.norm() * right.norm()).clamp_min(1e-12))


def _side(site: Site, known: Feature, other: Feature) -> Side:
    label = shown_label(site.store.ledger.labels(feature=known.id), None)
    scored = [] if label is None else scores_of(label, site.store.ledger.scores(feature=known.id))
    return Side(
        key=str(known.key),
        feature=known,
        label=label,
        scores=scored[0].rows if scored else [],
        histogram=activation_histogram(known.stats.histogram, known.stats.max, known.stats.threshold),
        tokens=_shared(known.stats.top_tokens, other.stats.top_tokens),
        promoted=_shared(known.promoted, other.promoted),
    )


def _shared(own: tuple[TokenValue, ...], others: tuple[TokenValue, ...]) -> list[tuple[TokenValue, bool]]:
    theirs = {one.token for one in others}
    return [(one, one.token in theirs) for one in own[:TOKENS]]


ROUTES = [Route("/compare/features", page)]

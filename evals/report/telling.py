"""A trail in words: what the terminal and the report both show of each step, as plain texts that each of them still escapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dragoman.store.features import Store
from dragoman.store.findings import Hypothesis
from dragoman.store.records import Example, Stratum
from dragoman.store.trail import Cost, Part, Trail

from .tried import Texts, Tried, by_number, in_order, shortened, told_of

ROWS = 80
"""Lines shown of what no other rule knows how to show."""


class Claim(NamedTuple):
    """A hypothesis."""

    called: str
    """H1, H2 …"""
    name: str
    """Its name."""
    description: str
    """What it claims."""
    rule: str
    """The same as a pattern; empty where there is none."""
    facets: tuple[str, ...]
    """The separate things it fires on."""
    origin: str
    """Who made it in which round, and from which others."""
    status: str
    """Where it stood in the end."""
    figure: str
    """Its figure on validation; empty where it has none."""


class Seen(NamedTuple):
    """A piece of evidence."""

    what: str
    """The stratum, or the tool."""
    contexts: tuple[int, ...]
    """Train contexts that were shown."""


class Told(NamedTuple):
    """A step."""

    title: str
    """What was done."""
    cost: str
    """What it cost; empty for nothing."""
    seen: tuple[Seen, ...]
    """Evidence."""
    claims: tuple[Claim, ...]
    """New hypotheses."""
    tried: tuple[Tried, ...]
    """Experiments."""
    facts: tuple[tuple[str, str], ...]
    """All else: names with texts."""


def tell(trail: Trail, store: Store) -> list[Told]:
    """Every step of a trail."""
    texts = Texts(store)
    told = [_part(part, trail, texts) for part in trail.parts]
    if trail.loose:
        loose = tuple(told_of(trial, texts) for trial in trail.loose)
        told.append(Told("Planned or run when the work was stopped", "", (), (), loose, ()))
    return told


SCALE = "activations: 10 is the largest on train, and the feature fires from 2"
"""How figures in verdicts are to be read."""


def heading(trail: Trail) -> str:
    """Who worked on the feature, and how."""
    known = json.loads(trail.run.config)
    rung = known.get("settings", {}).get("rung")
    parts = [f"run {trail.run.id}", f"{known.get('explainer', 'somebody')}, judged by {known.get('judge', 'nobody')}"]
    return " · ".join(parts + ([f"up to {rung}"] if rung else []))


def outcome(trail: Trail) -> str:
    """How it ended."""
    if trail.label is not None:
        sure = "" if trail.label.confidence is None else f" (confidence {trail.label.confidence:.2f})"
        return f"{trail.label.name}{sure}"
    return f"no label: {trail.reason}" if trail.reason else "no label yet: the work on it has not ended"


def spent(cost: Cost) -> str:
    """A cost in words; empty for nothing."""
    parts = []
    if cost.calls:
        hits = f" ({cost.hits} answered from another run)" if cost.hits else ""
        parts.append(f"{cost.calls:,} model call{'s' if cost.calls > 1 else ''}{hits}, {cost.tokens:,} tokens")
        parts.append("price unknown" if cost.dollars is None else f"${cost.dollars:,.4f}")
    if cost.forwarded:
        parts.append(f"{cost.forwarded:,} tokens run")
    if cost.read:
        parts.append(f"{cost.read:,} example{'s' if cost.read > 1 else ''} read")
    return ", ".join(parts)


def evidence(store: Store, feature: int, contexts: Sequence[int], stratum: str) -> list[Example]:
    """Train contexts with the feature's activations, in the order given."""
    train = store.train_view()
    stats, tokens = train.stats(feature), train.tokens
    flat, strengths = train.activations(feature)
    found = []
    for context in train.contexts(contexts):
        row = int(np.searchsorted(tokens.context_ids, context.id))
        start, stop = int(tokens.starts[row]), int(tokens.starts[row + 1])
        values = np.zeros(stop - start)
        first, last = np.searchsorted(flat, [start, stop])
        values[flat[first:last] - start] = strengths[first:last]
        kind: Stratum = stratum if stratum in ("quantile", "random_active", "near_miss", "random_silent") else "top"  # type: ignore[assignment]
        found.append(
            Example(context=context, values=tuple(values.tolist()), stratum=kind, threshold=stats.threshold, scale=stats.max)
        )
    return found


def _part(part: Part, trail: Trail, texts: Texts) -> Told:
    node, round = part.step.node, part.round
    title = TITLES.get(node, node.capitalize())
    if round is not None:
        title = f"Round {round}: {title[0].lower()}{title[1:]}"
    facts = FACTS.get(node, _other)(part, trail)
    if part.step.content.get("unable"):
        unable = part.step.content["unable"]
        said = [f"{who}: {why}" for who, why in unable.items()] if isinstance(unable, Mapping) else [str(unable)]
        facts = [*(("no answer", one) for one in said), *facts]
    return Told(
        title=title,
        cost=spent(part.cost),
        seen=tuple(_seen(piece) for piece in part.step.content.get("shown", ()) if isinstance(piece, Mapping)),
        claims=tuple(_claim(one, trail) for one in part.hypotheses),
        tried=tuple(told_of(trial, texts) for trial in part.trials),
        facts=tuple((name, shortened(text)) for name, text in facts if text),
    )


TITLES: Mapping[str, str] = {
    "gather": "Evidence from train",
    "propose": "Hypotheses",
    "design": "Experiments",
    "revise": "Revision",
    "debate": "Debate",
    "score": "Choice on validation",
    "record": "Result",
}
Facts = list[tuple[str, str]]


def _gathered(part: Part, trail: Trail) -> Facts:
    return []


def _proposed(part: Part, trail: Trail) -> Facts:
    content = part.step.content
    fits = {True: "it fits the nearest feature as well", False: ""}.get(bool(content.get("fits a neighbour")), "")
    onward = {"score": "taken as it is, without experiments", "design": "on to experiments"}.get(str(content.get("next")), "")
    return [("stated confidence", _percent(content.get("confidence"))), ("the first hypothesis", fits), ("then", onward)]


def _designed(part: Part, trail: Trail) -> Facts:
    return [("refused by code", one) for one in part.step.content.get("refused", ())]


def _revised(part: Part, trail: Trail) -> Facts:
    content = part.step.content
    standings: dict[str, list[str]] = {}
    for name, status in dict(content.get("statuses") or {}).items():
        standings.setdefault(str(status), []).append(trail.named(name))
    refuted = {name for name, status in dict(content.get("statuses") or {}).items() if status == "refuted"}
    gone = [f"{trail.named(name)} ({'refuted' if name in refuted else 'dropped'})" for name in content.get("dropped", ())]
    gained = {True: "gain", False: "no gain"}.get(content.get("gained"), "")  # type: ignore[arg-type]
    matched = dict(content.get("matched") or {})
    return [
        *((f"{trail.named(name)} on train", _matched(figures)) for name, figures in matched.items()),
        ("after all results", "; ".join(f"{status}: {in_order(names)}" for status, names in standings.items())),
        ("given up", ", ".join(sorted(gone, key=by_number))),
        ("new hypotheses", "" if part.hypotheses or content.get("unable") else "none"),
        ("on validation", gained),
        ("stated confidence", _percent(content.get("confidence"))),
    ]


def _matched(figures: Mapping[str, Any]) -> str:
    """What a rule gets right on train."""
    return ", ".join(f"{name} {value:.2f}" for name, value in figures.items() if isinstance(value, int | float))


def _chosen(part: Part, trail: Trail) -> Facts:
    content = part.step.content
    chosen = content.get("chosen")
    figure = f" ({content['figure']})" if content.get("figure") else ""
    return [
        ("chosen", f"{trail.named(str(chosen))}{figure}" if chosen else f"none{figure}"),
        ("because", str(content.get("why", ""))),
        ("the work ended", str(content.get("ended", "") or "at once")),
    ]


def _recorded(part: Part, trail: Trail) -> Facts:
    if trail.label is None:
        return [("no label", str(part.step.content.get("reason") or trail.reason or ""))]
    label = trail.label
    return [
        ("label", label.name),
        ("description", label.description),
        ("rule", label.pattern or ""),
        ("output claim", label.output_claim or ""),
        ("confidence", "" if label.confidence is None else f"{label.confidence:.2f}"),
    ]


def _debated(part: Part, trail: Trail) -> Facts:
    """A step of a debate: who holds what, who won which experiment, what each side did then, or the verdict."""
    content = part.step.content
    facts: Facts = []
    for seat, name in dict(content.get("labels") or {}).items():
        facts.append((f"{seat} holds", f"{trail.named(str(name))} ({content.get('held by', {}).get(seat, 'somebody')})"))
    if content.get("reason"):
        facts.append(("no debate", str(content["reason"])))
    points = [f"{trail.named(one['experiment'])} to {one['point']}" for one in content.get("exchanges", ()) if one.get("point")]
    facts += [("points", ", ".join(points))] if points else []
    facts += [("not run", str(one)) for one in content.get("refused", ())]
    for seat, turn in dict(content.get("turns") or {}).items():
        made = f" {trail.named(str(turn['hypothesis']))}" if turn.get("hypothesis") else ""
        came = f" [{'accepted' if turn['accepted'] else 'refused'}: {turn['answer']}]" if "accepted" in turn else ""
        facts.append((f"{seat}: {turn['move']}{made}", f"{turn['reason']}{came}"))
    if content.get("score"):
        facts.append(("score", " : ".join(f"{seat} {points}" for seat, points in content["score"].items())))
    if content.get("text"):
        cites = ", ".join(content.get("cites", ()))
        facts.append(("verdict", f"{content['text']} (by {content.get('by', 'code')}; cites {cites or 'nothing'})"))
    if content.get("ended"):
        facts.append(("ended with", str(content["ended"])))
    return facts


def _other(part: Part, trail: Trail) -> Facts:
    """What no other rule knows: everything that stands in the step, with the names of what its ids mean."""
    content = {k: v for k, v in part.step.content.items() if k not in ("round", "hypotheses", "experiments", "figures", "unable")}
    rows = list(_rows(content, "", trail))
    more = [("…", f"{len(rows) - ROWS} more lines")] if len(rows) > ROWS else []
    return rows[:ROWS] + more


def _rows(value: Any, name: str, trail: Trail) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _rows(child, f"{name} {trail.named(str(key))}".strip(), trail)
    elif isinstance(value, list) and any(isinstance(child, Mapping | list) for child in value):
        for number, child in enumerate(value, 1):
            yield from _rows(child, f"{name} {number}".strip(), trail)
    elif isinstance(value, list):
        yield name, ", ".join(trail.named(str(child)) for child in value)
    elif value is not None:
        yield name, trail.named(str(value)) if not isinstance(value, float) else f"{value:.4g}"


FACTS: Mapping[str, Callable[[Part, Trail], Facts]] = {
    "gather": _gathered,
    "propose": _proposed,
    "design": _designed,
    "revise": _revised,
    "debate": _debated,
    "score": _chosen,
    "record": _recorded,
}


def _seen(piece: Mapping[str, Any]) -> Seen:
    arguments = piece.get("arguments") or {}
    what = arguments.get("stratum") or piece.get("tool", "")
    return Seen(str(what).replace("_", " "), tuple(int(one) for one in piece.get("contexts", ())))


def _claim(one: Hypothesis, trail: Trail) -> Claim:
    parents = [trail.named(name) for name in one.parents]
    made = [
        one.author,
        *(["about the output"] if one.side == "output" else []),
        *([f"from {in_order(parents)}"] if parents else []),
    ]
    made += ["became the label"] if one.id == trail.chosen and trail.label is not None else []
    figure = trail.figures.get(one.id)
    return Claim(
        called=one.called,
        name=one.name,
        description=shortened(one.description),
        rule=shortened(one.pattern or ""),
        facets=tuple(shortened(facet.description) for facet in one.facets),
        origin=", ".join(made),
        status="untested" if one.status == "proposed" else one.status,
        figure="" if figure is None else str(figure),
    )


def _percent(value: Any) -> str:
    return f"{value} %" if isinstance(value, int) and value else ""

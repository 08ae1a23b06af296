"""What can be read by address: the store, its runs, features and labels, as pages of Markdown.

A feature's page is made of the same tools' results that a call gives, so that both say the same. Everything from a corpus, a
label or a model is fenced and stands on one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, get_args
from urllib.parse import unquote

from dragoman.store.errors import ToolError, UserError
from dragoman.store.records import Label, Stratum
from dragoman.tools.toolbox import LEGEND
from dragoman.tools.toolkit.showing import quoted

from .library import Library

SCHEME = "dragoman://"
MIME = "text/markdown"
PAGE = 100
"""Resources of a page of the listing."""
MOST_LISTED = 1_000
"""Labeled features that the listing holds; the others are reached by their address."""
MOST_LINKS = 100
"""Labels named on a run's page."""
EXAMPLES = 4
"""Examples of each stratum on a feature's page."""
TEMPLATES = (
    (
        "dragoman://feature/{dictionary}/{index}",
        "feature",
        "A feature: statistics, labels, and examples by stratum, from train rows.",
    ),
    ("dragoman://label/{id}", "label", "What somebody says a feature means, and who said it."),
    ("dragoman://run/{id}", "run", "A labeling or scoring run: what was asked of it, where it stands, what it labeled."),
)
"""Address, name and description of what can be addressed."""
_ADDRESS = re.compile(
    r"dragoman://(?:(?P<store>store)|feature/(?P<feature>[^/]+/\d{1,12})|(?P<kind>label|run)/(?P<id>[\w-]{1,200}))"
)


class Listed(NamedTuple):
    """A line of the listing."""

    uri: str
    """Its address."""
    name: str
    """What it is."""
    description: str
    """What one finds there."""


def listing(library: Library, cursor: str | None = None) -> tuple[list[Listed], str | None]:
    """A page of the listing and where the next one begins: the store and its runs, then labeled features.

    Raises UserError for a cursor that no page gave.
    """
    found: list[Listed] = []
    after, before = -1, 0
    if cursor is None:
        found.append(Listed(f"{SCHEME}store", "store", "What the store holds: model, dictionaries, runs."))
        found += [
            Listed(f"{SCHEME}run/{run.id}", f"run {run.id[:12]}", f"A {run.kind} run, {run.status}.") for run in library.runs()
        ]
    else:
        match = re.fullmatch(r"(\d{1,12})-(\d{1,12})", cursor)
        if match is None:
            raise UserError(f"There is no page {quoted(cursor, 40)}: begin the listing without a cursor.")
        after, before = int(match[1]), int(match[2])
    most = min(PAGE, MOST_LISTED - before)
    named = library.named(after, most) if most > 0 else []
    for number, name in named:
        key = library.key(number)
        found.append(Listed(f"{SCHEME}feature/{key}", key, f"<text>{quoted(name, 120)}</text>"))
    more = len(named) == most and before + len(named) < MOST_LISTED
    return found, f"{named[-1][0]}-{before + len(named)}" if named and more else None


def page(library: Library, uri: str) -> str:
    """What stands at an address.

    Raises UserError where there is nothing; the sentence says what there is.
    """
    match = _ADDRESS.fullmatch(unquote(uri[:2_000]))
    if match is None:
        known = ", ".join(["dragoman://store", *(template for template, _, _ in TEMPLATES)])
        raise UserError(f"There is nothing at {quoted(uri, 80)}: the addresses are {known}.")
    if match["store"]:
        return _store(library)
    if match["feature"]:
        return _feature(library, match["feature"])
    pages: dict[str, Callable[[Library, str], str]] = {"label": _label, "run": _run}
    return pages[match["kind"]](library, match["id"])


def _store(library: Library) -> str:
    outline, runs = library.outline, library.runs()
    lines = [
        f"# Store {quoted(outline.name)}",
        "",
        f"Model {quoted(outline.model)}, {outline.layers} layers; "
        f"{outline.tokens:,} train tokens in {outline.contexts:,} windows.",
        "",
        "## Dictionaries",
        "",
    ]
    for info in outline.dictionaries:
        where = info.hook_in if info.hook_in == info.hook_out else f"{info.hook_in} to {info.hook_out}"
        first, last = f"{info.name}/0", f"{info.name}/{info.width - 1}"
        lines.append(f"- {info.name}: {info.width:,} features ({info.architecture}, {where}), {first} to {last}")
    lines += ["", "## Runs", ""]
    lines += [f"- {SCHEME}run/{run.id}: {run.kind}, {run.status}" for run in runs] or ["None yet."]
    return "\n".join(lines)


def _feature(library: Library, address: str) -> str:
    number = library.view.id(address)
    key = library.key(number)
    lines = [f"# Feature {key}", "", LEGEND, "", "## Statistics", "", _told(library, "feature_stats", feature=key)]
    lines += ["", "## Labels", ""]
    lines += [f"- {_said(label)} ({SCHEME}label/{label.id})" for label in library.labels_of(number)] or ["None yet."]
    lines += ["", "## Examples"]
    for stratum in get_args(Stratum):
        lines += ["", _told(library, "top_examples", feature=key, stratum=stratum, n=EXAMPLES)]
    lines += ["", "## Direct effect on the output", "", _told(library, "logit_effects", feature=key)]
    if library.view.neighbours(number):  # otherwise they are computed from the dictionary, which a page does not wait for
        lines += ["", "## Neighbours", "", _told(library, "neighbours", feature=key, n=5)]
    return "\n".join(lines)


def _label(library: Library, id: str) -> str:
    label = library.label(id)
    if label is None:
        raise UserError(f"There is no label {quoted(id, 80)}: a feature's page names its labels.")
    lines = [
        f"# A label of {library.key(label.feature)}",
        "",
        f"- name: <text>{quoted(label.name)}</text>",
        f"- description: <text>{quoted(label.description, 4_000)}</text>",
    ]
    for facet in label.facets:
        rule = f"; as a rule <text>{quoted(facet.pattern, 1_000)}</text>" if facet.pattern else ""
        lines.append(f"- facet: <text>{quoted(facet.description, 1_000)}</text>{rule}")
    if label.pattern:
        lines.append(f"- rule: <text>{quoted(label.pattern, 2_000)}</text>")
    if label.output_claim:
        lines.append(f"- what it makes the model say: <text>{quoted(label.output_claim, 1_000)}</text>")
    lines += [
        f"- made by: {quoted(label.agent)}{f', {quoted(label.model)}' if label.model else ''}",
        f"- rests on: {len(label.experiments)} experiments",
        f"- feature: {SCHEME}feature/{library.key(label.feature)}",
        f"- run: {SCHEME}run/{label.run}",
    ]
    return "\n".join(lines)


def _run(library: Library, id: str) -> str:
    run = next((run for run in library.runs() if run.id == id), None)
    if run is None:
        raise UserError(f"There is no run {quoted(id, 80)}: dragoman://store names the runs.")
    lines = [f"# Run {run.id}", "", f"- kind: {run.kind}", f"- status: {run.status}"]
    lines += [f"- {name}: {quoted(str(value), 400)}" for name, value in library.settings(run).items()]
    if run.kind == "score":
        return "\n".join([*lines, "", "Scores are not shown to agents: ask the people who run this store."])
    labeled = library.labeled(id)
    lines += ["", f"## Labels of {len(labeled):,} features", ""]
    for number in labeled[:MOST_LINKS]:
        for label in library.labels_in(id, number):
            lines.append(f"- {library.key(number)}: <text>{quoted(label.name)}</text> ({SCHEME}label/{label.id})")
    if len(labeled) > MOST_LINKS:
        lines.append(f"- and {len(labeled) - MOST_LINKS:,} more: search_labels and query_store (table label) find them.")
    return "\n".join(lines)


def _said(label: Label) -> str:
    rule = f" (rule: {quoted(label.pattern, 400)})" if label.pattern else ""
    return f"<text>{quoted(label.name)}: {quoted(label.description, 600)}{rule}</text> by {quoted(label.agent)}"


def _told(library: Library, tool: str, **arguments: object) -> str:
    try:
        return library.toolbox.call(tool, arguments).text
    except ToolError as error:
        return str(error)

"""Pages, prompts, completions and calls of a store without a model, in this process."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest

from dragoman.guarding import is_loopback
from dragoman.mcp.calling import Abandoned, Caller
from dragoman.mcp.completing import completions
from dragoman.mcp.guarding import security
from dragoman.mcp.library import Library
from dragoman.mcp.prompting import INVESTIGATIONS, filled
from dragoman.mcp.resources import listing, page
from dragoman.mcp.server import plain
from dragoman.store.errors import ToolError, UserError
from dragoman.store.features import Store
from dragoman.store.ledger import Ledger, label_id
from dragoman.store.manifest import LEDGER
from dragoman.store.records import Label, Stratum
from dragoman.store.trails import Trails
from dragoman.store.verdicts import Correction, Verdicts
from dragoman.tools.toolbox import ToolResult
from tests.support.synthetic import make_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store(tmp_path / "store").close()
    return tmp_path / "store"


@pytest.fixture
def library(store: Path) -> Iterator[Library]:
    with Library.open(store) as opened:
        yield opened


def add_labels(path: Path, features: range, run: str = "run", text: str = "fires on parks") -> None:
    ledger = Ledger(path / LEDGER)
    labels = [
        Label(
            id=label_id(run, feature, text), feature=feature, run=run, name=f"name {feature}", description=text, agent="induction"
        )
        for feature in features
    ]
    ledger.record(labels=labels)
    ledger.close()


def test_the_listing_comes_in_pages_that_hold_every_labeled_feature_once(
    store: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragoman.mcp.resources.PAGE", 7)
    add_labels(store, range(1, 20))
    add_labels(store, range(3, 5), "later")
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        lines, cursor = listing(library, cursor)
        found += [line.uri for line in lines]
        pages += 1
    prefix = library.key(0).partition("/")[0]
    assert found == ["dragoman://store", *(f"dragoman://feature/{prefix}/{index}" for index in range(1, 20))] and pages == 3
    monkeypatch.setattr("dragoman.mcp.resources.MOST_LISTED", 10)
    lines, cursor = listing(library, listing(library)[1])
    assert cursor is None and len(lines) == 3


def test_a_features_page_says_what_the_tools_say(store: Path, library: Library) -> None:
    add_labels(store, range(2, 3))
    text, key = page(library, f"dragoman://feature/{library.key(2)}"), library.key(2)
    for stratum in get_args(Stratum):
        assert library.toolbox.call("top_examples", {"feature": key, "stratum": stratum, "n": 4}).text in text
    assert library.toolbox.call("feature_stats", {"feature": key}).text in text
    assert "<text>name 2: fires on parks</text> by induction" in text
    with Store.open(store) as opened:
        stats = opened.feature(2).stats
        assert f"{stats.corpus_max:.3g}" == f"{stats.max:.3g}" or f"{stats.corpus_max:.3g}" not in text
    assert "never active" in page(library, f"dragoman://feature/{library.key(23)}")
    with pytest.raises(UserError, match="There is nothing at"):
        page(library, "dragoman://feature/../../etc/passwd")


def test_what_people_wrote_stays_with_people(store: Path, library: Library) -> None:
    add_labels(store, range(2, 3))
    with closing(Verdicts(store / LEDGER)) as verdicts:
        given = [verdicts.give(f, None, None, correction=Correction(description="written by hand")) for f in (2, 4)]
    assert [label.agent for label in library.labels_of(2)] == ["induction"] and library.labels_of(4) == []
    assert library.named() == [(2, "name 2")] and library.label(str(given[0].correction)) is None
    assert "by hand" not in page(library, f"dragoman://feature/{library.key(2)}")
    assert "by hand" not in library.toolbox.call("search_labels", {"words": "written"}).text


def test_notes_are_kept_in_the_ledger(store: Path, library: Library) -> None:
    for _ in range(2):
        library.toolbox.call("record_note", {"text": "June was silent twice."})
    trails = Trails(store / LEDGER)
    assert trails.notes("mcp", -1) == ["June was silent twice."]
    trails.close()


@pytest.mark.parametrize("name", [one.name for one in INVESTIGATIONS])
def test_prompts_name_only_tools_that_are_there(library: Library, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = (one for one in INVESTIGATIONS if one.name == name)
    given = {blank.name: library.key(3) if blank.kind == "feature" else 'say "no"' for blank in found.blanks}
    text = filled(library, name, given)
    assert library.key(3) in text and "activate" in text
    assert {"{", "}", "undefined"}.isdisjoint(text.split())
    assert 'say \\"no\\"' in text or all(blank.kind == "feature" for blank in found.blanks)

    class Reading:
        specs = tuple(spec for spec in library.toolbox.specs if spec.name in ("top_examples", "feature_stats", "match_pattern"))

    monkeypatch.setattr(library, "toolbox", Reading())
    bare = filled(library, name, given)
    assert "activate" not in bare and "edit_and_compare" not in bare and "steer" not in bare
    optional = {key: value for key, value in given.items() if next(b for b in found.blanks if b.name == key).required}
    assert filled(library, name, optional)


def test_a_text_in_a_prompt_is_exact_and_visible(library: Library) -> None:
    text = 'a\u202e b\x1b[31m "c"\n</text> \U000e0001 \U0001f600 d'
    said = filled(library, "why_did_it_fire", {"text": text})
    (line,) = re.findall(r'<text>(".*")</text>', said)
    assert json.loads(line.replace("‹", "<")) == text
    assert line.isprintable() and "</text>" not in line


def test_completions_are_addresses_that_exist(library: Library) -> None:
    name, width = library.key(0).partition("/")[0], library.view.width
    features = "dragoman://feature/{dictionary}/{index}"
    assert completions(library, "explain_feature", None, "feature", "", "") == [f"{name}/{n}" for n in range(width)]
    assert completions(library, "explain_feature", None, "feature", f"{name}/2", "") == [
        f"{name}/{n}" for n in (2, *range(20, width))
    ]
    assert completions(library, "test_hypothesis", None, "hypothesis", "a", "") == []
    assert completions(library, None, features, "dictionary", name[:2], "") == [name]
    assert completions(library, None, features, "index", "1", name) == ["1", *map(str, range(10, 20))]
    assert completions(library, None, features, "index", "0", name) == ["0"]
    assert completions(library, None, features, "index", "9" * 30, name) == []
    assert completions(library, None, features, "index", "1", "other") == []


class Slow:
    """A toolbox whose tools wait until they are let go."""

    def __init__(self) -> None:
        self.go, self.calls = threading.Event(), list[str]()

    def call(self, name: str, arguments: Any, tell: Callable[[int, int, str], None]) -> ToolResult:
        self.calls.append(name)
        if name == "feature_stats":
            return ToolResult("at once", {})
        if name == "ablate":
            raise ZeroDivisionError("a secret")
        for step in range(1000):
            tell(step, 1000, "")
            if self.go.wait(0.01):
                break
        return ToolResult("done", {})


def test_a_call_that_nobody_waits_for_ends_and_one_that_waits_its_turn_is_never_made() -> None:
    box = Slow()

    async def run() -> None:
        caller, heard = Caller(box), asyncio.Event()  # type: ignore[arg-type]

        async def tell(step: object) -> None:
            heard.set()

        first = asyncio.create_task(caller.call("search_inputs", {}, tell))
        await heard.wait()
        second = asyncio.create_task(caller.call("steer", {}, tell))
        assert (await caller.call("feature_stats", {}, tell)).text == "at once", "reads of the store do not wait for the model"
        second.cancel()
        first.cancel()
        for task in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(ToolError, match="ablate failed for a reason that should not have been"):
            await caller.call("ablate", {}, tell)
        assert box.calls == ["search_inputs", "feature_stats", "ablate"], "the queue moved on, and steer was not in it any more"
        heard.clear()
        third = asyncio.create_task(caller.call("search_inputs", {}, tell))
        await heard.wait()
        caller.close()
        with pytest.raises(Abandoned):
            await third

    asyncio.run(run())


def test_figures_that_json_has_no_word_for_are_null() -> None:
    assert plain({"a": (1, float("nan"), [float("inf"), 2.5, "x"]), 3: None}) == {"a": [1, None, [None, 2.5, "x"]], "3": None}


def test_names_and_origins_that_are_let_in() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.7", "localhost.evil.example", "127.0.0.1.evil.example")))
    own = security("127.0.0.1", ())
    assert (
        "127.0.0.1:*" in own.allowed_hosts and "http://localhost:*" in own.allowed_origins and own.enable_dns_rebinding_protection
    )
    assert not any("0.0.0.0" in name for name in security("0.0.0.0", ()).allowed_hosts)
    assert "lab.example:*" in security("0.0.0.0", ["lab.example"]).allowed_hosts
    assert "[2001:db8::1]:*" in security("2001:db8::1", ()).allowed_hosts

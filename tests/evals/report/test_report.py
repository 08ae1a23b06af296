"""The report: whole, escaped, self-contained, and of a bounded size."""

from __future__ import annotations

import base64
import json
import re
import zlib
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dragoman.agents.explainers import make_induction
from dragoman.agents.oneshot import label
from dragoman.evals.report.build import write_report
from dragoman.evals.report.highlight import excerpt, highlight, readable
from dragoman.evals.report.material import gather
from dragoman.evals.report.plots import Axis, Dot, Group, activation_histogram, distributions, histogram, scatter
from dragoman.evals.scoring import score
from dragoman.evals.statistics import Interval
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import Label
from dragoman.store.verdicts import Correction, Verdicts, run_of
from tests.support.synthetic import make_store

VOID = {"meta", "input", "br", "link", "circle", "path"}
ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Checker(HTMLParser):
    """Checks that elements nest, ids are unique, and nothing is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what is opened."""
        found = dict(attributes)
        self.scripts += tag == "script"
        assert "src" not in found and tag not in {"img", "link", "iframe", "object"}, (tag, found)
        assert not any(name.startswith("on") for name in found)
        self.ids += [value for name, value in attributes if name == "id" and value]
        self.links += [value for name, value in attributes if name == "href" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """An SVG element without content."""

    def handle_endtag(self, tag: str) -> None:
        """What is closed must be what was opened last."""
        if tag not in VOID:
            assert self.open.pop() == tag


def unpacked(page: str) -> str:
    """The page with the details of its sections in their places, as its script puts them."""
    blocks = [
        json.loads(zlib.decompress(base64.b64decode(block)))
        for block in re.findall(r'<script type="text/plain" id="pack\d+">([A-Za-z0-9+/=]*)</script>', page)
    ]
    page = re.sub(r'<script type="text/plain".*?</script>', "", page)
    return re.sub(r'data-pack="(\d+)" data-at="(\d+)">', lambda at: ">" + blocks[int(at[1])][int(at[2])], page)


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert not checker.open and len(set(checker.ids)) == len(checker.ids) and checker.scripts == 1
    inside = {link[1:] for link in checker.links if link.startswith("#")}
    assert inside <= set(checker.ids), "every link leads somewhere"
    assert all(link.startswith("#") for link in checker.links)
    assert "http://" not in page and "https://" not in page and "@import" not in page
    return checker


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labeled and scored store, one of whose labels is an attack."""
    path = tmp_path_factory.mktemp("report") / "store"
    make_store(path, documents=200).close()
    run = label(path, make_induction, "induction", workers=0, progress=False)
    score(path, workers=0, progress=False)
    with Store.open(path) as store:
        attack = Label(id="attack", feature=2, run=run.id, name=ATTACK, description=ATTACK, pattern=ATTACK, agent="x")
        store.ledger.add_label(attack)
    return path


def test_a_report_is_whole_and_nothing_gets_through_unescaped(path: Path, tmp_path: Path) -> None:
    with Store.open(path) as store:
        material = gather(store)
    packed = write_report(material, tmp_path / "out" / "report.html", workers=0, progress=False).read_text("utf-8")
    page = unpacked(packed)
    assert "Strongest on test" in page and "Strongest on test" not in packed
    checker = check(page)
    assert {f"f{feature}" for feature in range(23)} <= set(checker.ids) and "f23" not in checker.ids
    assert "alert(1)" in page and "<script>alert" not in page and "<img" not in page
    assert page.count("<article") == 23 and page.count("<tr data-kind") == 24
    for words in ("token lookup", "shuffled", "scores the rule, not the words", "unscored", "Strongest on test", "near misses"):
        assert words in page or words.capitalize() in page, words
    assert len(packed) < 23 * 5_500 + 150_000
    assert not list((tmp_path / "out").glob("*.part"))


def test_the_same_material_gives_the_same_page(path: Path, tmp_path: Path) -> None:
    with Store.open(path) as store:
        material = gather(store, features=[0, 1, 2, 23])
    one = write_report(material, tmp_path / "one.html", workers=0, progress=False).read_bytes()
    two = write_report(material, tmp_path / "two.html", workers=0, progress=False).read_bytes()
    assert one == two and one.count(b"<article") == 3


def test_a_report_before_labels_and_before_scores(tmp_path: Path) -> None:
    make_store(tmp_path / "s").close()
    with Store.open(tmp_path / "s") as store:
        page = unpacked(write_report(gather(store), tmp_path / "r.html", workers=0, progress=False).read_text("utf-8"))
    check(page)
    assert "Nothing is scored yet" in page and page.count("<article") > 5
    label(tmp_path / "s", make_induction, "induction", [0, 1], workers=0, progress=False)
    with Store.open(tmp_path / "s") as store:
        material = gather(store)
        page = unpacked(write_report(material, tmp_path / "r.html", workers=0, progress=False).read_text("utf-8"))
        with pytest.raises(UserError, match="no single scoring run"):
            gather(store, "nosuch")
    check(page)
    assert len(material.labels) == 2 and page.count("<article") == 2


def test_a_scoring_of_what_a_person_wrote_is_reported_only_when_asked_for(tmp_path: Path) -> None:
    make_store(tmp_path / "s").close()
    label(tmp_path / "s", make_induction, "induction", [0, 1], workers=0, progress=False)
    ours = score(tmp_path / "s", workers=0, progress=False).id
    with Store.open(tmp_path / "s") as store, closing(Verdicts(store.ledger.path)) as verdicts:
        words = Correction(description="A person's words", pattern=gather(store).labels[0].pattern)
        verdicts.give(0, None, None, correction=words, person="ann")
    theirs = score(tmp_path / "s", labels=run_of("ann"), workers=0, progress=False).id
    with Store.open(tmp_path / "s") as store:
        assert gather(store).run == ours != theirs
        assert [found.name for found in gather(store, theirs).labels.values()] == ["A person's words"]


def test_highlighting_keeps_the_text_and_says_the_values() -> None:
    strings = ["a", " <b>", "\n", " c‮", " d"]
    page = str(highlight(strings, [0, 2.5, 0, 0.3, 0], 5.0, 1.0, [0, 0.7, 0.7, 0, 0]))
    text = re.sub(r"<[^>]*>", "", page)
    assert text == "a &lt;b&gt;↵ c· d"
    assert 'title="2.5 (50% of max); predicted 70%"' in page and 'class="fp ' in page
    assert 'title="silent; predicted 70%"' in page and 'class="p"' in page
    assert 'title="0.3 (6% of max); predicted 0%"' in page and 'class="w ' in page
    assert readable("\x00\t") == "·⇥"


def test_long_examples_are_cut_around_the_peak() -> None:
    strings, values = [f"t{i} " for i in range(200)], [0.0] * 200
    values[150] = 1.0
    assert excerpt(strings, values, None) == (130, 171)
    assert excerpt(strings, [0.0] * 200, None) == (0, 41)
    assert excerpt(strings[:101], [0.0] * 101, [0.0] * 100 + [0.5]) == (60, 101)
    assert excerpt(["c"] * 200, values, None) == (59, 200), "single characters: as many as can be read"
    page = str(highlight(strings, values, 1.0, 0.2))
    assert page.startswith("<q>… </q>") and page.endswith("<q> …</q>") and "t130" in page and "t129" not in page


def test_faint_tokens_stay_plain_unless_the_label_predicts_them() -> None:
    assert str(highlight(["a", "b"], [0.04, 1.0], 1.0, 0.2)).startswith('a<b class="f ')
    assert str(highlight(["a", "b"], [0.04, 1.0], 1.0, 0.2, [0.3, 0.0])).startswith('<b class="wp ')


def test_plots_name_their_axes_and_say_n() -> None:
    values = np.linspace(0, 1, 30)
    axis = Axis("score (no unit)", 0.0, 1.0)
    interval = Interval(0.5, 0.4, 0.6, 30)
    plots = [
        distributions(
            "D", axis, [Group("label", "red", values, interval), Group("none", "red", values[:0], Interval(0, 0, 0, 0))]
        ),
        histogram("H", axis, values),
        scatter("S", axis, axis, [Dot(v, v, "<t>", "#f1") for v in values], diagonal=True),
        activation_histogram([0, 5, 1], 3.0, 0.6),
    ]
    for plot in plots:
        assert "aria-label" in plot and "nan" not in plot.lower() and ("n = 30" in plot or "n = 6" in plot)
    assert "score (no unit)" in plots[0] and "nothing scored" in plots[0] and "&lt;t&gt;" in plots[2]
    assert [text for _, text in Axis("x", -4, 0, log=True).ticks()] == ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"]
    assert [text for _, text in Axis("x", -0.2, 1).ticks()] == ["-0.2", "0", "0.2", "0.4", "0.6", "0.8", "1"]

"""Trails in the report: escaped, collapsed, bounded; and what the labels cost and whether confidence means anything."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dragoman.evals.report import build
from dragoman.evals.report.build import write_report
from dragoman.evals.report.confidence import confidence_rows
from dragoman.evals.report.material import Material, gather
from dragoman.evals.report.spending import spending
from dragoman.store.features import Store
from dragoman.store.records import Label, Score
from dragoman.store.trail import Cost
from tests.evals.report.test_report import ATTACK, check, unpacked
from tests.support.synthetic import make_store
from tests.support.trails import write_trail

MARKUP = f"{ATTACK}[bold]\x1b[31m\u202eevil"


def report(path: Path, out: Path) -> tuple[str, str]:
    """The page as it is, and with its details in place."""
    with Store.open(path) as store:
        material = gather(store)
    packed = write_report(material, out, workers=0, progress=False).read_text("utf-8")
    return packed, unpacked(packed)


def test_a_trail_is_on_the_page_and_nothing_in_it_is_markup(tmp_path: Path) -> None:
    with make_store(tmp_path / "s") as store:
        write_trail(store, words=MARKUP)
    packed, page = report(tmp_path / "s", tmp_path / "r.html")
    check(page)
    trail = page[page.index('<details class="trail">') :]
    assert "<script>alert" not in page and "<img" not in page and "\x1b" not in page and "\u202e" not in page
    assert trail.count("alert(1)") > 20 and "How it came about" not in packed[packed.index("<article") :], "it is packed"
    assert trail.index("predicted beforehand") < trail.index("what came out") < trail.index("verdict by code")
    for said in (
        "7 steps, 3 hypotheses, 3 experiments; 8 model calls (1 answered from another run), 395 tokens, $2.0000",
        "top 3, near miss 2; feature stats",
        "on validation pattern.r 0.500 [0.40, 0.60], n 40",
        "labeler, from H1 H2",
        "<b>fires</b> H1",
        '<div class="state held">held H1</div>',
        '<div class="state failed">failed H2</div>',
        "it could not be run: the token is gone",
        "2 labels:<br>",
    ):
        assert said in trail, said
    assert len(re.findall(r'<b class="f', trail)) >= 4, "texts and examples are highlighted"


def test_a_feature_without_a_label_says_why(tmp_path: Path) -> None:
    with make_store(tmp_path / "s") as store:
        write_trail(store, label=False)
    _, page = report(tmp_path / "s", tmp_path / "r.html")
    assert "No label: nothing speaks for birds." in page and 'class="trail"' in page


def test_more_trails_than_fit_are_left_out_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "TRAILS", 2)
    with make_store(tmp_path / "s") as store:
        for feature in (1, 2, 3):
            write_trail(store, feature, run="labeling")
    with Store.open(tmp_path / "s") as store:
        assert len(gather(store).trails) == 3
    _, page = report(tmp_path / "s", tmp_path / "r.html")
    assert page.count('<details class="trail">') == 2 and "1 trails are left out" in page
    assert "<code>dragoman show STORE sae/3 --trail</code>" in page


def test_a_trail_of_many_experiments_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.evals.report.trails.MOST", 2)
    with make_store(tmp_path / "s") as store:
        write_trail(store)
    _, page = report(tmp_path / "s", tmp_path / "r.html")
    assert "2 experiments more are left out here" in page and page.count('<div class="state held">') == 1


def material(expected: list[float], reached: list[float], **changed: object) -> Material:
    labels = {
        f: Label(id=str(f), feature=f, run="r", name="x", description="x", agent="a", confidence=c)
        for f, c in enumerate(expected)
    }
    scores = {
        f: [
            Score(
                label=str(f),
                feature=f,
                run="s",
                scorer="simulation.r",
                judge="pattern",
                contestant="label",
                split="test",
                value=v,
            )
        ]
        for f, v in enumerate(reached)
    }
    values: dict[str, object] = {"store": Path("s"), "run": "s", "judge": "pattern", "features": list(labels), **changed}
    return Material(labels=labels, scores=scores, **values)  # type: ignore[arg-type]


def test_confidence_is_compared_with_what_was_reached() -> None:
    rng = np.random.default_rng(0)
    expected = np.linspace(0.1, 0.9, 24)
    found = confidence_rows(material(expected.tolist(), (expected**3).tolist()))
    assert found is not None and found.rho.value == pytest.approx(1) and found.rho.n == 24
    assert [row.n for row in found.rows] == [6] * 4 and found.rows[0].confidence == pytest.approx(expected[:6].mean())
    assert found.rows[3].reached == pytest.approx((expected[18:] ** 3).mean())
    noise = confidence_rows(material(expected.tolist(), rng.permutation(expected).tolist()))
    assert noise is not None and noise.rho.low < 0 < noise.rho.high
    assert confidence_rows(material([0.1] * 7, [0.2] * 7)) is None


def test_what_was_spent_is_added_up() -> None:
    costs = {0: Cost(2, 0, 100, 0.5, 10, 30), 1: Cost(4, 0, 300, 1.0, 20, 30), 2: Cost(0, 0, 0, 0.0, 0, 30)}
    lines = {line.name: line[1:] for line in spending(material([0.5, 0.5], [0.5], trails=[0, 1, 2], costs=costs))}
    assert lines["model tokens"] == ("400", "200", "100") and lines["US dollars"] == ("1.5000", "0.7500", "0.5000")
    assert lines["stored examples read"] == ("90", "45", "30")
    unknown = spending(material([0.5], [0.5], trails=[0], costs={0: Cost(1, 0, 5, None)}))
    assert ("US dollars", "not known: a price is missing", "", "") in unknown and len(unknown) == 3
    assert spending(material([0.5], [0.5], costs=costs)) == []

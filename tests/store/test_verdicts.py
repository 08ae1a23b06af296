"""What people say of labels is kept, and kept apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dragoman.evals.jobs import labeling_run
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger
from dragoman.store.ranges import features_of
from dragoman.store.records import Label, Run
from dragoman.store.verdicts import LONGEST, Correction, Verdicts, made_by_people, run_of
from dragoman.tools.toolbox import Desk
from tests.support.synthetic import make_store


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Verdicts, Ledger]]:
    with (
        closing(Ledger(tmp_path / "ledger.sqlite")) as ledger,
        closing(Verdicts(tmp_path / "ledger.sqlite")) as verdicts,
    ):
        ledger.start_run(Run(id="models", kind="label", config='{"explainer":"induction","features":"0:9"}', status="done"))
        ledger.add_label(Label(id="l", feature=3, run="models", name="n", description="d", agent="induction"))
        yield verdicts, ledger


def test_verdicts_are_kept_in_their_order_and_never_changed(both: tuple[Verdicts, Ledger]) -> None:
    verdicts, _ = both
    first = verdicts.give(3, "l", "wrong", comment=" no: \ud800 it is months ", person=" Ada\n Byron ")
    second = verdicts.give(3, "l", "right")
    assert verdicts.of(3) == [second, first] and verdicts.of(4) == []
    assert (first.person, first.comment) == ("Ada Byron", "no: ? it is months") and second.person == ""
    assert first.given.endswith("+00:00")
    found, last = verdicts.since(0)
    assert found == [("l", "wrong"), ("l", "right")] and verdicts.since(last) == ([], last)


def test_a_correction_is_a_label_by_a_human_in_a_run_of_its_own(both: tuple[Verdicts, Ledger]) -> None:
    verdicts, ledger = both
    said = Correction(description="names of months\nand of days, abbreviated or not, in English", pattern='token " May"')
    given = verdicts.give(3, "l", "partly", correction=said, person="Ada")
    verdicts.give(5, None, None, correction=Correction(description="colours", name="a colour"), person="Ada")
    verdicts.give(5, None, None, correction=Correction(description="colours"), person="Bert")
    label = ledger.label(str(given.correction))
    assert label is not None and (label.agent, label.model, label.evidence) == ("human", None, ())
    assert label.name == "names of months and of days, abbreviated or" and label.pattern == 'token " May"'
    assert json.loads(label.notes)["human"] == {"person": "Ada", "given": given.given, "about": "l"}
    runs = [run for run in ledger.runs() if made_by_people(run)]
    assert len(runs) == 2 and runs[0].id == label.run and "models" not in {run.id for run in runs}
    assert features_of(json.loads(runs[0].config)["features"]) == [3, 5], "a scoring run is told what to score"
    assert [label.name for label in ledger.labels(run=runs[0].id)] == ["names of months and of days, abbreviated or", "a colour"]
    assert [label.agent for label in ledger.labels(run="models")] == ["induction"]


@pytest.mark.parametrize(
    ("verdict", "label", "text", "words"),
    [
        ("splendid", "l", None, "A verdict is right"),
        (None, "l", None, "Choose a verdict"),
        ("right", None, None, "no label to judge"),
        ("wrong", "l", " \n", "Say in a sentence"),
        ("wrong", "l", "x" * (LONGEST + 1), "shorten"),
    ],
)
def test_what_cannot_be_a_verdict_changes_nothing(
    both: tuple[Verdicts, Ledger], verdict: str | None, label: str | None, text: str | None, words: str
) -> None:
    verdicts, ledger = both
    before = repr(ledger)
    with pytest.raises(UserError, match=words):
        verdicts.give(3, label, verdict, correction=None if text is None else Correction(description=text))
    assert repr(ledger) == before


def test_what_a_person_wrote_is_not_taken_for_the_latest_run(tmp_path: Path) -> None:
    with make_store(tmp_path / "store", documents=60, windows=1) as store, closing(Verdicts(store.ledger.path)) as verdicts:
        verdicts.give(3, None, None, correction=Correction(description="mine"))
        assert made_by_people(labeling_run(store, None)), "there is no other"
        store.ledger.start_run(Run(id="models", kind="label", config='{"features":"0:9"}', status="done"))
        verdicts.give(4, None, None, correction=Correction(description="mine too"), person="Ada")
        assert labeling_run(store, None).id == "models"
        assert labeling_run(store, run_of("Ada")).id == run_of("Ada"), "but it can be scored, if asked for"
        with Desk.open(store.path) as desk:
            assert desk.labels() == [], "nor is it shown to agents"

"""`dragoman debate`: the page reads round by round, acts on no terminal, and what cannot be debated is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.agents.hearing import Heard
from dragoman.agents.transcript import Answered, Labelled, Round, Settled, Transcript
from dragoman.cli.debate_page import page
from dragoman.cli.output import console
from dragoman.store.records import Run
from dragoman.store.trail import Cost
from tests.dragoman.command import refused_here

ATTACK = "[bold red]</script>[/] \x1b[31m\x1b]0;title\x07"


def labelled(called: str, words: str, figure: str | None) -> Labelled:
    return Labelled(
        called=called,
        name=words,
        description=words,
        pattern="strongly: any",
        author="induction",
        parents=[],
        figure=figure,
        held=1,
        failed=0,
        status="proposed",
    )


def heard(words: str = "birds") -> Heard:
    """A debate of one round, with these words wherever a model or a corpus could put them."""
    experiment = Settled(
        called="E1",
        by="B",
        kind="write",
        input=f"the {words} sings",
        focus="sings",
        why=words,
        said={"A": "fires", "B": "silent"},
        verdicts={"A": "held", "B": "failed"},
        came="fires: 4.2",
        point="A",
    )
    one = Round(
        number=1,
        labels={"A": "H1", "B": "H2"},
        experiments=[experiment],
        refused=[f"write: no {words}"],
        unable={"A proposes": f"it said {words}"},
        score={"A": 1, "B": 0},
        turns={
            "A": Answered(move="merge", reason=words, label="H3", note=f"refused: {words}"),
            "B": Answered(move="concede", reason=f"E1 and {words}"),
        },
    )
    labels = [labelled("H1", words, "pattern.r 0.8, n 40"), labelled("H2", f"no {words}", None), labelled("H3", "both", None)]
    transcript = Transcript(
        sides={"A": "vllm:big", "B": "induction"},
        labels=labels,
        rounds=[one],
        ended="B (induction) conceded",
        winner="A",
        label="H1",
        verdict=f"H1 wins. {words}",
        cites=["E1"],
        by="code",
        instead=f"the arbiter cited E99 and {words}",
    )
    return Heard(Run(id="abc", kind="debate", config="{}", status="done"), transcript, Cost(forwarded=12))


def printed(one: Heard, capsys: pytest.CaptureFixture[str]) -> str:
    for part in page("sae/2", one):
        console().print(part)
    return capsys.readouterr().out


def test_each_claim_stands_beside_the_experiments_that_settled_it(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(heard(), capsys)
    text = " ".join(shown.split())
    at = 0
    for said in (
        "sae/2 a debate, run abc",
        "A vllm:big holds H1: birds rule strongly: any pattern.r 0.8, n 40 on validation",
        "B induction holds H2: no birds",
        "Round 1 A holds H1, B holds H2",
        "by input A: H1 B: H2 came out point",
        "E1 B the birds sings fires ✓ silent ✗ fires: 4.2 A",
        "not run: write: no birds",
        "no answer where A proposes: it said birds",
        "Score A 1 : 0 B",
        "A offers H3: both birds [refused: birds]",
        "B concedes. E1 and birds",
        "Verdict by the score; it ended with: B (induction) conceded",
        "H1 wins. birds cites E1",
        "by code, because the arbiter cited E99 and birds",
        "Spent: 12 tokens run.",
    ):
        assert said in text[at:], said
        at = text.index(said, at)


def test_nothing_in_it_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(heard(ATTACK), capsys)
    assert "\x1b" not in shown and "\x07" not in shown and "[bold red]</script>[/]" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["2", "--claim", "One.", "--claim", "Two."], "induction debates rules, not words: give --pattern"),
        (["2", "--claim", "One."], "A debate is between two labels"),
        (["2", "--pattern", "strongly: any", "--pattern", "often: any"], "The pattern 'often: any' cannot be read"),
        (["999", "--pattern", "strongly: any", "--pattern", "weakly: any"], "999"),
    ],
)
def test_what_cannot_be_debated_is_told_in_a_sentence(synthetic_path: Path, arguments: list[str], sentence: str) -> None:
    assert sentence in refused_here("debate", synthetic_path, *arguments)


def test_a_rival_is_for_debates(synthetic_path: Path) -> None:
    assert "give --rung debate with --rival" in refused_here("label", synthetic_path, "--rival", "induction")

"""`dragoman show --trail`: what was predicted stands before what came out, and nothing in it acts on the terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dragoman.store.features import Store
from tests.dragoman.command import here, refused_here
from tests.support.synthetic import make_store
from tests.support.trails import write_trail

ATTACK = "[bold red]</script>[/] \x1b[31m\x1b]0;title\x07 <img onerror=x>"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    with make_store(path) as store:
        write_trail(store)
    return path


def test_the_trail_reads_from_evidence_to_label(path: Path) -> None:
    page = here("show", path, "2", "--trail").stdout
    text = " ".join(page.split())
    titles = re.findall(r"^\d+\. (.*?)(?:   .*)?$", page, re.M)
    assert titles == [
        "Evidence from train",
        "Hypotheses",
        "Round 1: experiments",
        "Round 1: revision",
        "Round 1: debate",
        "Choice on validation",
        "Result",
    ]
    for before, after in (
        ("predicted fires: H1 · silent: H2", "came out A birds sings"),
        ("came out A birds", "verdicts held: H1"),
    ):
        assert 0 < text.index(before) < text.index(after)
    for said in (
        "run labeling · vllm:big, judged by pattern · up to experiments",
        "in all: 8 model calls (1 answered from another run), 395 tokens, $2.0000, 4 tokens run, 9 examples read",
        "H1 birds supported on validation pattern.r 0.500 [0.40, 0.60], n 40 (labeler)",
        "H3 small birds untested on validation pattern.r 0.750 [0.70, 0.80], n 40 (labeler, from H1 H2, became the label)",
        "write, looking at 'sings'",
        "verdicts held: H1 · failed: H2",
        "came out it could not be run: the token is gone: birds",
        'input {"nothing": "known"}',
        "came out it was not run",
        "came out 2 labels: birds",
        "refused by code write: no birds",
        "H1 on train precision 0.50, recall 0.25",
        "after all results supported: H1; refuted: H2",
        "given up H2 (refuted)",
        "on validation gain",
        "no answer B proposes: no answer about birds",
        "A holds H1 (vllm:big) B holds H2 (birds) points E1 to A",
        "A: merge H3 birds [refused: birds] B: keep birds score A 1 : B 0 ended with all 1 rounds",
        "chosen H3 (pattern.r 0.750)",
        "label birds",
        "Looks like birds.",
    ):
        assert said in text, said


def test_the_examples_are_printed_again(path: Path) -> None:
    without, with_them = (here("show", path, "2", "--trail", *more).stdout for more in ([], ["--evidence"]))
    assert "3 examples: contexts " in " ".join(without.split())
    with Store.open(path) as store:
        context = store.train_view().examples(2, "top", 1)[0].context
    assert any(line.split()[:1] == [str(context.id)] and "robin" in line for line in with_them.splitlines())


def test_a_feature_with_a_trail_says_so(path: Path) -> None:
    assert "sae/2 has a trail: --trail" in here("show", path, "2").stdout
    assert "has a trail" not in here("show", path, "3").stdout


def test_as_json(path: Path) -> None:
    found = json.loads(here("show", path, "2", "--trail", "--json").stdout)
    assert found["feature"] == "sae/2" and len(found["steps"]) == 7 and found["label"]["name"] == "birds"


def test_nothing_in_a_trail_acts_on_the_terminal(tmp_path: Path) -> None:
    with make_store(tmp_path / "s") as store:
        write_trail(store, words=ATTACK)
        write_trail(store, words=ATTACK, run="other", label=False)
    for run in ("labeling", "other"):
        page = here("show", tmp_path / "s", "2", "--trail", "--run", run).stdout
        assert "\x1b" not in page and "\x07" not in page
        assert page.count("[bold red]</script>[/]") > 10
    assert "no label: nothing speaks for [bold red]" in page


def test_a_feature_without_a_trail_says_what_makes_one(path: Path) -> None:
    assert "--rung experiments" in refused_here("show", path, "3", "--trail")

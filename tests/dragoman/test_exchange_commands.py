"""`dragoman export` and `dragoman import`: for people, for scripts, and on bad input; a real file of SAEDashboard."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.store.exchange import saedashboard
from dragoman.store.exchange.cards import Source
from dragoman.store.exchange.formats import FORMATS
from dragoman.store.features import Store
from tests.store.exchange.rich import rich_store

from .command import ROOT, dragoman, here, refused_here

REAL = (
    Path(os.environ.get("DRAGOMAN_SHARED", ROOT.parent / "shared")) / "data" / "interop" / "saedashboard-gpt2-small-batch-0.json"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exchange") / "store"
    rich_store(path).close()
    return path


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """A store of its own, to be imported into."""
    shutil.copytree(path, tmp_path / "S")
    return tmp_path / "S"


def test_an_export_says_what_went_out_and_what_did_not(path: Path, tmp_path: Path) -> None:
    said = " ".join(here("export", path, tmp_path / "out", "--format", "delphi").stdout.split())
    assert "24 features, 12 labels, 4 scores and" in said
    assert "Splits that went out: latents: train text; scores: test text." in said
    assert "Not carried: the maximum; densities;" in said
    done = here("export", path, tmp_path / "csv", "--format", "csv", "--parts", "labels,scores", "--labels", "all", "--json")
    found = json.loads(done.stdout)
    assert (found["labels"], found["scores"], found["examples"], found["files"]) == (24, 36, 0, 2)
    assert found["splits"] == {} and "examples (not asked for)" in found["lost"]
    assert sorted(file.name for file in (tmp_path / "csv").iterdir()) == ["labels.csv", "scores.csv"]


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "saedashboard"])
def test_out_of_one_store_into_another(path: Path, copy: Path, tmp_path: Path, format: str) -> None:
    here("export", path, tmp_path / "out", "--format", format, "--model-id", "gpt2-small", "--examples", "2")
    done = here("import", copy, tmp_path / "out")
    assert done.returncode == 0 and f"Read as {format}: " in done.stdout, done
    again = json.loads(here("import", copy, tmp_path / "out", "--json").stdout)
    assert (again["new"], again["labels"], len(again["runs"])) == (False, 12, 1)
    with Store.open(copy) as store:
        assert len(store.ledger.labels(run=again["runs"][0]["id"])) == 12


def test_imported_labels_are_scored_like_any_other(copy: Path, tmp_path: Path) -> None:
    rows = [(2, "fires on the word robin", 'fully: " robin"'), (3, "words alone", ""), (4, "broken", "token ((")]
    text = "feature,description,pattern\n" + "".join(
        f'{n},{said},"{rule.replace(chr(34), chr(34) * 2)}"\n' for n, said, rule in rows
    )
    (tmp_path / "labels.csv").write_text(text)
    run = json.loads(here("import", copy, tmp_path / "labels.csv", "--json").stdout)["runs"][0]
    assert run["labels"] == 3
    done = here("score", copy, "--labels", run["id"][:6], "--workers", "0", "--json", "--quiet")
    assert done.returncode == 0, done
    with Store.open(copy) as store:
        made = store.ledger.scores(run=json.loads(done.stdout)["run"], contestant="label", scorer="simulation.r")
    found = {score.feature: score for score in made}
    assert found[2].value is not None and found[2].value > 0.8
    assert "no pattern" in str(found[3].unscored) and "cannot be read" in str(found[4].unscored)


def test_bad_input_is_one_sentence(path: Path, copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "no format 'x': the formats are neuronpedia, " in refused_here("export", path, out, "--format", "x")
    assert "is there already" in refused_here("export", path, tmp_path, "--format", "csv")
    assert "no single labeling run 'x'" in refused_here("export", path, out, "--format", "csv", "--labels", "x")
    assert "csv has no part 'x'" in refused_here("export", path, out, "--format", "csv", "--parts", "x")
    assert "There is nothing at" in refused_here("import", copy, tmp_path / "none")
    (tmp_path / "batch-0.json").write_text('{"sae_set": [')
    assert "batch-0.json cannot be read: it is no JSON" in refused_here("import", copy, tmp_path / "batch-0.json")
    assert "There is no store at" in refused_here("import", tmp_path / "none", tmp_path / "batch-0.json")


def test_hostile_names_do_nothing_to_the_terminal(copy: Path, tmp_path: Path) -> None:
    row = {"modelId": "\x1b[31m[bold]m", "layer": "\u202el", "index": 1, "description": "birds", "typeName": "\x1b]0;t\x07[/]"}
    (tmp_path / "e.jsonl").write_text(json.dumps({**row, "explanationModelName": "[red]\x1b[0m"}))
    done = here("import", copy, tmp_path / "e.jsonl")
    assert done.returncode == 0 and "\x1b" not in done.stdout and "\u202e" not in done.stdout and "[bold]m" in done.stdout


@pytest.mark.skipif(not REAL.is_file(), reason="the real SAEDashboard file is not here: ../shared/data/interop")
def test_a_real_file_of_saedashboard(copy: Path, tmp_path: Path) -> None:
    done = dragoman("import", copy, REAL)
    assert done.returncode == 0, done
    said = " ".join(done.stdout.split())
    assert "Read as saedashboard: 2 features of gpt2-small/0-res-jb, 73 examples." in said
    assert "no labels in it, so nothing was written" in said
    raw = json.loads(REAL.read_text("utf-8"))
    cards = list(saedashboard.read(REAL))
    source = Source(raw["model_id"], "0-res-jb", raw["sae_set"], raw["layer"], "", 24576, "", 5000, 128)
    whole = [
        replace(card, max=feature["activations"][0]["bin_max"]) for card, feature in zip(cards, raw["features"], strict=True)
    ]
    saedashboard.write(whole, source, tmp_path)
    written = json.loads((tmp_path / "batch-0.json").read_text())
    assert {name: written[name] for name in ("model_id", "layer", "sae_set")} == {
        name: raw[name] for name in ("model_id", "layer", "sae_set")
    }
    carried = {"feature_index", "pos_str", "pos_values", "neg_str", "neg_values", "frac_nonzero", "freq_hist_data_bar_heights"}
    carried |= {"n_prompts_total", "n_tokens_in_prompt"}
    inside = {"bin_min", "bin_max", "bin_contains", "tokens", "values", "qualifying_token_index"}
    for ours, theirs in zip(written["features"], raw["features"], strict=True):
        assert set(ours) == set(theirs)
        assert {name: ours[name] for name in carried} == {name: theirs[name] for name in carried}
        assert ours["activations"] == [{name: one[name] for name in inside} for one in theirs["activations"]]

"""Commands that run the model, on a store of the organism: for people, for scripts, and on bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.harvest import harvest

from .command import here, refused_here

TEXT = "The word for today is glass orchard. Fools"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store of the organism."""
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": d.text}) + "\n" for d in corpus_documents(150)), "utf-8")
    paths = organism_paths()
    harvest(folder / "S", str(paths.model), [str(paths.sae)], str(folder / "text.jsonl"), progress=False).close()
    return folder / "S"


def result(*arguments: str | Path) -> Any:
    """The JSON of a command that must succeed."""
    done = here(*arguments, "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def test_activate(store: Path, tmp_path: Path) -> None:
    record = result("activate", store, TEXT, "--top", "3")["texts"][0]
    assert "".join(record["strings"]) == TEXT and len(record["features"]) == 3
    best = record["features"][0]
    assert best["peak"] == max(best["values"]) > best["threshold"]
    (tmp_path / "text.txt").write_text(TEXT)
    number = best["feature"].split("/")[1]
    chosen = result("activate", store, f"@{tmp_path}/text.txt", "--features", number)["texts"][0]["features"]
    assert chosen[0]["values"] == best["values"] and len(chosen) == 1
    page = here("activate", store, TEXT, "[bold]x[/bold]", "--top", "3")
    assert page.returncode == 0 and best["feature"] in page.stdout and "[[" in page.stdout
    assert "bold" in page.stdout, "markup in a text is text"


def test_activate_against(store: Path) -> None:
    found = result("activate", store, TEXT, "--against", "The word for today is glass meadow. Please", "--top", "5")
    assert len(found["rows"]) == 5 and all(row["fires_a"] == 1 and row["fires_b"] == 0 for row in found["rows"])
    page = here("activate", store, TEXT, "--against", "The word", "--top", "5")
    assert page.returncode == 0 and "5 of" in page.stdout


def test_activate_minimal_and_attribution(store: Path) -> None:
    feature = result("activate", store, TEXT, "--top", "1")["texts"][0]["features"][0]["feature"]
    record = result("activate", store, TEXT, "--feature", feature, "--minimal", "--attribute", "occlusion")["texts"][0]
    assert record["suffix"]["proven"] and record["suffix"]["kept_value"] > record["suffix"]["threshold"]
    assert len(record["occlusion"]["scores"]) == len(record["occlusion"]["strings"])
    for method in ("gradient", "integrated"):
        record = result("activate", store, TEXT, "--feature", feature, "--attribute", method)["texts"][0]
        assert record[method]["value"] > 0 and record[method]["quantity"] == "activation"
    page = here("activate", store, TEXT, "--feature", feature, "--minimal", "--attribute", "occlusion")
    assert page.returncode == 0 and "smallest possible" in page.stdout and "loss when" in page.stdout


def test_activate_on_bad_input(store: Path) -> None:
    assert "--feature" in refused_here("activate", store, TEXT, "--minimal")
    assert "occlusion" in refused_here("activate", store, TEXT, "--feature", "3", "--attribute", "magic")
    assert "no token 99" in refused_here(
        "activate", store, TEXT, "--feature", "3", "--attribute", "occlusion", "--position", "99"
    )
    assert "nosuch" in refused_here("activate", store, "@nosuch")
    assert "empty" in refused_here("activate", store, "")
    assert "1536 features" in refused_here("activate", store, TEXT, "--features", "9999")
    assert "NAME=SPEC" in refused_here("activate", store, TEXT, "--dictionary", "x")


def test_edit(store: Path) -> None:
    feature = result("activate", store, TEXT, "--top", "1")["texts"][0]["features"][0]["feature"]
    numbered = result("edit", store, feature, TEXT)
    assert "".join(numbered["strings"]) == TEXT and "glass" in here("edit", store, feature, TEXT).stdout
    glass = numbered["strings"].index(" glass")
    changed = result("edit", store, feature, TEXT, "--substitute", f"{glass}= stone", "--delete", "0:2", "--insert", "5=x=y")
    assert " stone" in "".join(changed["after"]) and "x=y" in "".join(changed["after"]) and len(changed["edits"]) == 3
    assert changed["before"] == numbered["strings"] and changed["before_values"] == pytest.approx(numbered["values"], abs=1e-4)
    page = here("edit", store, feature, TEXT, "--case", f"{glass}=upper", "--swap", "0,1")
    assert page.returncode == 0 and "GLASS" in page.stdout and "before" in page.stdout
    pairs = result("edit", store, feature, TEXT, "--pairs", "--top", "7", "--reach", "2")
    assert len(pairs["pairs"]) == 7 < pairs["tried"]
    page = here("edit", store, feature, TEXT, "--pairs", "--top", "7")
    assert page.returncode == 0 and "7 of" in page.stdout


def test_edit_on_bad_input(store: Path) -> None:
    for options, says in (
        (["--delete", "1:4", "--substitute", "2= x"], "overlap at token 2"),
        (["--delete", "99"], "no token 99"),
        (["--delete", "x"], "not the number of a token"),
        (["--substitute", "3"], "what it becomes"),
        (["--swap", "3"], "two tokens"),
        (["--case", "3=odd"], "no case 'odd'"),
        (["--pairs", "--delete", "3"], "its own edits"),
        (["--truncate", "99"], "no span 0:99"),
        (["--shift", "0"], "shifted by 1"),
        (["--kind", "0=9999"], "holds only"),
    ):
        assert says in refused_here("edit", store, "3", TEXT, *options)
    assert "1536 features" in refused_here("edit", store, "sae/9999", TEXT, "--delete", "1")


def test_search_inputs(store: Path) -> None:
    feature = result("activate", store, TEXT, "--top", "1")["texts"][0]["features"][0]["feature"]
    found = result("search-inputs", store, feature, "--budget", "300", "--length", "4", "--top", "2", "--from-nothing")
    assert len(found["found"]) == 2 and found["found"][0]["value"] >= found["found"][1]["value"]
    assert 300 <= found["forwards"] < 600 and found["history"][-1]["value"] == found["found"][0]["value"]
    page = here("search-inputs", store, feature, "--budget", "200", "--length", "4", "--method", "evolution")
    assert page.returncode == 0 and "evolution, from fragments" in page.stdout
    assert "no method 'magic'" in refused_here("search-inputs", store, feature, "--method", "magic")
    assert "windows allow" in refused_here("search-inputs", store, feature, "--length", "1000")

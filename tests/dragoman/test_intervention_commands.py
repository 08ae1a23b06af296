"""ablate, steer, logits, neighbours and match on a store of the organism: for people, for scripts, and on bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.features import Store
from dragoman.tools.harvest import harvest
from dragoman.tools.intervene import ablations, steers
from dragoman.tools.interventions import generate, measure
from dragoman.tools.workbench import Workbench

from .command import here, refused_here

PROMPT = "In the park we saw a"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store of the organism with two dictionaries."""
    folder = tmp_path_factory.mktemp("interventions")
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": d.text}) + "\n" for d in corpus_documents(150)), "utf-8")
    paths = organism_paths()
    harvest(folder / "S", str(paths.model), [str(paths.sae), "neurons:mlp.1"], str(folder / "text.jsonl"), progress=False).close()
    return folder / "S"


@pytest.fixture(scope="module")
def feature(store: Path) -> str:
    """The address of the SAE feature that fires most."""
    with Store.open(store) as opened:
        info = opened.dictionaries[0]
        firing = opened.stats_table()["firing"].to_pylist()[: info.width]
        return str(opened.key(firing.index(max(firing))))


def result(*arguments: str | Path) -> Any:
    """The JSON of a command that must succeed."""
    done = here(*arguments, "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def test_ablate(store: Path, feature: str) -> None:
    found = result("ablate", store, feature, "--prompt", PROMPT, "--token", " bird", "--takeover")
    with Workbench.open(store) as bench:
        expected = measure(
            bench.subject, ablations(bench, [feature]), [PROMPT], chosen=[" bird"], at="last", bos=bench.prepend_bos
        )
    assert found["kl"] == pytest.approx(expected.kl, rel=1e-5) and found["at"] == "last"
    assert found["chosen"][0]["shift"] == pytest.approx(expected.chosen[0].shift, rel=1e-5)
    assert found["takeover"]["done"] == found["done"] and "error" not in found["done"][0]
    own = result("ablate", store, feature, "--to", "mean-active")
    assert own["at"] == "all" and own["texts"] == 8 and "mean over the tokens it is active on" in own["done"][0]
    many = result(
        "ablate",
        store,
        feature,
        "--clamp",
        "2",
        "--head",
        "1.0",
        "--layer",
        "mlp.2",
        "--text",
        PROMPT,
        "--freeze",
        "attention,norms",
    )
    assert len(many["done"]) == 3 and many["frozen"] == ["attention", "norms"] and many["kl"] > 0
    page = here("ablate", store, "--head", "1.0", "--neuron", "0.3", "--to", "mean", "--text", f"{PROMPT} [bold]x[/bold]")
    assert page.returncode == 0 and "train tokens of S" in page.stdout and "KL" in page.stdout


def test_steer(store: Path, feature: str) -> None:
    found = result("steer", store, feature, "--prompt", PROMPT, "--strengths", "0,2", "--tokens", "8")
    rows = {(c["strength"], c["direction"]): c["text"] for c in found["continuations"]}
    assert set(rows) == {(0, "none"), (2, "feature"), (2, "random")}
    with Workbench.open(store) as bench:
        (said,) = generate(bench.subject, [PROMPT], steers(bench, [feature], 2.0), tokens=8, bos=bench.prepend_bos)
    assert rows[2, "feature"] == said.text
    page = here("steer", store, feature, "--prompt", PROMPT, "--strengths", "2", "--tokens", "5", "--no-control")
    assert page.returncode == 0 and "unsteered" in page.stdout and "random  " not in page.stdout


def test_logits(store: Path, feature: str) -> None:
    linear = result("logits", store, feature, "--top", "3", "--token", " bird")
    causal = result("logits", store, feature, "--causal", "--prompt", PROMPT, "--strength", "2")
    assert linear["kind"] == "linear" and len(linear["promoted"]) == 3 and "effects" not in linear
    assert causal["kind"] == "causal" and causal["strength"] == 2 and causal["effects"]["at"] == "last"
    with Store.open(store) as opened:
        promoted = opened.feature(feature).promoted
    assert [row[0] for row in linear["promoted"]] == [token for token, _ in promoted[:3]]
    assert "Linear logit effects" in here("logits", store, feature).stdout
    assert "Causal logit effects" in here("logits", store, feature, "--causal", "--prompt", PROMPT).stdout


@pytest.mark.parametrize("by", ["decoder", "coactivation", "pmi", "contexts"])
def test_neighbours(store: Path, feature: str, by: str) -> None:
    found = result("neighbours", store, feature, "--by", by, "--top", "18")
    assert found["by"] == by and 0 < len(found["found"]) <= 18
    assert here("neighbours", store, feature, "--by", by).returncode == 0


def test_match(store: Path) -> None:
    found = result("match", store, "sae", "mlp.1")
    assert found["measure"] == "activation" and 0 <= found["matched"] <= 1 and len(found["pairs"]) > 100
    same = result("match", store, "sae", "sae", "--by", "decoder")
    assert same["matched"] == same["mutual"] == 1
    pieces = result("match", store, "mlp.1", "sae", "--split", "3")
    assert pieces["feature"] == "mlp.1/3" and 0 <= pieces["coverage"] <= 1
    assert "have a match in" in here("match", store, "sae", "mlp.1").stdout


def test_bad_input(store: Path, feature: str) -> None:
    prompt = ("--prompt", PROMPT)
    for sentence, arguments in {
        "Say what to ablate": ("ablate", store, *prompt),
        "not both": ("ablate", store, feature, *prompt, "--text", "x"),
        "Say with --text or --prompt": ("ablate", store, "--head", "0.1"),
        "is no head": ("ablate", store, "--head", "first", *prompt),
        "has heads 0 to": ("ablate", store, "--head", "0.99", *prompt),
        "layers 0 to": ("ablate", store, "--layer", "mlp.77", *prompt),
        "cannot be ablated to 'half'": ("ablate", store, feature, "--to", "half", *prompt),
        "always active": ("ablate", store, "--head", "0.1", "--to", "mean-active", *prompt),
        "is out of range": ("ablate", store, feature, "--positions", "500", *prompt),
        "names no positions": ("ablate", store, feature, "--positions", "everywhere", *prompt),
        "cannot be frozen": ("ablate", store, feature, "--freeze", "mlp", *prompt),
        "is not one token": ("ablate", store, feature, "--token", "a whole sentence", *prompt),
        "The strength nan": ("ablate", store, feature, "--clamp", "nan", *prompt),
        "The strength nan must": ("steer", store, feature, *prompt, "--strengths", "1,nan"),
        "are no strengths": ("steer", store, feature, *prompt, "--strengths", "much"),
        "takes at most": ("steer", store, feature, *prompt, "--tokens", "1999"),
        "There is no feature": ("steer", store, "sae/99999", *prompt),
        "together, or neither": ("logits", store, feature, "--causal"),
        "does not exist": ("neighbours", store, feature, "--by", "love"),
        "There is no dictionary 'nosuch'": ("match", store, "sae", "nosuch"),
        "cannot be matched by": ("match", store, "sae", "mlp.1", "--by", "love"),
        "must be above 0": ("match", store, "sae", "sae", "--threshold", "nan"),
    }.items():
        assert sentence in refused_here(*arguments), arguments


@pytest.mark.parametrize("command", ["ablate", "steer", "logits", "neighbours", "match"])
def test_help_has_examples(command: str) -> None:
    assert f"dragoman {command} S " in here(command, "--help").stdout

"""A model and a text that are not ours: a character-level llama and its own neurons, through every command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .command import ROOT, here

SHARED = Path(os.environ.get("DRAGOMAN_SHARED", ROOT.parent / "shared")) / "data"
MODEL, TEXT = SHARED / "babyllama-tok105", SHARED / "text" / "tinystories_1000.json"


@pytest.mark.slow
@pytest.mark.skipif(
    not MODEL.is_dir() or not TEXT.is_file(), reason="needs DRAGOMAN_SHARED/data with a model and text that are not ours"
)
def test_harvest_label_score_report_on_neurons_of_a_character_level_model(tmp_path: Path) -> None:
    """Every unit is active in every context, so detection is unscored with its reason and simulation is scored."""
    stories = json.loads(TEXT.read_text("utf-8"))[:220]
    (tmp_path / "text.json").write_text(json.dumps([_story(story)[:240] for story in stories]), "utf-8")
    store = tmp_path / "S"
    text = ("--text", tmp_path / "text.json", "--window", "64")
    harvest = here("harvest", "--model", MODEL, "--dictionary", "neurons:mlp.2", *text, "--store", store, "--json", "--quiet")
    assert harvest.returncode == 0, harvest
    assert json.loads(harvest.stdout)["live"] > 300
    label = here("label", store, "--features", "0:6", "--workers", "0", "--json", "--quiet")
    assert label.returncode == 0 and json.loads(label.stdout)["labels"] == 6, label
    score = here("score", store, "--workers", "0", "--json", "--quiet")
    assert score.returncode == 0, score
    medians = {(m["scorer"], m["contestant"]): m for m in json.loads(score.stdout)["summary"]["medians"]}
    assert medians["simulation.r", "label"]["n"] == 6
    assert medians["simulation.r", "label"]["value"] > medians["simulation.r", "shuffled"]["value"]
    assert sum(medians["detection.auroc", "label"]["unscored"].values()) == 6
    report = here("report", store, "--workers", "0", "--quiet")
    assert report.returncode == 0 and (store / "report.html").read_text("utf-8").count("<article") == 6, report
    assert here("show", store, "mlp.2/3").returncode == 0


def _story(entry: object) -> str:
    """The text of a story, whatever the file wraps it in."""
    return str(next(iter(entry.values()))) if isinstance(entry, dict) else str(entry)

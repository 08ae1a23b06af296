"""The whole build at a tiny scale: it runs, it repeats, and what it writes can be loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from dragoman.evals.organism import competence, truth
from dragoman.evals.organism.build import BuildSettings, Built, build
from dragoman.evals.organism.compact import CompactSettings
from dragoman.evals.organism.train import ModelSettings
from dragoman.tools.dictionaries import load_all
from dragoman.tools.subject import Subject
from dragoman.tools.training.settings import Settings

TINY = BuildSettings(
    model=ModelSettings(
        wired=0, echo_tokens=2_000, width=32, layers=3, hidden=32, tokens=8_000, batch=1024, warmup=2, compile=False
    ),
    compact=CompactSettings(tokens=4_000, warmup=1, measured=20),
    sae=Settings(features=64, k=8, tokens=40 * 256, batch=256, dead_after=5000),
    transcoders=Settings("transcoder", features=48, k=8, tokens=20 * 256, batch=256),
    cross_layer=Settings("cross-layer", features=32, k=8, tokens=20 * 256, batch=256),
    vocabulary=500,
    tokenizer_documents=100,
    sae_documents=60,
    test_documents=200,
    threads=1,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("organism"), 5, TINY, progress=lambda line: None)


def test_build_writes_a_hugging_face_model_and_its_reports(built: Built) -> None:
    model = AutoModelForCausalLM.from_pretrained(built.paths.model)
    tokenizer = AutoTokenizer.from_pretrained(built.paths.model)
    assert (model.dtype, model.config.head_dim) == (torch.float16, 32)
    assert model.config.vocab_size == len(tokenizer) == 500
    root = built.paths.model.parent
    rows = json.loads((root / "competence.json").read_text())
    assert len(rows) == len(built.competence) > 20
    assert built.truth is not None
    report = json.loads((root / "truth.json").read_text())
    assert report["live"] == built.truth.live
    console = Console(record=True, width=140)
    console.print(competence.table(built.competence), truth.tables(built.truth))
    assert "dictionary features" in console.export_text()


def test_truth_counts_every_source_with_and_without_next_concepts(built: Built) -> None:
    assert built.truth is not None
    counts = {(c.source, c.concepts): c for c in built.truth.counts}
    controls = {"neurons", "random directions"}
    sources = {"dictionary features"} | controls | {control + ", random weights" for control in controls}
    assert {source for source, _ in counts} == sources
    for source in sources:
        both, plain = counts[source, "all"], counts[source, "without next:"]
        assert both.units == plain.units > 0
        assert both.good <= both.fair <= both.units
    assert counts["neurons", "all"].units == 3 * 32
    assert len(built.truth.features) <= built.truth.live
    assert all(f.concept not in built.truth.identity for f in built.truth.features)


def test_the_same_seed_builds_the_same_files(built: Built, tmp_path: Path) -> None:
    build(tmp_path, 5, replace(TINY, test_documents=0), progress=lambda line: None)
    first = built.paths.model.parent
    parts = {str(f.relative_to(first)) for f in first.rglob("*") if f.suffix in (".safetensors", ".yaml") or f.name == "cfg.json"}
    parts |= {"model/tokenizer.json"}
    assert len(parts) == 2 + 2 + 3 * 2 + 3 * 2 + 1  # model, dictionary, a transcoder a layer, the cross-layer one with its config
    for part in sorted(parts):
        assert (tmp_path / part).read_bytes() == (first / part).read_bytes(), part


def test_every_dictionary_fits_the_model(built: Built) -> None:
    subject = Subject.load(built.paths.model, "cpu")
    specs = [
        str(built.paths.sae),
        *(str(built.paths.transcoders / f"mlp_in.{n}") for n in range(3)),
        str(built.paths.cross_layer),
    ]
    found = load_all(specs, subject)
    assert [d.facts.hook_in for d in found] == ["resid_post.2", *[f"mlp_in.{n}" for n in range(3)] * 2]
    assert [len(d.facts.hooks_out) for d in found] == [1, 1, 1, 1, 3, 2, 1]
    assert {d.facts.context_size for d in found} == {128}

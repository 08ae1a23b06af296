"""A benchmark on an organism that has learned nothing: what is found there is what is found anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from dragoman.agents.contest import induction
from dragoman.evals.benchmark.examine import Room
from dragoman.evals.benchmark.organism import OrganismSuite
from dragoman.evals.organism.load import organism_paths
from dragoman.evals.organism.train import load_model, random_weights, save_model
from dragoman.evals.scorers.evaluate import evaluate
from dragoman.evals.statistics import paired
from dragoman.tools.dictionaries.coder import Recipe, make_coder
from dragoman.tools.dictionaries.save import save_saelens

pytestmark = pytest.mark.slow
WIDTH, FEATURES = 160, 9


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An organism of random weights with a top-k dictionary of random directions."""
    root, shipped = tmp_path_factory.mktemp("blank"), organism_paths().model
    save_model(random_weights(load_model(shipped), 0), PreTrainedTokenizerFast.from_pretrained(shipped), root / "model")
    rows = torch.nn.functional.normalize(torch.randn(WIDTH, 128, generator=torch.Generator().manual_seed(0)), dim=1)
    weights = {"W_enc": rows.T.contiguous(), "W_dec": rows, "b_enc": torch.zeros(WIDTH), "b_dec": torch.zeros(128)}
    coder = make_coder("sae", "resid_post.2", "resid_post.2", Recipe("topk", k=4), weights)
    save_saelens(coder, root / "sae", model_name="blank")
    return root


def test_nothing_is_recovered_beyond_the_token_where_nothing_was_learned(blank: Path, tmp_path: Path) -> None:
    trial = OrganismSuite(root=blank, good=0.0, documents=320, pool=300, kinds=("state",), hard=False).prepare(
        tmp_path, 0, FEATURES
    )
    entry = induction().enter(trial, 0)
    room = Room(trial, 0, 10)
    examined = room.examine(entry)
    usual = [feature for feature in trial.features if not trial.truths[feature].hard]
    context = np.array([examined[f].figures["recovery.context"] for f in usual if "recovery.context" in examined[f].figures])
    assert len(context) >= 6
    against_chance = paired(context, np.full(len(context), 0.5), np.random.default_rng(0)).mean
    assert against_chance.low <= 0
    assert against_chance.value < 0.03
    label, lookup = [], []
    for feature in usual:
        figures = {m.scorer: m.value for m in evaluate(room.examiner.lookup(feature), room.exam(feature))}
        label.append(examined[feature].figures["simulation.r"])
        lookup.append(figures["simulation.r"])
    against_lookup = paired(np.array(label, np.float64), np.array(lookup, np.float64), np.random.default_rng(1)).mean
    assert against_lookup.low <= 0
    assert against_lookup.value < 0.03
    room.close()

"""A trial of made features: a store like any other, and fresh texts that tell a rule from what it could be mistaken for."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dragoman.agents.campaign import Means, Wish, campaign
from dragoman.agents.settings import Settings
from dragoman.evals.benchmark.baselines import Lookup
from dragoman.evals.benchmark.planted import PlantedSuite, PlantedTrial
from dragoman.evals.benchmark.recovery import Fresh, recovery
from dragoman.evals.benchmark.suite import Suite, Trial
from dragoman.store.errors import ToolError, UserError
from dragoman.store.features import Store
from dragoman.tools.activate import activate
from dragoman.tools.induction import Fit
from dragoman.tools.patterns import PatternText, parse, usage_of
from dragoman.tools.programs import Reading
from dragoman.tools.toolbox import Toolbox
from dragoman.tools.toolkit.desk import Desk
from dragoman.tools.workbench import Workbench

FEATURES, COARSE, WITH = 18, 1, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def trial(folder: Path) -> PlantedTrial:
    return PlantedSuite(documents=700).prepare(folder, 0, FEATURES)


@pytest.fixture(scope="module")
def bench(trial: PlantedTrial) -> Iterator[Workbench]:
    with Workbench.open(trial.store) as opened:
        yield opened


def test_the_store_holds_what_the_programs_say(trial: PlantedTrial, bench: Workbench) -> None:
    store, source = bench.store, bench.source("planted")
    tokens = store.tokens("test")
    rows = [tokens.ids[a:b].tolist() for a, b in zip(tokens.starts[:-1], tokens.starts[1:], strict=True)]
    found = source.activations(rows)
    for feature in range(FEATURES):
        mine = found.feature == feature
        where, values = store.activations(feature, "test")
        assert np.array_equal(tokens.starts[found.row[mine]] + found.position[mine], where)
        assert np.array_equal(found.value[mine], values)
    assert trial.features == tuple(store.features("live")) and len(trial.features) >= 16
    assert store.subject.family == "none" and store.manifest.plan["seed"] == 0
    assert {str(near.key) for near in store.feature(WITH).neighbours[:1]} == {f"planted/{COARSE}"}


def test_tools_that_read_work_and_tools_that_need_a_model_say_so(trial: PlantedTrial, bench: Workbench) -> None:
    word = json.loads((trial.store / "source" / "programs.json").read_text())["programs"][COARSE]["term"]["words"][0]
    desk = Desk.of(bench)
    box = Toolbox(desk, "run", COARSE)
    text = f"Here is the {word} and another {word}."
    read = box.call("activate", {"texts": [text, "Nothing here."]})
    assert [one["fires"] for one in read.data["texts"]] == [True, False]
    edited = box.call("edit_and_compare", {"text": text, "edits": [{"kind": "delete", "start": 0}]})
    assert edited.data["fires_before"] and len(edited.data["variants"]) == 1
    assert box.call("match_pattern", {"pattern": trial.truths[COARSE].pattern}).text
    assert box.call("minimal_context", {"text": text}).data["kept"]
    for tool, arguments in (
        ("ablate", {}),
        ("steer", {"prompts": ["a"]}),
        ("logit_effects", {}),
        ("generate_steered", {"prompts": ["a"], "strengths": [1]}),
    ):
        with pytest.raises(ToolError, match=r"it needs a model|no model here"):
            box.call(tool, arguments)
    (strips,) = activate(bench, [text])
    assert strips.values(COARSE).max() == pytest.approx(bench.maximum(COARSE))
    with pytest.raises(UserError, match="features of this store are programs"):
        _ = bench.subject
    with pytest.raises(UserError, match="features of this store are programs"):
        bench.dictionary("planted")


def test_the_labeler_experiments_on_programs(trial: PlantedTrial) -> None:
    wish = Wish("induction", features=(COARSE, WITH), settings=Settings(rung="experiments", ladder=False, rounds=1))
    outcome = campaign(trial.store, wish, Means(), progress=False)
    with Store.open(trial.store) as store:
        labels = {label.feature: label for label in store.ledger.labels(run=outcome.run.id)}
        text = PatternText(store.tokens("test"), usage_of(store.tokens("train")))
    assert set(labels) == {COARSE, WITH} and any(label.experiments for label in labels.values())
    reading = Reading(trial.source.lexicon, _rows(text))
    for feature, label in labels.items():
        said, true = parse(label.pattern or "").predict(text) > 0, trial.programs[feature].fires(reading)
        assert (said & true).sum() / (said | true).sum() > 0.5


def test_fresh_texts_are_true_near_and_random_and_in_no_store(trial: PlantedTrial, folder: Path) -> None:
    stored = {json.loads(line)["text"] for line in (folder / "text.jsonl").read_text("utf-8").splitlines()}
    kinds: Counter[str] = Counter()
    for feature in range(FEATURES):
        texts = trial.fresh(feature, 3, 4)
        if feature < 3:
            assert texts == trial.fresh(feature, 3, 4)
            assert texts != trial.fresh(feature, 4, 4)
        kinds.update(text.kind for text in texts)
        for text in texts:
            assert text.text not in stored and len(text.ids) == len(text.fires) == len(text.offsets)
            (truth,) = trial.source.fires(feature, [text.ids])
            assert tuple(truth.tolist()) == text.fires
            assert any(text.fires) == (text.kind == "true") or text.kind == "random"
    assert kinds["true"] == kinds["random"] == 4 * FEATURES and kinds["near"] >= 3.8 * FEATURES
    with pytest.raises(UserError, match="no feature 99"):
        trial.fresh(99, 0, 1)


def test_near_texts_of_a_sibling_hold_its_words_without_the_condition(trial: PlantedTrial) -> None:
    near = [text for text in trial.fresh(WITH, 1, 8) if text.kind == "near"]
    coarse = [trial.source.fires(COARSE, [text.ids])[0].any() for text in near]
    assert np.mean(coarse) >= 0.7  # a label that says the words alone is wrong about these


def test_what_looks_at_tokens_recovers_the_first_level_and_not_the_last(trial: PlantedTrial) -> None:
    with Store.open(trial.store) as store:
        view, usage, words = store.train_view(), usage_of(store.tokens("train")), store.tokens("train").vocabulary
        found: dict[int, list[float]] = {1: [], 5: []}
        for feature in trial.features:
            level = trial.truths[feature].level
            if level in found:
                label = Lookup().explain(view, feature, lambda pattern: Fit(0.0, 0.5), 0)
                fresh = Fresh(trial.fresh(feature, 0, 8), words, usage)
                found[level].append(recovery(fresh, parse(label.pattern or "").predict(fresh.text))["recovery.mcc"])
    assert min(len(figures) for figures in found.values()) >= 2
    assert np.mean(found[1]) > np.mean(found[5]) + 0.2


def test_the_same_command_opens_and_another_seed_makes_another(trial: PlantedTrial, folder: Path, tmp_path: Path) -> None:
    again = PlantedSuite(documents=700).prepare(folder, 0, FEATURES)
    assert again.truths == trial.truths and again.programs == trial.programs and again.features == trial.features
    with pytest.raises(UserError, match="made with other settings"):
        PlantedSuite(documents=700).prepare(folder, 1, FEATURES)
    with pytest.raises(UserError, match="at least 1 feature"):
        PlantedSuite().prepare(tmp_path, 0, 0)
    suite: Suite = PlantedSuite()
    seen: Trial = trial
    assert suite.name == "planted" and seen.store == trial.store


def test_a_text_of_ones_own_is_parted_into_store_and_fresh_texts(trial: PlantedTrial, folder: Path, tmp_path: Path) -> None:
    own = PlantedSuite(folder / "text.jsonl", documents=600).prepare(tmp_path, 5, 3)
    stored = (tmp_path / "text.jsonl").read_text("utf-8").splitlines()
    given = (folder / "text.jsonl").read_text("utf-8").splitlines()
    assert set(stored) < set(given) and 500 < len(stored) <= 600
    assert [text.kind for text in own.fresh(1, 0, 2)].count("true") == 2


def test_a_changed_program_is_refused(trial: PlantedTrial, tmp_path: Path) -> None:
    shutil.copytree(trial.store, tmp_path / "S")
    file = tmp_path / "S" / "source" / "programs.json"
    file.write_text(file.read_text("utf-8").replace('"scale": ', '"scale": 1'), "utf-8")
    with Workbench.open(tmp_path / "S") as bench, pytest.raises(UserError, match="changed since the store was made"):
        bench.source("planted")
    file.write_text("{}", "utf-8")
    with Workbench.open(tmp_path / "S") as bench, pytest.raises(UserError, match="cannot be read"):
        bench.source("planted")


def _rows(text: PatternText) -> list[list[int]]:
    return [text.ids[a:b].tolist() for a, b in zip(text.starts[:-1], text.starts[1:], strict=True)]

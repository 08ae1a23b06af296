"""Scoring runs with a judge that reads words: real HTTP, a real ledger, and a scripted model that looks for words."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.asking import Means, Outcome, Wish, ask_scores
from dragoman.evals.comparison import compare
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.models import model_named
from dragoman.evals.report.build import write_report
from dragoman.evals.report.material import gather
from dragoman.evals.scorers.sample import Sizes
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.ledger import Ledger, label_id
from dragoman.store.records import Label, Run, Score
from tests.evals.gateway.replies import prompt_text
from tests.evals.gateway.server import HANGING, Body, Failure, Said, ScriptedServer
from tests.support.synthetic import WORDS, make_store

ROOT = Path(__file__).parents[2]
FEATURES = (1, 2, 3)
WISH = Wish(("detection", "fuzzing", "simulation", "collision"), FEATURES, sizes=Sizes(10, 10, 3, 1, 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_store(tmp_path / "store", documents=200, windows=6, window=6).close()
    return tmp_path / "store"


def add_labels(path: Path, run: str, words: Mapping[int, str]) -> None:
    """A labeling run that says of each feature which word it fires on."""
    ledger = Ledger(path / "ledger.sqlite")
    config = {"features": ",".join(str(feature) for feature in sorted(words))}
    ledger.start_run(Run(id=run, kind="label", config=json.dumps(config), status="running"))
    for feature, word in words.items():
        description = f"the word {word}"
        name = label_id(run, feature, description)
        ledger.add_label(Label(id=name, feature=feature, run=run, name=word, description=description, agent="test"))
    ledger.finish_run(run)
    ledger.close()


def right(features: tuple[int, ...] = FEATURES) -> dict[int, str]:
    return {feature: WORDS[feature] for feature in features}


def looks_for_the_word(body: dict[str, Any]) -> Said:
    """A reader that understands `the word X` and nothing else."""
    asked = prompt_text(body)
    word = re.findall(r"<claim>\nthe word (\S+)\n</claim>", asked)[-1]
    if body.get("prompt_logprobs"):
        return Said("", prompt_chances=lambda place, tokens: {"9" if tokens[place - 2].strip() == word else "0": 0.9})
    if "In which one?" in asked:
        shown = re.findall(r"([A-Z]):\n<text>\n(.*?)\n</text>", asked, re.DOTALL)
        fits = {letter: 0.97 if word in " ".join(re.findall(r"<<(.*?)>>", text)).split() else 0.01 for letter, text in shown}
        return Said(chances=[{letter: chance / sum(fits.values()) for letter, chance in fits.items()}])
    if "<texts>" in asked:
        lines: list[dict[str, float]] = []
        texts, question = asked.rsplit("<texts>", 1)[1].split("</texts>")
        for letter, text in re.findall(r"^([A-Z]): (.*)$", question if "PARTS" in question else texts, re.MULTILINE):
            pieces = [found for part in text.split(" | ") for found in re.findall(r"<<(.*?)>>", part) or [part]]
            yes = 0.95 if any(word in piece.split() for piece in pieces) else 0.05
            lines += [{letter: 1.0}, {":": 1.0}, {" Yes": yes, " No": 1 - yes}, {"\n": 1.0}]
        return Said(chances=lines)
    marked = re.search(r"<marked>\n(.*?)\n</marked>", asked, re.DOTALL)
    seen = re.findall(r"<<(.*?)>>", marked[1]) if marked else re.findall(r"<text>\n(.*?)\n</text>", asked, re.DOTALL)
    yes = 0.95 if any(word in piece.split() for piece in seen) else 0.05
    return Said(chances=[{"Yes": yes, "No": 1 - yes}])


def run(path: Path, server: ScriptedServer, wish: Wish = WISH, budget: Budget | None = None, fresh: bool = False) -> Outcome:
    means = Means(budget or Budget(), patience=5)
    return ask_scores(path, model_named(f"vllm:{server.url}"), wish, means, fresh, progress=False)


def scores(path: Path, outcome: Outcome) -> dict[tuple[int, str, str], Score]:
    with Store.open(path) as store:
        return {(s.feature, s.contestant, s.scorer): s for s in store.ledger.scores(run=outcome.run.id)}


def test_a_label_that_says_the_word_scores_high_and_another_ones_does_not(path: Path) -> None:
    add_labels(path, "labels", right())
    with ScriptedServer(looks_for_the_word) as server:
        outcome = run(path, server)
    found = scores(path, outcome)
    for feature in FEATURES:
        for scorer in ("detection.auroc", "fuzzing.auroc", "collision.accuracy"):
            own = found[feature, "label", scorer]
            assert own.value == 1 and own.n >= 8 and own.split == "test" and own.judge == "vllm:judge", own
            assert "read from log-probabilities" in own.flags and own.low is not None and own.high == 1
        r = found[feature, "label", "simulation.r"].value
        assert r is not None and r > 0.9
        other, lookup = found[feature, "shuffled", "detection.auroc"], found[feature, "token_lookup", "detection.auroc"]
        assert other.value is not None and other.value < 0.75 and lookup.value is not None and lookup.judge == "none"
        assert (feature, "token_lookup", "fuzzing.auroc") not in found
    assert outcome.remarks == () and outcome.tokens == server.prompt_tokens + server.completion_tokens
    with Store.open(path) as store:
        assert len(store.sql("select * from model_call where status = 'settled'")) == len(server.seen)


def test_dead_features_and_those_without_a_label_say_so(path: Path) -> None:
    add_labels(path, "labels", {**right((1, 2)), 23: "nothing"})
    with ScriptedServer(looks_for_the_word, keep=False) as server:
        found = scores(path, run(path, server, replace(WISH, features=None)))
    assert found[23, "label", "fuzzing.auroc"].unscored == "dead" and found[1, "label", "fuzzing.auroc"].value == 1
    assert (23, "shuffled", "fuzzing.auroc") not in found


def test_a_budget_stops_the_run_and_the_same_command_goes_on_to_the_same_scores(path: Path) -> None:
    add_labels(path, "labels", right())
    with ScriptedServer(looks_for_the_word) as server:
        with pytest.raises(UserError, match="budget"):
            run(path, server, budget=Budget(tokens=25_000))
        assert server.prompt_tokens + server.completion_tokens <= 25_000
        stopped = run(path, server)
        asked = len(server.seen)
        again = run(path, server)
        assert len(server.seen) == asked and again.run.id == stopped.run.id
    with ScriptedServer(looks_for_the_word) as server:
        undisturbed = run(path, server, fresh=True)
        assert len(server.seen) == asked, "no question is asked twice"
    first, second = scores(path, stopped), scores(path, undisturbed)
    assert len(first) > 60 and {k: s.model_dump(exclude={"run"}) for k, s in first.items()} == {
        k: s.model_dump(exclude={"run"}) for k, s in second.items()
    }


@pytest.mark.slow
def test_kill_9_in_the_middle_loses_no_answer(path: Path) -> None:
    add_labels(path, "labels", right())
    most = 120  # so that it cannot end before it is killed

    def answer(body: Body) -> Said | Failure:
        return replace(looks_for_the_word(body), delay=0.02) if server.answered < most else HANGING

    with ScriptedServer(answer, keep=False) as server:
        command = [sys.executable, "-m", "dragoman", "score", str(path), "--judge", f"vllm:{server.url}", "--features", "1,2,3"]
        command += ["--scores", "detection,fuzzing", "--texts-a-request", "2", "--concurrency", "8", "--quiet"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while server.answered < 100:
            time.sleep(0.01)
            assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        before, most = server.answered, 10**9
        done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
        total = server.answered
    with ScriptedServer(looks_for_the_word, keep=False) as server:
        wish = Wish(("detection", "fuzzing"), FEATURES, texts=2)
        undisturbed = run(path, server, wish, fresh=True)
        assert before < server.answered and server.answered <= total <= server.answered + 8 * 2
    with Store.open(path) as store:
        resumed = store.ledger.scores(run=json.loads(done.stdout)["run"])
    whole = scores(path, undisturbed)
    assert len(resumed) == len(whole) > 0
    assert all(s.value == whole[s.feature, s.contestant, s.scorer].value for s in resumed)


def test_a_judge_that_always_says_yes_is_reported(path: Path) -> None:
    add_labels(path, "labels", right())
    with ScriptedServer(lambda body: "Yes", keep=False) as server:
        outcome = run(path, server, replace(WISH, scores=("detection",)))
    assert any("answers yes" in remark for remark in outcome.remarks)
    found = scores(path, outcome)
    own = found[1, "label", "detection.auroc"]
    assert {scorer.split(".")[0] for _, _, scorer in found} == {"detection", "detection_active"}, "controls of what is asked only"
    assert own.value == 0.5 and "constant prediction" in own.flags


def test_a_judge_that_refuses_leaves_everything_unscored_with_the_reason(path: Path) -> None:
    add_labels(path, "labels", right((1, 2)))
    refusal = Said("I cannot help with that.", logprobs=False)
    with ScriptedServer(lambda body: refusal, owner="somebody", keep=False) as server:
        wish = replace(WISH, scores=("detection", "fuzzing"), features=(1, 2))
        outcome = ask_scores(path, model_named(f"openai:{server.url}#judge"), wish, Means(patience=5), progress=False)
    found = scores(path, outcome)
    own = [found[1, "label", name] for name in ("detection.auroc", "fuzzing.auroc")]
    assert all(s.value is None and s.unscored and "readable" in s.unscored for s in own)
    assert outcome.remarks


def test_of_several_labels_the_one_that_does_best_on_validation_is_published(path: Path) -> None:
    add_labels(path, "wrong", dict.fromkeys(FEATURES, "sang"))
    add_labels(path, "right", right())
    wish = replace(WISH, scores=("detection",), labels=("wrong", "right"))
    with ScriptedServer(looks_for_the_word, keep=False) as server:
        found = scores(path, run(path, server, wish))
    with Store.open(path) as store:
        names = {label.id: label.name for label in store.ledger.labels()}
    for feature in FEATURES:
        own, other = found[feature, "label", "detection.auroc"], found[feature, "shuffled", "detection.auroc"]
        assert names[own.label] == WORDS[feature] and own.value == 1
        assert {"best of 2 on validation by detection.auroc"} <= set(own.flags) & set(other.flags)


def test_what_cannot_be_asked_is_one_sentence(path: Path) -> None:
    def said(*arguments: str) -> str:
        command = [sys.executable, "-m", "dragoman", "score", str(path), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and "Traceback" not in done.stderr and done.stdout == ""
        return " ".join(done.stderr.split())

    add_labels(path, "labels", right())
    assert "--scores is for judges that read words" in said("--scores", "fuzzing")
    assert "There is no score called 'vibes'" in said("--judge", "openai:http://127.0.0.1:9/v1#m", "--scores", "vibes")
    assert "names no model" in said("--judge", "oracle")
    with ScriptedServer(looks_for_the_word, models=("judge-1b",)) as server:
        assert "judge-1b" in said("--judge", f"vllm:{server.url}#other")
        assert "was not asked about" in said("--judge", f"vllm:{server.url}", "--features", "7")


def test_every_answer_is_kept_beside_the_truth_and_the_report_shows_its_calibration(path: Path) -> None:
    add_labels(path, "labels", right())
    with ScriptedServer(looks_for_the_word, keep=False) as server:
        outcome = run(path, server, replace(WISH, scores=("detection", "fuzzing")))
    with Store.open(path) as store:
        answers = store.ledger.answers(outcome.run.id, "label")
        tokens = store.tokens("test")
        rows = dict(zip(tokens.context_ids.tolist(), range(tokens.n_contexts), strict=True))
        for answer in answers:
            words = tokens.text(rows[answer.context]).split()
            if answer.score == "detection" and answer.truth is not None:
                assert answer.truth == (WORDS[answer.feature] in words) == ((answer.probability or 0) > 0.5)
        assert {answer.score for answer in answers} == {"detection", "fuzzing"} and len(answers) > 100
        material = gather(store)
    text = write_report(material, path / "report.html", workers=0, progress=False).read_text()
    assert "Calibration of the judge: detection" in text and "Calibration of the judge: fuzzing" in text
    assert "Brier score 0.00" in text and "Fuzzing: AUROC" in text and "vllm:judge" in text


def test_two_judges_are_compared_on_the_same_questions(path: Path) -> None:
    add_labels(path, "labels", right())
    wish = replace(WISH, scores=("detection",))
    with ScriptedServer(looks_for_the_word, keep=False) as server, ScriptedServer(contrary, models=("other",)) as other:
        one, two = run(path, server, wish), run(path, other, wish)
    with Store.open(path) as store:
        (found,) = compare(store, one.run.id, two.run.id)
        assert found.questions > 50 and found.features == len(FEATURES)
        assert found.agreement.pearson.value == pytest.approx(-1) and found.agreement.same.value == 0
        (itself,) = compare(store, one.run.id, one.run.id[:8])
        assert itself.agreement.kappa.value == 1
        with pytest.raises(UserError, match="no single scoring run"):
            compare(store, one.run.id, "nothing")


def contrary(body: dict[str, Any]) -> Said:
    """Says no wherever the other says yes."""
    said = looks_for_the_word(body)
    assert said.chances
    return Said(chances=[{"Yes": said.chances[0]["No"], "No": said.chances[0]["Yes"]}])

"""The whole way on a real vLLM server: labels that the judge has not seen in its training, through every way of reading."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.judge.model import ModelReader
from dragoman.evals.judge.reader import Step
from dragoman.evals.statistics import auroc
from dragoman.store.ledger import Ledger
from tests.vllm.exams import Claim, Question, unseen
from tests.vllm.served import Served

pytestmark = pytest.mark.vllm

CLAIMS, TEXTS = 12, 8
"""Claims, and texts of each in which the feature fires; as many in which it is silent."""

T = TypeVar("T")


@pytest.fixture(scope="module")
def exam() -> list[tuple[Claim, list[Question]]]:
    """Claims about words that no claim of the training names, with texts."""
    rng = np.random.default_rng(5)
    return [(claim, [claim.question(rng, i < TEXTS) for i in range(2 * TEXTS)]) for claim in unseen(rng, CLAIMS)]


def ask(served: Served, path: Path, work: Callable[[ModelReader], Awaitable[T]], **can: Any) -> T:
    """What `work` finds with a reader; `can` takes abilities from the server, to see the other ways of reading."""

    async def run() -> T:
        model = served.named()
        await model.check()
        model.capabilities = replace(model.capabilities, **can)
        async with Gateway(Ledger(path / "ledger.sqlite"), "run", 0, Budget()) as gateway:
            return await work(ModelReader(gateway, model))

    return asyncio.run(run())


async def detect(reader: ModelReader, exam: list[tuple[Claim, list[Question]]], shift: int = 0) -> tuple[float, set[str]]:
    """AUROC over all texts of all claims, and how the answers were read. `shift`: the claim of another feature."""
    truth: list[bool] = []
    said: list[float] = []
    ways = set()
    for i, (_, questions) in enumerate(exam):
        claim = exam[(i + shift) % len(exam)][0]
        answers = await reader.detect(claim.text, [q.passage for q in questions], Step(i, f"detect/{shift}"))
        for question, answer in zip(questions, answers, strict=True):
            assert answer.value is not None, answer.unscored
            truth.append(any(question.fires))
            said.append(answer.value)
            ways.add(str(answer.way))
    return auroc(np.array(truth), np.array(said, np.float32)), ways


def test_detection_on_labels_it_has_not_seen(served: Served, exam: list[tuple[Claim, list[Question]]], tmp_path: Path) -> None:
    before = served.counters()
    area, ways = ask(served, tmp_path, lambda reader: detect(reader, exam))
    after = served.counters()
    print(f"detection AUROC {area:.3f}")
    assert area >= 0.9 and ways == {"log-probabilities"}
    calls = Ledger(tmp_path / "ledger.sqlite").arrow("model_call").to_pylist()
    assert len(calls) == 2 * TEXTS * CLAIMS and {call["status"] for call in calls} == {"settled"}
    assert sum(call["prompt_tokens"] for call in calls) == after["prompt"] - before["prompt"]
    cached = sum(call["cached_tokens"] for call in calls)
    assert cached == after["cached"] - before["cached"] and cached > 64 * len(calls), "instructions come from the prefix cache"


def test_shuffled_labels_say_nothing(served: Served, exam: list[tuple[Claim, list[Question]]], tmp_path: Path) -> None:
    area, _ = ask(served, tmp_path, lambda reader: detect(reader, exam, shift=1))
    print(f"detection AUROC, shuffled {area:.3f}")
    assert abs(area - 0.5) < 0.12  # about three standard errors of 192 texts


def test_detection_as_constrained_json(served: Served, exam: list[tuple[Claim, list[Question]]], tmp_path: Path) -> None:
    area, ways = ask(served, tmp_path, lambda reader: detect(reader, exam[:6]), logprobs=0)
    print(f"detection AUROC from JSON {area:.3f}")
    assert area >= 0.85 and ways == {"schema"}


def test_detection_by_constrained_samples(served: Served, exam: list[tuple[Claim, list[Question]]], tmp_path: Path) -> None:
    area, ways = ask(served, tmp_path, lambda reader: detect(reader, exam[:6]), logprobs=0, schema=False)
    print(f"detection AUROC from samples {area:.3f}")
    assert area >= 0.85 and ways == {"sampled"}


def test_a_reply_about_several_texts_keeps_to_its_form(
    served: Served, exam: list[tuple[Claim, list[Question]]], tmp_path: Path
) -> None:
    """The small judge cannot read such questions, but vLLM holds it to the form, so that every answer is read."""

    async def detect_several(reader: ModelReader) -> None:
        reader.texts = 8
        for i, (claim, questions) in enumerate(exam[:3]):
            answers = await reader.detect(claim.text, [q.passage for q in questions], Step(i, "several"))
            assert sorted(a.place for a in answers) == sorted([*range(1, 9)] * 2)
            assert all(a.value is not None and 0 <= a.value <= 1 and a.way == "log-probabilities" for a in answers)

    ask(served, tmp_path, detect_several)
    calls = Ledger(tmp_path / "ledger.sqlite").arrow("model_call").to_pylist()
    assert [(call["step"], call["status"]) for call in calls] == [("several/packed", "settled")] * 6


def test_fuzzing(served: Served, exam: list[tuple[Claim, list[Question]]], tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    firing = [(claim, [q for q in questions if any(q.fires)]) for claim, questions in exam]

    async def fuzz(reader: ModelReader) -> float:
        truth: list[bool] = []
        said: list[float] = []
        for i, (claim, questions) in enumerate(firing):
            right = [bool(n % 2) for n in range(len(questions))]
            marked = [q.marked(r, rng) for q, r in zip(questions, right, strict=True)]
            answers = await reader.fuzz(claim.text, marked, Step(i, "fuzz"))
            truth += right
            said += [answer.value if answer.value is not None else np.nan for answer in answers]
        return auroc(np.array(truth), np.array(said, np.float32))

    area = ask(served, tmp_path, fuzz)
    print(f"fuzzing AUROC {area:.3f}")
    assert area >= 0.8


def test_simulation_through_prompt_logprobs(served: Served, exam: list[tuple[Claim, list[Question]]], tmp_path: Path) -> None:
    async def simulate(reader: ModelReader) -> tuple[float, set[str]]:
        real: list[float] = []
        said: list[float] = []
        ways = set()
        for i, (claim, questions) in enumerate(exam):
            found = await reader.simulate(claim.text, [q.passage for q in questions], Step(i, "simulate"))
            for question, one in zip(questions, found, strict=True):
                assert one.values is not None, one.unscored
                real += question.fires
                said += one.values
                ways.add(str(one.way))
        return float(np.corrcoef(real, said)[0, 1]), ways

    r, ways = ask(served, tmp_path, simulate)
    print(f"simulation r {r:.3f}")
    assert r >= 0.35 and ways == {"log-probabilities"}  # all occurrences of a word share what its slots are told

"""What steering costs while text is generated with a cache: at most a tenth more than the unsteered text.

`DRAGOMAN_BENCH=full` measures the organism and a GPT-2 of full size (random weights) and writes docs/benchmarks/steering.md;
otherwise a few tokens of the organism show that it runs, and that steering sends no token through the model a second time.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from dragoman.evals.organism.load import organism_paths
from dragoman.tools.dictionaries import Dictionary, load
from dragoman.tools.dictionaries.coder import Recipe, make_coder
from dragoman.tools.interventions import Edit, ablate, generate, steer
from dragoman.tools.subject import Subject

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
TOKENS, ROUNDS = (60, 15) if FULL else (20, 2)
LIMIT = 1.10
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "steering.md"
PROMPT = list(range(100, 120))

INTRODUCTION = f"""# Steering, measured

Written by `make bench` on {platform.machine()} with {os.cpu_count()} cores, on one thread. {TOKENS} tokens are generated with a
cache, without and with a steer in turn, {ROUNDS} times each after a warm-up; CPU time of the process, so that other work on the
machine does not count. Steering must cost at most a tenth more. Ablation has to encode every token, which is what it costs.

| Model | Dictionary | Prompts | Edit | Unedited, ms a token | Ratio (median of pairs) |
|---|---|---|---|---|---|
"""


def seconds(subject: Subject, prompts: Sequence[list[int]], edits: Sequence[Edit]) -> float:
    """CPU time of one generation."""
    begun = time.process_time()
    made = generate(subject, prompts, edits, tokens=TOKENS, bos=False)
    taken = time.process_time() - begun
    assert all(len(m.ids) == TOKENS for m in made)
    return taken


def ratio(subject: Subject, prompts: Sequence[list[int]], edits: Sequence[Edit]) -> tuple[float, float]:
    """CPU time a token without the edits, and the median over pairs of the time with them divided by it."""
    seconds(subject, prompts, edits)
    plain, ratios = [], []
    for number in range(ROUNDS):
        both = [[], edits] if number % 2 else [edits, []]
        first, second = (seconds(subject, prompts, own) for own in both)
        without, with_them = (first, second) if number % 2 else (second, first)
        plain.append(without)
        ratios.append(with_them / without)
    return statistics.median(plain) / TOKENS, statistics.median(ratios)


def forwarded(subject: Subject, prompts: Sequence[list[int]], edits: Sequence[Edit]) -> int:
    """Tokens that go through the model in one generation."""
    counts: list[int] = []
    hook = subject.model.get_input_embeddings().register_forward_pre_hook(lambda _, given: counts.append(given[0].numel()))
    try:
        generate(subject, prompts, edits, tokens=TOKENS, bos=False)
    finally:
        hook.remove()
    return sum(counts)


def organism() -> tuple[Subject, Dictionary]:
    """The shipped model and dictionary."""
    paths = organism_paths()
    subject = Subject.load(paths.model, "cpu")
    return subject, load(f"sae={paths.sae}", subject)


def gpt2(tokenizer: Any) -> tuple[Subject, Dictionary]:
    """GPT-2 small with random weights, and a dictionary of 24,576 features in the middle of it."""
    torch.manual_seed(0)
    subject = Subject(transformers.AutoModelForCausalLM.from_config(transformers.GPT2Config()), tokenizer, "GPT-2 small, random")
    shapes = {"W_enc": (768, 24_576), "W_dec": (24_576, 768), "b_enc": (24_576,), "b_dec": (768,)}
    weights = {name: 0.02 * torch.randn(shape) for name, shape in shapes.items()}
    return subject, make_coder("sae", "resid_pre.6", "resid_pre.6", Recipe("topk", 32), weights)


@pytest.mark.benchmark
def test_steering_costs_at_most_a_tenth() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    lines = []
    try:
        models = [organism()]
        if FULL:
            models.append(gpt2(models[0][0].tokenizer))
        for subject, dictionary in models:
            subject.model.generation_config.eos_token_id = []
            subject.tokenizer.eos_token = None
            for rows in (1, 8):
                prompts = [PROMPT[: 20 - n] for n in range(rows)]
                edits: dict[str, list[Edit]] = {
                    "steer": [steer(dictionary, [3], 1.0, [1.0])],
                    "ablation": [ablate(dictionary, [3])],
                }
                for name, edit in edits.items():
                    alone, share = ratio(subject, prompts, edit)
                    model = Path(subject.name).name if subject.folder is None else "organism"
                    lines.append(f"| {model} | {dictionary.width:,} | {rows} | {name} | {1000 * alone:.2f} | {share:.3f} |")
                    print(lines[-1])
                    once = rows * (len(PROMPT) + TOKENS - 1)  # padding included
                    assert forwarded(subject, prompts, edit) == forwarded(subject, prompts, []) == once
                    if name == "steer" and FULL:
                        assert share <= LIMIT, lines[-1]
            if FULL:
                TABLE.write_text(INTRODUCTION + "\n".join(lines) + "\n")
    finally:
        torch.set_num_threads(threads)

"""How long a whole harvest takes against the same model's plain full forward pass on the same batches, in one run.

The full forward is `model(ids)` as anybody would call it, the LM head included; its outputs are thrown away. The harvest is
everything from the text file to the sealed, sorted store: tokenization, projection, truncated forward, encoding, shards, sorting,
statistics. Tables made once per dictionary are timed beside. Best of three, interleaved. `DRAGOMAN_BENCH=full` runs full counts,
asserts the limits and writes docs/benchmarks/harvest.md.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.dictionaries import Dictionary, Recipe, load, make_coder
from dragoman.tools.documents import Corpus
from dragoman.tools.forward import Clock
from dragoman.tools.harvest import harvest
from dragoman.tools.source import padded
from dragoman.tools.subject import Subject
from dragoman.tools.windows import batches, cut, tokenized

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
REPEATS = 3 if FULL else 1
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "harvest.md"


@dataclass
class Measured:
    """Seconds of the best runs on one model."""

    name: str
    tokens: int
    activations: int
    forward: float
    """The plain full forward."""
    harvest: float
    """The whole harvest, static tables not counted."""
    clock: Clock
    """Parts of the best harvest."""
    tokenize: float
    store_bytes: int

    @property
    def ratio(self) -> float:
        return self.harvest / self.forward

    @property
    def rest(self) -> float:
        """Share of the harvest that is neither forward nor encode."""
        return 1 - (self.clock.forward + self.clock.encode) / self.harvest

    def row(self, limit: float, rest_limit: float) -> str:
        clock = self.clock
        cells = [
            self.name,
            f"{self.tokens:,}",
            f"{self.activations:,}",
            f"{self.forward:.1f}",
            f"{self.harvest:.1f}",
            f"**{self.ratio:.2f}** (limit {limit:.2f})",
            f"{clock.forward / self.harvest:.0%}",
            f"{clock.encode / self.harvest:.0%}",
            f"{self.rest:.0%} (limit {rest_limit:.0%})",
            f"{clock.parts['seal'] / self.harvest:.0%}",
            f"{self.tokenize / self.harvest:.0%}",
            f"{clock.parts['static']:.1f}",
            f"{self.store_bytes / self.activations:.1f}",
        ]
        return "| " + " | ".join(cells) + " |"


HEADER = (
    "| model | tokens | activations | full forward, s | harvest, s | ratio | forward | encode | neither | of it seal "
    "| of it tokenization | static tables, s | bytes an activation |\n|" + "---|" * 13
)


def measure(name: str, subject: Subject, dictionary: Dictionary, texts: list[str], window: int, folder: Path) -> Measured:
    """Full forward and harvest in turns, the best of each."""
    file = folder / "texts.json"
    file.write_text(json.dumps(texts))
    special = np.array(sorted(subject.special_ids()), np.int32)
    begin = time.perf_counter()
    documents = list(tokenized(subject, Corpus(str(file)), special))
    tokenize = time.perf_counter() - begin
    windows = cut(documents, window)
    bos = subject.bos_id if dictionary.facts.prepend_bos else None
    inputs = [torch.from_numpy(padded(windows.rows(which), bos).ids) for which in batches(windows, 16)]
    forwards: list[float] = []
    harvests: list[tuple[float, Clock]] = []
    size = activations = 0
    for _ in range(REPEATS):
        with torch.inference_mode():
            begin = time.perf_counter()
            for ids in inputs:
                subject.model(ids)
            forwards.append(time.perf_counter() - begin)
        shutil.rmtree(folder / "store", ignore_errors=True)
        clock = Clock()
        begin = time.perf_counter()
        store = harvest(folder / "store", subject, [dictionary], file, window=window, batch_size=16, progress=False, clock=clock)
        harvests.append((time.perf_counter() - begin - clock.parts["static"], clock))
        assert sum(store.manifest.tokens.values()) == len(windows.ids)
        activations = store.manifest.activations
        size = (folder / "store" / "features.duckdb").stat().st_size
        store.close()
    best, clock = min(harvests, key=lambda pair: pair[0])
    return Measured(name, len(windows.ids), activations, min(forwards), best, clock, tokenize, size)


def word_tokenizer(vocabulary: int) -> Any:
    """A tokenizer of words w0, w1 …: random text for a random model of a given vocabulary."""
    words = Tokenizer(models.WordLevel({"<s>": 0, **{f"w{n}": n for n in range(1, vocabulary)}}, unk_token="<s>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(tokenizer_object=words, bos_token="<s>")


def random_model(small: bool) -> tuple[Subject, Dictionary]:
    """GPT-2 small's shape with random weights, and a random TopK 32 dictionary of 24,576 features before block 6."""
    torch.manual_seed(0)
    layers, d, width = (2, 64, 2048) if small else (12, 768, 24_576)
    vocabulary = 500 if small else 50_257
    config = transformers.GPT2Config(n_layer=layers, n_embd=d, n_head=d // 64, vocab_size=vocabulary)
    subject = Subject(transformers.GPT2LMHeadModel(config), word_tokenizer(vocabulary), "random GPT-2 small")
    hook = f"resid_pre.{layers // 2}"
    directions = torch.nn.functional.normalize(torch.randn(width, d), dim=-1)
    weights = {"W_enc": directions.T.contiguous(), "W_dec": directions, "b_enc": torch.zeros(width), "b_dec": torch.zeros(d)}
    recipe = Recipe("topk", k=32, subtract_b_dec=True)
    return subject, make_coder("topk", hook, hook, recipe, weights, context_size=128, prepend_bos=True)


def random_texts(tokens: int, vocabulary: int) -> list[str]:
    """Documents of random words, 50 to 600 each; at least 200 documents."""
    generator = np.random.default_rng(0)
    longest = min(600, tokens // 120)
    texts: list[str] = []
    while tokens > 0:
        words = generator.integers(1, vocabulary, generator.integers(min(50, longest // 2), longest))
        texts.append(" ".join(f"w{n}" for n in words))
        tokens -= len(words)
    return texts


@pytest.mark.benchmark
@pytest.mark.slow
def test_harvest_against_a_plain_forward(tmp_path: Path) -> None:
    random_subject, random_dictionary = random_model(small=not FULL)
    tokens = int(os.environ.get("DRAGOMAN_BENCH_TOKENS", "16384")) if FULL else 20_000
    paths = organism_paths()
    organism = Subject.load(paths.model, device="cpu")
    texts = [d.text for d in corpus_documents(2500 if FULL else 250)]
    (tmp_path / "random").mkdir()
    (tmp_path / "organism").mkdir()
    vocabulary = random_subject.info.vocabulary
    rows = [
        (
            measure(
                "random GPT-2 small, TopK 32 of 24,576 at resid_pre.6",
                random_subject,
                random_dictionary,
                random_texts(tokens, vocabulary),
                127,
                tmp_path / "random",
            ),
            0.55,
            0.10,
        ),
        (
            measure("organism and its dictionary", organism, load(str(paths.sae), organism), texts, 127, tmp_path / "organism"),
            0.70,
            0.25,
        ),
    ]
    table = "\n".join([HEADER, *(measured.row(limit, rest) for measured, limit, rest in rows)])
    print("\n" + table)
    for measured, _, _ in rows:
        assert measured.activations > measured.tokens
        assert 0 < measured.rest < 1 and measured.clock.forward < measured.harvest
    if FULL:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(PAGE.format(doc=__doc__.strip(), machine=machine(), table=table))
        missed = [m.name for m, limit, rest in rows if m.ratio > limit or m.rest > rest]
        assert not missed, f"over the limits: {missed}"


PAGE = """# Harvest against a plain forward pass

{doc}

{machine}

{table}

The shares are of the harvest's time. Written by `make bench`.
"""


def machine() -> str:
    """Where it was measured."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"Measured on {platform.machine()}, {os.cpu_count()} cores, load average {load:.1f} at the end (above the number of "
        f"cores, the machine was shared), torch {torch.__version__}, {torch.get_num_threads()} threads, float32."
    )

"""Tokenizer, windows and packed rows."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.tokenizer import train_tokenizer
from dragoman.evals.organism.tokens import pack, token_ids, tokenize, windows

TEXTS = [d.text for d in generate(3, 300, split="train")]


def test_tokenizer_is_lossless_splits_digits_and_puts_bos_first(tmp_path: Path) -> None:
    made = train_tokenizer(TEXTS, 600)
    made.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("In 1987 Grüße,  \n\tx=12", "\u2603 日本", *TEXTS[:20]):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.bos_token_id not in ids[1:]
        assert tokenizer.decode(ids[1:]) == text
    assert [tokenizer.decode([i]) for i in tokenizer("1987", add_special_tokens=False)["input_ids"]] == list("1987")


def test_tokenizer_is_the_same_every_time() -> None:
    assert train_tokenizer(TEXTS, 600).get_vocab() == train_tokenizer(TEXTS, 600).get_vocab()


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 300])
def test_windows_cover_every_token_once(length: int) -> None:
    cut = windows(length)
    assert [t for a, b in cut for t in range(a, b)] == list(range(length))
    assert all(b - a <= 127 for a, b in cut)


def test_packed_rows_hold_every_window_and_its_next_tokens() -> None:
    tokenizer = train_tokenizer(TEXTS, 600)
    documents = list(token_ids(tokenizer, islice(generate(4, 60, split="train"), 60)))
    rows = pack(documents, bos=0, eos=1, length=256, rng=np.random.default_rng(0))
    seen = []
    for ids, targets, segments, positions in zip(rows.ids, rows.targets, rows.segments, rows.positions, strict=True):
        for segment in range(segments.max() + 1):
            at = np.flatnonzero(segments == segment)
            assert ids[at[0]] == 0
            assert positions[at].tolist() == list(range(len(at)))
            assert ids[at[1:]].tolist() == targets[at[:-1]].tolist()
            seen.append((*ids[at[1:]].tolist(), int(targets[at[-1]])))
    wanted = [(*d[a:b].tolist(), int(d[b]) if b < len(d) else 1) for d in documents for a, b in windows(len(d))]
    assert sorted(seen) == sorted(wanted)
    assert (rows.targets[rows.segments < 0] == -100).all()
    assert (rows.segments >= 0).mean() > 0.85


def test_tokenized_documents_know_where_their_tokens_are() -> None:
    tokenizer = train_tokenizer(TEXTS, 600)
    for item in tokenize(tokenizer, generate(5, 40, split="held_out")):
        covered = "".join(item.document.text[a:b] for a, b in zip(item.starts, item.ends, strict=True))
        if item.document.text.isascii():
            assert covered == item.document.text
        assert (np.diff(item.starts) >= 0).all()

"""A store whose documents say in which split they are, and calls of every tool that try to see what they must not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.features import Store
from dragoman.store.records import SPLITS, Split
from dragoman.store.splits import document_hash, split_of
from dragoman.tools.harvest import harvest
from dragoman.tools.toolbox import registry

MARKS: Mapping[Split, str] = {"train": "Trimbalo", "validation": "Vexilom", "test": "Tustanok"}
"""A word for each split that the corpus does not hold; none is part of another, nor of what tools say."""
EVERY = 30
"""Words between two of them."""


def marked_store(folder: Path, documents: int = 500) -> Path:
    """Harvest text of the organism, in which every few words a question asks for the word of the document's own split."""
    paths = organism_paths()
    texts = (marked(document.text, split_of(document_hash(document.text))) for document in corpus_documents(documents))
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    harvest(folder / "store", str(paths.model), [str(paths.sae)], str(folder / "text.jsonl"), progress=False).close()
    return folder / "store"


def marked(text: str, split: Split) -> str:
    """The text with marks of a split, and an ending by which it falls into that split."""
    words = text.split(" ")
    pieces = [" ".join(words[at : at + EVERY]) for at in range(0, len(words), EVERY)]
    whole = f" Who is {MARKS[split]}? ".join(["", *pieces, ""]).strip()
    return next(said for n in range(1000) if split_of(document_hash(said := f"{whole} {n}")) == split)


def marks_in(text: str) -> set[Split]:
    """Splits whose word stands in a text, whatever marks of tokens and activations stand between its letters."""
    letters = re.sub(r"[^a-z]", "", re.sub(r"\\[nt]", "", text.lower()))
    return {split for split in SPLITS if MARKS[split].lower() in letters}


def hostile_calls(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    """Calls of every tool that would see other rows than those of train, if any could."""
    for stratum in ("top", "quantile", "random_active", "near_miss", "random_silent"):
        yield "top_examples", {"stratum": stratum, "n": 20, "whole": True}
        yield "top_examples", {"stratum": stratum, "n": 20, "skip": 10_000}
    for key in ("split", "store", "run", "document"):
        yield "top_examples", {key: "test"}
    yield "top_examples", {"stratum": "test"}
    for other in ("validation", "test"):
        contexts = store.tokens(other).context_ids.tolist()
        for number in contexts[:2]:
            yield "edit_and_compare", {"context": number, "edits": [{"kind": "delete", "start": 0}]}
            yield "minimal_context", {"context": number}
            yield "attribute_tokens", {"context": number}
        yield "query_store", {"sql": f"SELECT * FROM context WHERE context = {contexts[0]}"}
        yield "query_store", {"sql": f"SELECT count(*) FROM activation WHERE context = {contexts[0]}"}
        yield "query_store", {"sql": f"SELECT * FROM context WHERE split = '{other}'"}
    for sql in (
        "SELECT text FROM document ORDER BY random()",
        "SELECT document, text FROM document ORDER BY document LIMIT 40",
        "SELECT count(*), count(DISTINCT document) FROM context",
        "SELECT * FROM score",
        "SELECT value FROM score WHERE split = 'test'",
        "SELECT * FROM store.document",
        "SELECT * FROM main.document",
        "SELECT * FROM answer",
        "SELECT * FROM model_call",
        "SELECT * FROM label",
        "SELECT run, name, description FROM label",
        "SELECT * FROM run",
        "SELECT * FROM hypothesis",
        "SELECT * FROM step",
        "SELECT * FROM note",
        "SELECT * FROM meta",
        "SELECT corpus_max, liveness FROM feature",
        "SELECT * FROM feature LIMIT 5",
        "SELECT table_name FROM information_schema.tables",
        "SELECT * FROM duckdb_tables()",
        "SELECT * FROM sqlite_scan('ledger.sqlite', 'score')",
        f"SELECT * FROM read_text('{store.path}/logs/*')",
        f"SELECT * FROM '{store.path}/ledger.sqlite'",
        f"ATTACH '{store.path}/features.duckdb' AS x",
        "WITH score AS (SELECT 1) SELECT * FROM score",
        "SELECT error(text) FROM document",
    ):
        yield "query_store", {"sql": sql}
    for words in ("who is", "label", "score", "a", "fires", "test"):
        yield "search_labels", {"words": words, "n": 20}
    yield "match_pattern", {"pattern": 'strongly: any where word "Who"'}
    yield "match_pattern", {"pattern": 'strongly: any where word "Who"', "split": "test"}
    yield "match_pattern", {"pattern": r"strongly: any where /Who is ([A-Z]\w+)/"}
    yield "contrast", {"a": ["Who is", "Who is she?"], "b": ["She is."]}
    yield "activate", {"texts": ["Who is", "Who is she?"]}
    edit = [{"kind": "of_its_kind", "start": 0}, {"kind": "of_its_kind", "start": 2}]
    yield "edit_and_compare", {"text": "Who is Mary? Who is she?", "edits": edit}
    yield "search_inputs", {"effort": 50, "length": 6, "n": 4}
    for name, tool in registry().items():
        yield name, dict(tool.example)
    for by in ("decoder", "coactivation", "pmi", "contexts"):
        yield "neighbours", {"by": by, "n": 20}
    for feature in ("sae/0", "sae/1", "-1", "sae/1/test", "../test"):
        yield "feature_stats", {"feature": feature}
        yield "top_examples", {"feature": feature, "n": 20, "whole": True}
    yield "example_groups", {}
    yield "record_note", {"text": "Show me the rest."}
    yield "split", {}
    yield "toolbox.call", {"split": "test"}

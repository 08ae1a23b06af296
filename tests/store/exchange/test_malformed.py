"""Files that are not what they should be: one sentence that names file and place, and a ledger as it was before."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dragoman.store.errors import UserError
from dragoman.store.exchange import latents, parsing
from dragoman.store.exchange.importing import import_files
from dragoman.store.features import Store
from tests.support.synthetic import make_store

GOOD = {"modelId": "m", "layer": "l", "index": "3", "description": "birds", "typeName": "t", "explanationModelName": "g"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with make_store(tmp_path_factory.mktemp("bad") / "store") as store:
        yield store


def explanations(*rows: object) -> bytes:
    """A packed file of lines."""
    return gzip.compress("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode())


def dashboard(**changes: object) -> bytes:
    """A SAEDashboard file with one feature."""
    shown = {"bin_min": -1, "bin_max": 2.0, "bin_contains": -1, "tokens": ["a"], "values": [1.0], "qualifying_token_index": 0}
    feature = {"feature_index": 1, "pos_str": ["x"], "pos_values": [1.0], "activations": [{**shown, **changes}]}
    return json.dumps({"model_id": "m", "layer": 0, "sae_set": "s", "features": [feature | changes]}).encode()


CASES: dict[str, tuple[str, bytes, str]] = {
    "a line that is no JSON": ("e.jsonl.gz", explanations(GOOD, "{'index': 1}"), "line 2 cannot be read: it is no JSON"),
    "a line that is no object": ("e.jsonl.gz", explanations(GOOD, [1]), r"line 2 cannot be read: \[1\] stands where an object"),
    "no index": ("e.jsonl.gz", explanations(GOOD, {"description": "x"}), "line 2 cannot be read: index is missing"),
    "an index that is none": ("e.jsonl.gz", explanations({**GOOD, "index": -1}), "line 1 cannot be read: index is -1"),
    "a huge index": ("e.jsonl.gz", explanations({**GOOD, "index": 10**30}), "line 1 cannot be read: index is 1000"),
    "digits without end": ("e.jsonl.gz", explanations('{"index": ' + "1" * 9999 + "}"), "line 1 cannot be read: it is no JSON"),
    "an index beyond the width": ("e.jsonl.gz", explanations({**GOOD, "index": 24}), "about feature 24 of m/l, and sae has 24"),
    "a description that is a number": ("e.jsonl.gz", explanations({**GOOD, "description": 5}), "description is 5, not a text"),
    "NaN": ("e.jsonl.gz", explanations(GOOD, '{"index": 1, "description": "x", "scores": [{"value": NaN}]}'), "line 2.*NaN"),
    "infinity by its digits": (
        "e.jsonl.gz",
        explanations({**GOOD, "scores": [{"value": 1, "explanationScoreTypeName": "t"}]}, '{"index": 1, '
                     '"scores": [{"value": 1e999, "explanationScoreTypeName": "t"}]}'),
        r"line 2, scores\[0\] cannot be read: value is not finite",
    ),
    "brackets without end": ("e.jsonl.gz", explanations("[" * 100_000), "line 1 cannot be read: it is no JSON"),
    "cut off": ("e.jsonl.gz", explanations(*[GOOD] * 500)[:-30], "ended before the end"),
    "bytes of a packed file changed": ("e.jsonl.gz", b"\x1f\x8b" + b"\x00" * 40, "cannot be read"),
    "not UTF-8": ("e.jsonl", b'{"index": "1", "description": "\xff\xfe"}\n', "line 1 cannot be read"),
    "no JSON at all": ("b.json", b'{"sae_set": ', "b.json cannot be read: it is no JSON"),
    "tokens without values": ("b.json", dashboard(values=[1.0, 2.0]), r"features\[0\], activations\[0\].*1 tokens and 2 values"),
    "values that are no numbers": ("b.json", dashboard(values=[True]), "values holds True, which is no number"),
    "a token that is no text": ("b.json", dashboard(tokens=[None]), "tokens holds something that is no text"),
    "a place outside": ("b.json", dashboard(qualifying_token_index=7), "qualifying_token_index is 7, and there are 1"),
    "lists that do not fit": ("b.json", dashboard(pos_values=[]), "pos_str has 1 entries and pos_values has 0"),
    "features that are no list": (
        "b.json", b'{"model_id": "m", "layer": 0, "sae_set": "s", "features": {}}', "features is {}, not a list"
    ),
    "an unfinished quotation": ("t.csv", b'feature,description\n1,"birds', "it is no CSV file"),
    "a row that is too long": ("t.csv", b"feature,description\n1,birds,x\n", "line 2 cannot be read: it has 3 fields"),
    "no column for the text": ("t.csv", b"feature,what\n1,birds\n", "description or explanation or label is missing"),
    "no column for the feature": ("t.csv", b"neuron,description\n1,birds\n", "feature or index is missing"),
    "an address that is none": ("t.csv", b"feature,description\nsae/x,birds\n", "feature is 'sae/x', not DICT/INDEX"),
    "confidence in words": ("t.csv", b"feature,description,confidence\n1,birds,high\n", "confidence is 'high', not a number"),
    "facets that are no list": ("t.csv", b'feature,description,facets\n1,birds,"{""a"": 1}"\n', "facets.*cannot be"),
    "no Parquet": ("t.parquet", b"PAR1 and nothing more", "it is no Parquet file"),
    "an explanation that is a list": ("h_latent3.txt", b'["birds"]', "stands where a JSON string should"),
    "an explanation without a number": ("h_latentX.txt", b'"birds"', "its name is not HOOKPOINT_latentN.txt"),
    "an unknown file": ("x.json", b'{"what": 1}', "is not recognised: say which it is with --format"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_file_is_one_sentence_and_changes_nothing(store: Store, case: str, tmp_path: Path) -> None:
    name, content, message = CASES[case]
    (tmp_path / name).write_bytes(content)
    before = store.digest_tables()
    with pytest.raises(UserError, match=message) as refused:
        import_files(store, tmp_path / name)
    sentence = str(refused.value)
    assert name in sentence and "\n" not in sentence and len(sentence) < 500
    assert store.digest_tables() == before


def test_nothing_is_half_imported(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"batch-{number}.json").write_bytes(
            json.dumps(
                {"modelId": "m", "source": "s", "features": [{"index": number, "explanations": [{"text": "birds"}]}]}
            ).encode()[: -5 if number == 2 else None]
        )
    before = store.digest_tables()
    with pytest.raises(UserError, match=r"batch-2\.json cannot be read"):
        import_files(store, tmp_path)
    assert store.digest_tables() == before


def test_folders_with_nothing_in_them(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing at"):
        import_files(store, tmp_path / "none")
    with pytest.raises(UserError, match="nothing at"):
        import_files(store, tmp_path / "none", "delphi")
    with pytest.raises(UserError, match="is not recognised"):
        import_files(store, tmp_path)
    with pytest.raises(UserError, match="the formats are neuronpedia, "):
        import_files(store, tmp_path, "sae")
    for format in ("neuronpedia", "neuronpedia-upload", "saedashboard", "delphi", "csv", "parquet"):
        with pytest.raises(UserError, match="there is no "):
            import_files(store, tmp_path, format)


def test_names_in_a_message_do_nothing_to_a_terminal(store: Store, tmp_path: Path) -> None:
    (tmp_path / "\x1b[31mred_latent1.txt").write_text("[")
    with pytest.raises(UserError, match="cannot be read") as refused:
        import_files(store, tmp_path)
    assert "\x1b" not in str(refused.value)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "LONGEST", 1000)
    (tmp_path / "e.jsonl.gz").write_bytes(explanations({"text": "x" * 5000}))
    with pytest.raises(UserError, match="line 1 cannot be read: the line is longer"):
        list(parsing.lines(tmp_path / "e.jsonl.gz"))


def cut_short(path: Path) -> None:
    """Half of a good file."""
    save_file({"locations": np.zeros((4, 3), np.uint16), "activations": np.zeros(4, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-8])


def pickled(path: Path) -> None:
    """A pickle, which nothing here executes."""
    path.write_bytes(b"\x80\x04K\x01.")


BROKEN: dict[str, Callable[[Path], None]] = {
    "no tensors": lambda path: save_file({"x": np.zeros(3)}, path),
    "a wrong shape": lambda path: save_file({"locations": np.zeros((4, 2)), "activations": np.zeros(4)}, path),
    "two lengths": lambda path: save_file({"locations": np.zeros((4, 3)), "activations": np.zeros(3)}, path),
    "cut short": cut_short,
    "no safetensors": pickled,
}


@pytest.mark.parametrize("case", BROKEN)
def test_latents_that_are_none(case: str, tmp_path: Path) -> None:
    BROKEN[case](tmp_path / "0_9.safetensors")
    with pytest.raises(UserError, match=r"0_9\.safetensors cannot be read"):
        latents.read(tmp_path / "0_9.safetensors")

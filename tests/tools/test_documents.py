"""Reading documents from every kind of file, and what is wrong with some of them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dragoman.store.errors import UserError
from dragoman.tools import documents
from dragoman.tools.documents import Corpus


def texts(place: Path | str, separator: str | None = None, text_field: str = "text") -> list[str]:
    return [d.text for d in Corpus(str(place), separator, text_field)]


def test_text_is_cut_at_blank_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\n\none\ntwo\n\n  \n\nthree\n \nfour  \n")
    assert texts(file) == ["one\ntwo", "three", "four  "]
    assert [d.source for d in Corpus(str(file))] == ["a.txt:0", "a.txt:1", "a.txt:2"]


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_separator_may_span_pieces(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_PIECE", piece)
    file = tmp_path / "a.txt"
    file.write_text("one\n\nstill one<|end|>two<|end|>  <|end|>three")
    assert texts(file, "<|end|>") == ["one\n\nstill one", "two", "three"]
    assert texts(file, "\\n\\n") == ["one", "still one<|end|>two<|end|>  <|end|>three"]


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_json_lists_are_streamed(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_PIECE", piece)
    rows = ["one [1, 2]", {"text": 'tw"o', "other": [1, {"a": "]"}]}, "thr\u00e9e"]
    for indent in (None, 2):
        (tmp_path / "a.json").write_text("\n " + json.dumps(rows, indent=indent))
        assert texts(tmp_path / "a.json") == ["one [1, 2]", 'tw"o', "thr\u00e9e"]


def test_jsonl_parquet_and_folders(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"story": "one"}\n\n"two"\n')
    pq.write_table(pa.table({"story": ["three", None, "four"], "n": [1, 2, 3]}), tmp_path / "c.parquet")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.txt").write_text("five")
    (tmp_path / "notes.md").write_text("not text for us")
    assert texts(tmp_path, text_field="story") == ["one", "two", "three", "four", "five"]
    assert texts(tmp_path / "c.parquet") == ["three", "four"]


def test_bad_characters_are_replaced_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('["a\\u0000b", "c\\ud800d", "fine \\ud83d\\ude00"]')
    corpus = Corpus(str(file))
    assert [d.text for d in corpus] == ["a\ufffdb", "c\ufffdd", "fine \U0001f600"]
    assert corpus.cleaned == 2
    (tmp_path / "b.txt").write_bytes(b"caf\xe9 x\n\nplain\x00")
    corpus = Corpus(str(tmp_path / "b.txt"))
    assert [d.text for d in corpus] == ["caf\ufffd x", "plain\ufffd"]
    assert corpus.cleaned == 2


def test_bad_input_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, content: str | None, message: str) -> None:
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=message) as caught:
            texts(tmp_path / name)
        assert "\n" not in str(caught.value)

    fails("none.txt", None, "no text file")
    fails("a.txt", " \n\n ", "holds no text")
    fails("a.json", '{"text": "x"}', "must hold a JSON list")
    fails("a.json", '["x", ', "not valid JSON after entry 1")
    fails("a.json", "[1]", "neither a string nor an object")
    fails("a.json", '[{"title": "x"}]', "it has title: use --text-field")
    fails("a.jsonl", '"x"\n{"text": ', "line 2 is not valid JSON")
    fails("a.parquet", "PAR1", "not a readable Parquet")
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), tmp_path / "two.parquet")
    fails("two.parquet", None, "no text column 'text'; it has a, b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no .txt"):
        texts(tmp_path / "empty")
    with pytest.raises(UserError, match="separator is empty"):
        Corpus(str(tmp_path / "a.txt"), "")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UserError, match="pip install datasets"):
        texts("nobody/no-such-dataset")

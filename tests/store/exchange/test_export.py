"""An export as a whole: it is there or not, says what goes out, and repeats itself."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.store.errors import UserError
from dragoman.store.exchange import gather
from dragoman.store.exchange.exporting import Wish, export
from dragoman.store.exchange.formats import FORMATS, READERS
from dragoman.store.exchange.gather import Cards
from dragoman.store.exchange.writing import whole_folder
from dragoman.store.features import Store

from .rich import LABELING, OTHER, rich_store

ROOT = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
from dragoman.store.exchange import gather
from dragoman.store.exchange.exporting import Wish, export
from dragoman.store.features import Store

facts = gather.Cards._facts
def dying(self, block):
    for number, card in enumerate(facts(self, block)):
        if number == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        yield card
gather.Cards._facts = dying
export(Store.open(sys.argv[1]), Path(sys.argv[2]), Wish(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with rich_store(tmp_path_factory.mktemp("rich") / "store") as store:
        yield store


def content(folder: Path) -> dict[str, str]:
    """Every file by its hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_killed_export_leaves_nothing_that_looks_whole(store: Store, tmp_path: Path) -> None:
    for format in ("saedashboard", "csv"):
        out = tmp_path / format
        killed = subprocess.run([sys.executable, "-c", KILLED, str(store.path), str(out), format], cwd=ROOT)
        assert killed.returncode == -9
        assert not out.exists() and out.with_name(f"{format}.partial").is_dir()
        export(store, out, Wish(format))
        assert not out.with_name(f"{format}.partial").exists() and not list(out.glob(".*"))
        export(store, tmp_path / f"{format}-again", Wish(format))
        assert content(out) == content(tmp_path / f"{format}-again")


def test_an_error_on_the_way_leaves_nothing_either(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("half")
        raise RuntimeError
    assert not (tmp_path / "out").exists()
    with whole_folder(tmp_path / "out") as folder:
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_is_taken(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    for place in ("file", "folder"):
        with pytest.raises(UserError, match="is there already"):
            export(store, tmp_path / place, Wish("csv"))
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "file").read_text() == "mine"
    with whole_folder(tmp_path / "busy"), pytest.raises(UserError, match="Another process is exporting"):
        export(store, tmp_path / "busy", Wish("csv"))


def test_no_text_but_train_goes_out_except_with_answers(store: Store, tmp_path: Path) -> None:
    test = {store.tokens("test").text(row) for row in range(store.tokens("test").n_contexts)}
    validation = {store.tokens("validation").text(row) for row in range(store.tokens("validation").n_contexts)}
    for format in FORMATS:
        done = export(store, tmp_path / format, Wish(format))
        if format == "delphi":
            assert done.splits == {"latents": ["train"], "scores": ["test"]}
            continue
        assert done.splits == {"examples": ["train"]}
        shown = {"".join(one.tokens) for card in READERS[format](tmp_path / format) for one in card.shown}
        assert not shown & (test | validation) and (shown or format in ("csv", "parquet"))
    done = export(store, tmp_path / "without", Wish("delphi", parts=("explanations", "latents")))
    assert done.splits == {"latents": ["train"]} and not (tmp_path / "without" / "scores").exists()
    assert "scores (not asked for)" in done.lost


def test_which_labels_and_features_go_out(store: Store, tmp_path: Path) -> None:
    cases: list[tuple[Wish, dict[int, list[str]]]] = [
        (Wish("neuronpedia", features=(2, 20)), {2: [LABELING], 20: []}),
        (Wish("neuronpedia", features=(2,), runs=("other",)), {2: [OTHER]}),
        (Wish("neuronpedia", features=(2,), runs=()), {2: [OTHER, LABELING]}),
    ]
    for number, (wish, expected) in enumerate(cases):
        export(store, tmp_path / str(number), wish)
        read = list(READERS["neuronpedia"](tmp_path / str(number)))
        assert {card.index: [label.run for label in card.labels] for card in read} == expected
    done = export(store, tmp_path / "delphi", Wish("delphi", runs=(), features=(2,)))
    assert {"1 labels beyond a feature's latest left out", "1 cached latents, which are of all features or of none"} <= set(
        done.lost
    )


def test_wishes_that_cannot_be_granted(store: Store, tmp_path: Path) -> None:
    cases = {
        "no format 'x'": Wish("x"),
        "no dictionary 'x'": Wish("csv", dictionary="x"),
        "no single labeling run 'x'": Wish("csv", runs=("x",)),
        "csv has no part 'latents'": Wish("csv", parts=("latents",)),
        "saedashboard has no part 'labels'": Wish("saedashboard", parts=("labels",)),
        "add explanations": Wish("delphi", parts=("scores",)),
        "--model-id is '../up'": Wish("neuronpedia", model="../up"),
        "--source-id is 'a/b'": Wish("neuronpedia", source="a/b"),
    }
    for message, wish in cases.items():
        with pytest.raises(UserError, match=message):
            export(store, tmp_path / "out", wish)
    assert list(tmp_path.iterdir()) == []


def test_blocks_change_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_cards() -> list[object]:
        return list(Cards(store, store.dictionaries[0], [1, 2, 3, 7, 20, 21, 22, 23], 4, [LABELING]))

    whole = all_cards()
    monkeypatch.setattr(gather, "BLOCK", 3)
    monkeypatch.setattr(gather, "ROWS", 300)
    assert all_cards() == whole

"""`dragoman bench labels` as it is used: it goes on where it was stopped, and every line can be made again."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from dragoman.store.features import Store
from tests.dragoman.command import here

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(synthetic_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "store"
    folder.mkdir()
    for name in ("features.duckdb", "manifest.json"):
        shutil.copy(synthetic_path / name, folder / name)
    return folder


def bench(*arguments: str | Path) -> dict[str, Any]:
    done = here("bench", "labels", *arguments, "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(found: dict[str, Any]) -> dict[str, Any]:
    return {line["contestant"]: line["figures"] for line in found["boards"][0]["lines"]}


def test_a_store_of_ones_own_goes_on_and_is_made_again(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--suite", "store", "--store", store, "--features", "4", "--seeds", "2", "--out", out)
    first = bench(*asked, "--contestants", "lookup,toptoken")
    assert [board["headline"] for board in first["boards"]] == ["simulation.r"]
    entries = sorted((out / "entries").glob("*.json"))
    assert len(entries) == 4
    before = {entry: entry.stat().st_mtime_ns for entry in entries}
    entries[0].unlink()
    (out / "entries" / "half.json.partial").write_text("{")
    entries[1].write_text(entries[1].read_text()[:100])  # as after a power cut
    again = bench(*asked, "--contestants", "lookup,toptoken")
    assert figures(again) == figures(first)
    after = {entry: entry.stat().st_mtime_ns for entry in entries}
    assert [after[entry] == before[entry] for entry in entries] == [False, False, True, True]
    line = next(line for line in first["boards"][0]["lines"] if line["contestant"] == "toptoken")
    words = shlex.split(line["command"])
    assert words[:3] == ["dragoman", "bench", "labels"]
    assert words[-2:] == ["--out", "AGAIN"]
    remade = bench(*words[3:-1], tmp_path / "again")
    assert figures(remade)["toptoken"] == figures(first)["toptoken"]
    assert "lookup" in (out / "leaderboard.md").read_text()
    assert "<svg" in (out / "leaderboard.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "store"], "needs a store"),
        (["--suite", "organisms"], "There is no suite 'organisms'"),
        (["--contestants", "best"], "There is no contestant 'best'"),
        (["--contestants", "lookup,lookup"], "each once"),
        (["--judge-scores", "recovery,fuzzing"], "cannot read 'fuzzing'"),
        (["--contestants", "import:csv-12345678"], "in the suite import alone"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = here("bench", "labels", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_imported_is_said(store: Path, tmp_path: Path) -> None:
    done = here("bench", "labels", "--suite", "import", "--store", store, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "holds no imported labels" in done.stderr
    assert f"dragoman import {store} FILE" in done.stderr


def test_the_truth_is_no_contestant_where_nothing_is_known(store: Path, tmp_path: Path) -> None:
    asked = ("--suite", "store", "--store", store, "--features", "2", "--seeds", "1", "--out", tmp_path / "out")
    assert set(figures(bench(*asked, "--contestants", "oracle,toptoken"))) == {"toptoken"}
    alone = here("bench", "labels", *asked, "--contestants", "oracle")
    assert alone.returncode == 2
    assert "nothing is known in the suite store" in alone.stderr


def test_imported_labels_are_contestants_whose_lines_can_be_made_again(
    store: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    held = tmp_path_factory.mktemp("told") / "store"
    shutil.copytree(store, held)
    with Store.open(held) as opened:
        first, second = opened.features("live")[:2]
    rows = f'feature,description,pattern,agent\n{first},"any digit","fully: digit","a, b"\n{second},"words only",,"a, b"\n'
    (tmp_path / "labels.csv").write_text(rows)
    assert here("import", held, tmp_path / "labels.csv").returncode == 0
    asked = ("--suite", "import", "--store", held, "--features", "4", "--seeds", "1")
    made = bench(*asked, "--contestants", "toptoken", "--out", tmp_path / "out")
    (told,) = figures(made).keys() - {"toptoken"}
    assert told.startswith("import:csv-a-b-")
    line = next(line for line in made["boards"][0]["lines"] if line["contestant"] == told)
    assert line["n"] == 2
    assert line["unscored"] == {"the label has no pattern to execute": 1}
    again = bench(*shlex.split(line["command"])[3:-1], tmp_path / "again")
    assert figures(again) == {told: figures(made)[told]}
    wrong = here("bench", "labels", *asked, "--contestants", "import:csv-12345678", "--out", tmp_path / "out")
    assert wrong.returncode == 2
    assert told in wrong.stderr

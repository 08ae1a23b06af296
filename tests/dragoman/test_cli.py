"""The command line on good input: results on stdout, settings by precedence, and help that teaches."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from dragoman.cli.app import app
from dragoman.config import Commands, defaults
from dragoman.store.chats import Chats
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.manifest import LEDGER
from tests.support.synthetic import make_store

from .command import dragoman, here

COMMANDS = [str(command.name) for command in app.registered_commands]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is labeled and scored."""
    path = tmp_path_factory.mktemp("cli") / "store"
    make_store(path, documents=200).close()
    assert here("label", path, "--workers", "0", "--quiet").returncode == 0
    assert here("score", path, "--workers", "0", "--quiet").returncode == 0
    return path


def test_help_is_quick_and_teaches() -> None:
    found = dragoman("--help")
    assert found.returncode == 0 and "dragoman demo" in found.stdout
    for command in (*COMMANDS, "organism"):
        assert command in found.stdout
    imported = dragoman("--help", PYTHONPROFILEIMPORTTIME="1").stderr
    assert "dragoman.cli.app" in imported
    assert not any(f" {heavy}\n" in imported for heavy in ("torch", "transformers", "duckdb", "numpy", "scipy"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    assert f"dragoman {command}" in here(command, "--help").stdout


def test_labels_and_scores_as_json(path: Path) -> None:
    label = here("label", path, "--workers", "0", "--json")
    assert label.returncode == 0, label
    assert json.loads(label.stdout)["labels"] == 23
    score = json.loads(here("score", path, "--workers", "0", "--json", "--quiet").stdout)
    medians = {(m["scorer"], m["contestant"]): m for m in score["summary"]["medians"]}
    assert medians["simulation.r", "label"]["n"] == 23 and medians["simulation.r", "label"]["unscored"] == {"dead": 1}
    assert {p["against"] for p in score["summary"]["paired"]} == {"token_lookup", "shuffled"}


def test_show_for_people_and_for_scripts(path: Path) -> None:
    with closing(Chats(path / LEDGER)) as chats:
        chats.keep("thread", [3], "It is [bold]for sparrows[/bold].", ["step"], "it cites nothing", "model")
    page = here("show", path, "sae/3")
    assert "It is [bold]for sparrows[/bold]. (conjecture: it cites nothing)" in " ".join(page.stdout.split())
    assert (
        page.returncode == 0 and "sparrow" in page.stdout and "Strongest on test" in page.stdout and "token lookup" in page.stdout
    )
    record = json.loads(here("show", path, "3", "--json").stdout)
    assert [one["text"] for one in record["findings"]] == ["It is [bold]for sparrows[/bold]."]
    assert record["feature"] == "sae/3" and record["label"]["pattern"] and record["scores"]
    assert {"train.top", "train.near_miss", "test.top"} <= set(record["examples"])
    assert here("show", path, "23").returncode == 0, "a dead feature has a page too"


def test_sql_for_people_and_for_scripts(path: Path) -> None:
    query = "select sum(1) as n from label join feature using (feature)"
    assert json.loads(here("sql", path, query, "--json").stdout) == {"columns": ["n"], "rows": [{"n": 23}], "truncated": False}
    assert "23" in here("sql", path, query).stdout


def test_features_may_be_named_in_every_way(path: Path) -> None:
    from dragoman.cli.features import select

    with Store.open(path) as store:
        assert select(store, "all") is None
        assert select(store, "3:6, 9") == [3, 4, 5, 9]
        assert select(store, "sae/1,2") == [1, 2]
        for wrong in ("5:3", "-1", "x", "", "nosuch/1", "0:25"):
            with pytest.raises(UserError):
                select(store, wrong)


def test_flag_over_environment_over_file_over_default(path: Path, tmp_path: Path) -> None:
    commands: Commands = {"label": frozenset({"seed", "workers"}), "organism": {"build": frozenset({"seed"})}}
    (tmp_path / "dragoman.toml").write_text("workers = 3\nseed = 1\n[label]\nseed = 2\n[organism.build]\nseed = 4\n")
    assert defaults(commands, {}, tmp_path) == {"label": {"workers": 3, "seed": 2}, "organism": {"build": {"seed": 4}}}
    found = defaults(commands, {"DRAGOMAN_SEED": "9", "DRAGOMAN_OTHER": "x"}, tmp_path)
    assert found["label"] == {"workers": 3, "seed": "9"} and found["organism"]["build"]["seed"] == "9"
    own = {"DRAGOMAN_SEED": "9", "DRAGOMAN_LABEL_SEED": "5", "DRAGOMAN_ORGANISM_BUILD_SEED": "6", "DRAGOMAN_LABEL_WORKERS": ""}
    found = defaults(commands, own, tmp_path)
    assert found == {"label": {"workers": 3, "seed": "5"}, "organism": {"build": {"seed": "6"}}}
    dashed: Commands = {"search-inputs": frozenset({"seed"})}
    assert defaults(dashed, {"DRAGOMAN_SEARCH_INPUTS_SEED": "1"}, tmp_path / "none") == {"search-inputs": {"seed": "1"}}
    (tmp_path / "dragoman.toml").write_text("[label]\nfeatures = '0:3'\nworkers = 0\nquiet = true\n")
    done = json.loads(dragoman("label", path, "--json", cwd=tmp_path).stdout)
    assert done["labels"] == 3
    done = json.loads(dragoman("label", path, "--json", cwd=tmp_path, DRAGOMAN_FEATURES="0:2").stdout)
    assert done["labels"] == 2
    done = json.loads(dragoman("label", path, "--json", "--features", "0", cwd=tmp_path, DRAGOMAN_FEATURES="0:2").stdout)
    assert done["labels"] == 1


def test_a_mistake_of_ours_is_one_line_and_the_traceback_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "open", lambda path: 1 / 0)
    done = here("sql", path, "select 1")
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1 and "ZeroDivisionError" in done.stderr
    kept = Path(done.stderr.split("traceback is in ")[1].split(";")[0])
    assert "Traceback" in kept.read_text()
    kept.unlink()


def test_logs_are_json_lines_in_the_store(tmp_path: Path) -> None:
    import logging

    from dragoman.logs import logging_to

    with logging_to(tmp_path / "none", "label"):
        logging.getLogger("dragoman.test").warning("nowhere to write")
    assert not (tmp_path / "none").exists()
    with logging_to(tmp_path, "label"):
        logging.getLogger("dragoman.test").info("one\ntwo")
    entry = json.loads((tmp_path / "logs" / "label.jsonl").read_text())
    assert entry["message"] == "one\ntwo" and entry["level"] == "info" and entry["logger"] == "dragoman.test"

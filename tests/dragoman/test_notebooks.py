"""The notebooks run from top to bottom, and show what they show; what they show of hostile text is harmless."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from dragoman.agents.investigation.events import Answer, Citation, Statement
from dragoman.store.pages import Labels, Scores
from dragoman.store.records import Facet, Label, Score
from dragoman.tools.toolbox import ToolResult

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
ORDER = ("first_label", "investigation")
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e\"'&"


def outputs(notebook: Any) -> list[str]:
    """What each code cell shows, as HTML where it has it."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            results = [o for o in cell.outputs if o.get("name") != "stderr"]
            parts = [o.get("data", {}).get("text/html") or o.get("text") or "" for o in results]
            shown.append("".join(parts))
    return shown


@pytest.mark.slow
def test_the_notebooks_run_and_show_what_is_in_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    together = nbformat.v4.new_notebook(cells=[])  # type: ignore[no-untyped-call]
    for name in ORDER:
        together.cells += nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells  # type: ignore[no-untyped-call]
    committed = outputs(together)
    NotebookClient(together, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = outputs(together)
    assert [bool(one) for one in shown] == [bool(one) for one in committed], "the outputs are those of a real run"
    assert all("Traceback" not in one and "<script" not in one for one in shown)
    report = shown[-3]
    assert "features fire on the text" in report and "[E1]" in report


def test_the_committed_outputs_name_nobodys_machine() -> None:
    for name in ORDER:
        text = (NOTEBOOKS / f"{name}.ipynb").read_text("utf-8")
        notebook = nbformat.reads(text, 4)  # type: ignore[no-untyped-call]
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code"), "it was run"
        assert not re.search(r"/(home|root|tmp|work|opt|Users)/", text) and "stderr" not in text


def harmless(page: str) -> bool:
    """Whether an attack is shown and does nothing."""
    bare = html.unescape(re.sub(r"<[^<>]*>", "", page))
    return "<script" not in page and "<img" not in page and not set("\x1b\u202e") & set(page) and "alert(1)" in bare


def test_what_notebooks_show_of_hostile_texts_is_harmless() -> None:
    label = Label(
        id="i",
        feature=3,
        run=ATTACK,
        name=ATTACK,
        description=ATTACK,
        facets=(Facet(description=ATTACK),),
        pattern=ATTACK,
        output_claim=ATTACK,
        agent=ATTACK,
        model=ATTACK,
    )
    score = Score(
        label="i", feature=3, run="r", scorer=ATTACK, judge=ATTACK, contestant="label", split="test", value=0.5, flags=(ATTACK,)
    )
    texts = {"threshold": 0.5, "maximum": 2.0, "texts": [{"tokens": [ATTACK, "b"], "values": [1.0, 0.0], "max": 1.0}]}
    variants = {"variants": [{"tokens": [ATTACK], "values": [1.0], "edits": [ATTACK]}]}
    statements = (
        Statement(ATTACK, (Citation("step", "row", ATTACK),), False),
        Statement(ATTACK, (), True, ATTACK),
    )
    for shown in (
        label,
        Labels([label]),
        Scores([score]),
        ToolResult(ATTACK + "\n" + ATTACK, texts),
        ToolResult(ATTACK, variants),
        ToolResult(ATTACK, {}),
        Answer(statements),
    ):
        assert harmless(shown._repr_html_()), shown
    conjecture = Answer(statements)._repr_html_().split("</p>")[1]
    assert "<i>conjecture: " in conjecture


def test_scores_stand_beside_their_controls() -> None:
    def made(contestant: str, value: float | None, run: str = "r", unscored: str | None = None) -> Score:
        interval = (None, None) if value is None else (value - 0.1, value + 0.1)
        return Score(
            label="i",
            feature=3,
            run=run,
            scorer="detection.auroc",
            judge="pattern",
            contestant=contestant,
            split="test",
            value=value,
            low=interval[0],
            high=interval[1],
            n=40,
            unscored=unscored,
        )

    page = Scores([made("label", 0.9), made("token_lookup", 0.7), made("label", None, "other", "dead")])._repr_html_()
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    assert re.findall(r"<th>(.*?)</th>", rows[0])[-2:] == ["label", "token lookup"]
    assert re.findall(r"<td>(.*?)</td>", rows[1])[-3:] == ["40", "0.900 [0.800, 1.000]", "0.700 [0.600, 0.800]"]
    assert re.findall(r"<td>(.*?)</td>", rows[2])[-2:] == ["unscored: dead", ""]

"""Imports run one way: store <- tools <- evals <- agents <- dragoman."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["store", "tools", "evals", "agents", "dragoman"]


def files(layer: str) -> list[Path]:
    folder = ROOT / layer
    return [f for f in sorted(folder.rglob("*.py")) if layer != "dragoman" or f.relative_to(folder).parts[0] not in LAYERS]


def imported_layers(source: str, depth: int, layer: str) -> set[str]:
    """The layers that a file imports; `depth` is how many folders below its layer's root it lies."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{a.name}" for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level > depth + 1:
            names = [f"dragoman.{node.module or ''}.{a.name}".replace("..", ".") for a in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "dragoman":
                found.add(parts[1] if len(parts) > 1 and parts[1] in LAYERS else "dragoman")
            elif parts[0] in LAYERS:
                found.add(f"bare {parts[0]}")
    return found - {layer}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_one_way(layer: str) -> None:
    allowed = set(LAYERS[: LAYERS.index(layer)])
    checked = files(layer)
    assert checked, f"{layer}/ holds no Python files"
    for file in checked:
        depth = len(file.relative_to(ROOT / layer).parts) - 1
        forbidden = imported_layers(file.read_text(), depth, layer) - allowed
        assert not forbidden, f"{file.relative_to(ROOT)} imports {sorted(forbidden)}"


def test_the_check_sees_every_way_of_importing() -> None:
    assert imported_layers("import dragoman.agents.labeler", 0, "store") == {"agents"}
    assert imported_layers("from dragoman import tools", 0, "store") == {"tools"}
    assert imported_layers("def f():\n    from dragoman.evals.judge import Judge", 0, "store") == {"evals"}
    assert imported_layers("from ..agents import labeler", 0, "store") == {"agents"}
    assert imported_layers("from ...agents import labeler", 1, "tools") == {"agents"}
    assert imported_layers("from .. import patterns", 1, "tools") == set()
    assert imported_layers("import tools", 0, "store") == {"bare tools"}


def test_the_store_needs_no_torch() -> None:
    for file in files("store"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not any(n.split(".")[0] in {"torch", "transformers"} for n in names), file


def test_links_are_relative_and_lead_home() -> None:
    for layer in LAYERS[:-1]:
        link = ROOT / "dragoman" / layer
        assert link.is_symlink()
        assert link.readlink() == Path("..") / layer

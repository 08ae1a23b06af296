"""No word lists: outside the organism, which knows its own corpus, no module holds a collection of English words.

Labels get their words from the text under study and from form; a hidden list of "colours" or "cities" would be knowledge
smuggled in. Tables of columns and types (dictionaries whose values are not constants) are no word lists.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("agents", "dragoman", "evals", "store", "tools")
MOST = 12
"""Most plain words in one literal collection."""
EXEMPT = {"evals/organism"}
"""Folders that may hold vocabulary."""


def modules() -> list[Path]:
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT).as_posix()
            linked = folder == "dragoman" and relative.split("/")[1] in FOLDERS
            if not linked and not any(relative.startswith(exempt) for exempt in EXEMPT):
                found.append(path)
    return found


def collections(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """Line and plain words of every literal collection but `__all__`, and of every long string of words that is split."""
    exports = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    }
    for node in ast.walk(tree):
        if node in exports:
            continue
        items: list[ast.expr] = []
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = node.elts
        elif isinstance(node, ast.Dict) and all(isinstance(value, ast.Constant | ast.List | ast.Tuple) for value in node.values):
            items = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("split", "splitlines"):
            if isinstance(node.func.value, ast.Constant) and isinstance(node.func.value.value, str):
                yield node.lineno, [word for word in node.func.value.value.split() if word.isalpha()]
            continue
        words = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        yield getattr(node, "lineno", 0), [word for word in words if word.isalpha() and len(word) > 1]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_holds_a_list_of_words(path: Path) -> None:
    found = collections(ast.parse(path.read_text(encoding="utf-8")))
    long = [(line, words) for line, words in found if len(words) > MOST]
    assert not long, f"{path}: {long[0][0]}: {' '.join(long[0][1][:6])} …"


def test_the_check_finds_word_lists() -> None:
    for source in (
        f"BIRDS = {[chr(97 + i) * 4 for i in range(MOST + 1)]!r}",
        "WORDS = '" + " ".join(["robin"] * (MOST + 1)) + "'.split()",
        "D = {" + ", ".join(f"'{chr(97 + i) * 3}': 1" for i in range(MOST + 1)) + "}",
    ):
        assert any(len(words) > MOST for _, words in collections(ast.parse(source)))
    assert len(modules()) > 40

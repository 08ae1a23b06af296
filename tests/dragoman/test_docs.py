"""The documents and the command line say the same thing."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import typer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FOLDERS = [
    str(f.parent.relative_to(ROOT))
    for layer in ("store", "tools", "evals", "agents")
    for f in sorted((ROOT / layer).rglob("__init__.py"))
] + ["dragoman", "dragoman/cli", "dragoman/chat", "dragoman/mcp", "dragoman/web"]


def commands() -> dict[str, click.Command]:
    """Every command of the command line by its full name, for example `organism build`."""
    from dragoman.cli.app import app

    found: dict[str, click.Command] = {}

    def walk(command: object, name: str) -> None:
        members = getattr(command, "commands", None)
        if members is None:
            found[name] = command  # type: ignore[assignment]
            return
        for key, member in members.items():
            walk(member, f"{name} {key}".strip())

    walk(typer.main.get_command(app), "")
    return found


def lines_of_code() -> list[str]:
    """Lines of the documents' code blocks that call the command line, continued lines joined."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.M | re.S):
            joined = block.replace("\\\n", " ")
            found += [line.strip().removeprefix("$ ") for line in joined.splitlines() if re.match(r"\s*(\$ )?dragoman\s", line)]
    return found


def test_every_command_is_in_the_documents() -> None:
    text = "\n".join(lines_of_code())
    missing = [name for name in commands() if not re.search(rf"^dragoman {name}\b", text, re.M)]
    assert commands() and not missing, f"no page shows: {missing}"


def test_every_line_in_the_documents_is_a_command_with_known_options() -> None:
    known = commands()
    lines = lines_of_code()
    assert len(lines) >= len(known)
    for line in lines:
        words = line.split("#")[0].split()[1:]
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in known), None)
        assert name or words == ["--help"], f"unknown command: {line}"
        if name:
            options = {o for p in known[name].params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
            used = {w.split("=")[0] for w in words if w.startswith("-") and len(w) > 1}
            assert used <= options, f"unknown options {used - options}: {line}"


@pytest.mark.parametrize(
    "folder",
    [
        "store",
        "tools",
        "evals",
        "agents",
        "dragoman",
        "dragoman/cli",
        "dragoman/chat",
        "dragoman/mcp",
        "agents/investigation",
        "dragoman/web",
        "tools/dictionaries",
        "evals/organism",
        "evals/scorers",
        "store/exchange",
    ],
)
def test_every_folder_says_what_its_files_are_for(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text()
    files = [f.name for f in (ROOT / folder).glob("*.py") if f.name != "__init__.py"]
    missing = [f for f in files if f not in text]
    assert not missing, f"{folder}/README.md has no line for {missing}"


def test_the_links_of_the_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target

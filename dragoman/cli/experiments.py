"""What the commands that run the model share: texts from arguments, names of features, results on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.store.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from dragoman.store.features import Store


def texts(given: Sequence[str]) -> list[str]:
    """The texts of a command's arguments; @FILE stands for what the file holds. Raises UserError for a file that is not there."""
    return [_read(Path(text[1:])) if text.startswith("@") and len(text) > 1 else text for text in given]


def show(out: Console, result: Any) -> None:
    """Print a result that has a form for terminals, and another for files."""
    if out.is_terminal:
        out.print(result, "")
    else:
        out.print(f"{result}\n", markup=False, soft_wrap=True)


def names(store: Store) -> dict[str, str]:
    """Names of labeled features by address; empty where nothing is labeled."""
    from dragoman.store.manifest import LEDGER

    if not (store.path / LEDGER).exists():
        return {}
    return {str(store.key(label.feature)): label.name for label in store.ledger.labels()}


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}): give a text, or @FILE with a file that is there.") from None

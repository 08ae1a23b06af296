"""Settings: a flag wins over DRAGOMAN_* in the environment, which wins over ./dragoman.toml, which wins over the default.

DRAGOMAN_WORKERS=4 sets `--workers` of every command that has it, DRAGOMAN_LABEL_WORKERS=4 that of `label` alone, which wins over
the former. In dragoman.toml a key at the top does the same, and a table named after a command sets its flags alone:

    workers = 4
    [label]
    seed = 1

Keys of services come from the environment only and never from this file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.store.errors import UserError

FILE = "dragoman.toml"
PREFIX = "DRAGOMAN_"

Commands = Mapping[str, "Commands | frozenset[str]"]
"""Flags of every command by name; groups nest."""


def defaults(commands: Commands, environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Defaults for every command, as nested dictionaries by command and flag.

    Raises UserError for a file that is not TOML, and for keys that are neither a command nor a flag.
    """
    shared, tables = _read(folder / FILE, commands)
    set_here = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    return _fill(commands, shared, tables, set_here)


def _read(path: Path, commands: Commands) -> tuple[dict[str, Any], dict[str, Any]]:
    """Top-level keys and command tables of the file; empty where there is none."""
    if not path.exists():
        return {}, {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as TOML ({error}): mend that line or remove the file.") from error
    shared = {key: value for key, value in content.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    _check(path, shared, tables, commands)
    return shared, tables


def _check(path: Path, shared: Mapping[str, Any], tables: Mapping[str, Any], commands: Commands) -> None:
    for key in shared:
        if key not in _flags(commands):
            raise UserError(f"{path} sets {key!r}, which is a flag of no command: correct or remove it.")
    for name, table in tables.items():
        inner = commands.get(name)
        if inner is None:
            raise UserError(f"{path} has a table [{name}], which is no command: correct or remove it.")
        if isinstance(inner, frozenset):
            for key in table:
                if key not in inner:
                    raise UserError(f"{path} sets {key!r} in [{name}], which is no flag of that command: correct or remove it.")
        else:
            _check(
                path,
                {k: v for k, v in table.items() if not isinstance(v, dict)},
                {k: v for k, v in table.items() if isinstance(v, dict)},
                inner,
            )


def _flags(commands: Commands) -> set[str]:
    found: set[str] = set()
    for inner in commands.values():
        found |= inner if isinstance(inner, frozenset) else _flags(inner)
    return found


def _fill(
    commands: Commands, shared: Mapping[str, Any], tables: Mapping[str, Any], environment: Mapping[str, str], above: str = ""
) -> dict[str, Any]:
    """The defaults of every command: the environment over its own table over what is shared."""
    filled: dict[str, Any] = {}
    for name, inner in commands.items():
        own, prefix = tables.get(name, {}), f"{above}{name.replace('-', '_')}_"
        if isinstance(inner, frozenset):
            from_file = {key: value for key, value in {**shared, **own}.items() if key in inner}
            everywhere = {key: environment[key] for key in inner if environment.get(key)}
            here = {key: environment[prefix + key] for key in inner if environment.get(prefix + key)}
            filled[name] = from_file | everywhere | here
        else:
            filled[name] = _fill(inner, shared, own, environment, prefix)
    return filled

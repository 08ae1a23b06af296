"""What a reader of a format is asked for, and the hook points that the user, the files or the path name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dragoman.store.errors import UserError
from dragoman.tools.families import Family
from dragoman.tools.hooks import RESIDUAL_WRITERS, parse_hook_point

UNKNOWN = "?"
"""Stands for a hook point that nothing names, where that is allowed."""


@dataclass(frozen=True)
class Request:
    """One spec, resolved to files on this machine."""

    path: Path
    """Folder, or the one file that was named."""
    name: str
    """Name in the store; several dictionaries from one place are called NAME.0, NAME.1 …"""
    source: str
    """The spec as the user gave it."""
    place: str
    """Path or hub id, for what can be read off it."""
    hook: str | None = None
    """Hook point the user gave, `IN` or `IN:OUT`."""
    scale: float | None = None
    """Scale of the input the user gave, for formats that do not hold it."""
    family: Family | None = None
    """The subject's family; None where there is no subject."""
    special_ids: tuple[int, ...] = ()
    """The subject's special tokens."""
    strict: bool = True
    """Whether a hook point that nothing names is an error; otherwise it is UNKNOWN."""

    @property
    def folder(self) -> Path:
        """The folder itself, or the one the file is in."""
        return self.path if self.path.is_dir() else self.path.parent

    def source_of(self, file: str) -> str:
        """The spec of one file of the folder, for one dictionary of several."""
        if self.path.is_file():
            return self.source
        hub = not Path(self.place).exists() and "//" not in self.place
        return f"{self.place.rstrip('/')}{'//' if hub else '/'}{file}" + (f"@{self.hook}" if self.hook else "")

    def layer_in_path(self) -> int | None:
        """The layer that the path names (layer_12, layers.12, blocks.12, L12R …), if it names exactly one."""
        for text in (self.place, str(self.path.resolve())):
            found = set(re.findall(r"(?:layers?[._-]?|blocks[._]|\bh\.|-L)(\d+)(?!\d)", text))
            if found:
                return int(found.pop()) if len(found) == 1 else None
        return None

    def hooks(self, found_in: str | None, found_out: str | None = None, like: str = "resid_post.6") -> tuple[str, str]:
        """Hook points read and written.

        Args:
            found_in: what the files or the path say; None if nothing.
            found_out: the same of the output; None where it is the input again.
            like: an example for the message.

        Raises:
            UserError: nothing names a hook point, or the name is not understood.
        """
        if self.hook:
            first, colon, second = self.hook.partition(":")
            point = str(parse_hook_point(first))
            if colon:
                return point, str(parse_hook_point(second))
            return point, str(parse_hook_point(found_out)) if found_out else point
        if found_in is None:
            if self.strict:
                raise UserError(f"{self.path} names no hook point: add it to the spec, as in {self.source}@{like}.")
            return UNKNOWN, UNKNOWN
        hook_in = self._point(found_in)
        return hook_in, self._point(found_out) if found_out else hook_in

    def _point(self, name: str) -> str:
        if name.endswith("mlp.hook_out") and self.family is not None and self.family.mlp_added != self.family.mlp:
            raise UserError(
                f"{self.path} belongs to {name}, the MLP's own output, which in {self.family.name} a norm follows: it is no hook "
                "point here; add the one that you mean to the spec, as in @mlp_out.3."
            )
        return str(parse_hook_point(name))

    def can_be_centred(self, hook: str) -> bool:
        """Whether vectors at `hook` could have had their mean taken off by TransformerLens without changing the model."""
        layer_norm = self.family is not None and self.family.norm == "layer"
        return layer_norm and hook != UNKNOWN and parse_hook_point(hook).kind in RESIDUAL_WRITERS

"""Edits made ready to run on one subject, over a whole text or step by step with a cache.

At one hook point, in this order: what features read earlier write there is added; features that read and write there are changed,
all of them from the same tensor, and what they write is added up; units are set. A dictionary that lies downstream of another
edit reads the edited tensor. With the error term kept, x' = x + decode(f') - decode(f), at each hook point that the dictionary
writes to; an MLP's own units (`neurons:`) are changed where they are, before the down projection. On tokens that a dictionary was
not trained on (`excluded_ids`) its features are not edited, whatever the positions say: the model's own tensor goes on, as in
sae-lens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dragoman.store.errors import UserError
from dragoman.tools.hooks import HookPoint
from dragoman.tools.subject import Subject

from .decoding import Decoding
from .edits import Edit, FeatureEdit, UnitEdit
from .positions import Layout, Positions
from .writing import Change, before, changed

Mask = Bool[np.ndarray, "batch columns"]


class Intervention:
    """Some edits, checked against a subject."""

    def __init__(self, subject: Subject, edits: Sequence[Edit]) -> None:
        """
        Raises:
            UserError: an edit does not fit the subject: another width, an unknown layer, a hook point it does not have.
        """
        self.subject, self.edits = subject, tuple(edits)
        self._masks: dict[Positions, Mask] = {}
        self._offset = 0
        self._units: dict[HookPoint, list[UnitEdit]] = defaultdict(list)
        groups: dict[tuple[int, bool, int | None], list[FeatureEdit]] = defaultdict(list)
        for edit in self.edits:
            if isinstance(edit, UnitEdit):
                _check_units(subject, edit)
                self._units[edit.point].append(edit)
            else:
                groups[id(edit.dictionary), edit.keep_error, edit.random].append(edit)
        self._groups = [_Group(subject, group) for group in groups.values()]
        self._ids: np.ndarray | None = None

    @property
    def points(self) -> set[HookPoint]:
        """Hook points that are read or changed."""
        return {*self._units, *(point for group in self._groups for point in (group.reads, *group.writes))}

    @contextmanager
    def active(self, layout: Layout) -> Iterator[None]:
        """Inside, forward passes are edited; the texts stand in the columns as `layout` says. `at` moves on with a cache.

        Raises:
            UserError: a position lies outside a text.
        """
        columns = int((layout.first + layout.tokens).max()) + layout.generated
        for edit in self.edits:
            edit.positions.check(layout)
            self._masks[edit.positions] = edit.positions.mask(layout, 0, columns)
        self.at(0)
        try:
            with self._ids_seen(), changed(self.subject, {point: self._change(point) for point in self.points}):
                yield
        finally:
            self._masks.clear()

    def at(self, offset: int) -> None:
        """Say that the first column of the next forward pass is the batch's column `offset`."""
        self._offset = offset

    def touched(self, layout: Layout, columns: int) -> Mask:
        """On which columns anything is edited."""
        found = np.zeros((len(layout.first), columns), bool)
        for edit in self.edits:
            found |= edit.positions.mask(layout, 0, columns)
        return found

    def _mask(self, positions: Positions, columns: int) -> Mask:
        return self._masks[positions][:, self._offset : self._offset + columns]

    @contextmanager
    def _ids_seen(self) -> Iterator[None]:
        """Inside, the ids of the forward pass under way are known, where a dictionary leaves some out."""
        if not any(group.excluded for group in self._groups):
            yield
            return

        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            self._ids = args[0].cpu().numpy()

        handle = self.subject.decoder.get_input_embeddings().register_forward_pre_hook(hook)  # type: ignore[operator]
        try:
            yield
        finally:
            handle.remove()
            self._ids = None

    def _left(self, group: _Group, columns: int) -> list[Mask]:
        """The masks of a group's edits, without the tokens that its dictionary was not trained on."""
        masks = [self._mask(edit.positions, columns) for edit in group.edits]
        if not group.excluded:
            return masks
        assert self._ids is not None, "the tokens are known while the model runs"
        trained = ~np.isin(self._ids, group.excluded)
        return [mask & trained for mask in masks]

    def _change(self, point: HookPoint) -> Change:
        reading = [g for g in self._groups if g.reads == point]
        arriving = [g for g in self._groups if point in g.writes and g.reads != point]
        units = self._units.get(point, [])

        def change(x: Tensor) -> Tensor:
            columns = x.shape[1]
            for group in arriving:
                x = group.write(point, x)
            for group in reading:
                group.read(x, self._left(group, columns))
            for group in reading:
                if point in group.writes:
                    x = group.write(point, x)
            for edit in units:
                x = _set_units(x, edit, self._mask(edit.positions, columns))
            return x

        return change


class _Group:
    """The edits of one dictionary that are decoded together."""

    def __init__(self, subject: Subject, edits: list[FeatureEdit]) -> None:
        first = edits[0]
        self.edits, self.dictionary, self.keep_error, self.random = edits, first.dictionary, first.keep_error, first.random
        facts = self.dictionary.facts
        self.own_units = facts.format == "neurons"
        self.excluded = facts.excluded_ids
        self.reads = subject.check(facts.hook_in)
        names = [facts.hook_in] if self.own_units else list(facts.hooks_out)
        self.writes = {subject.check(name): name for name in names}
        width = subject.width(self.reads)
        if self.dictionary.d_in != width:
            raise UserError(
                f"{facts.name} reads vectors of width {self.dictionary.d_in}, but {self.reads} of {subject.name} has width "
                f"{width}: it belongs to another model or hook point."
            )
        for point in self.writes:
            if not before(self.reads, point):
                raise UserError(f"{facts.name} writes at {point}, which comes before {self.reads}, where it reads.")
        self.features = tuple(dict.fromkeys(feature for edit in edits for feature in edit.features))
        self._decoding = None if self.own_units else Decoding(self.dictionary, self.features)
        self._codes = any(edit.how == "set" for edit in edits)
        self._columns = [torch.tensor([self.features.index(f) for f in e.features], device=subject.device) for e in edits]
        self._amounts = [torch.tensor(e.amounts, dtype=torch.float32, device=subject.device) for e in edits]
        self._directions = {point: self._direction(subject, point) for point in self.writes} if self.random is not None else {}
        self._pending: tuple[Mask, Tensor, Tensor] | None = None
        self._everywhere = False
        self._constant = self._constants() if self.keep_error and not self._codes else {}

    def read(self, x: Float[Tensor, "batch columns d_in"], masks: list[Mask]) -> None:
        """Encode the tokens that any edit is about, and keep by how much each feature changes on them."""
        self._everywhere = bool(self._constant) and all(mask.all() for mask in masks)
        if self._everywhere:
            return
        mask = np.logical_or.reduce(masks)
        if not mask.any():
            self._pending = None
            return
        rows = _rows(x, mask)
        amounts = torch.zeros(len(rows), len(self.features), device=x.device)
        values = self._encode(rows) if self._codes else amounts
        for edit, own, columns, wanted in zip(self.edits, masks, self._columns, self._amounts, strict=True):
            here = torch.from_numpy(own[mask]).to(x.device)[:, None]
            now = amounts[:, columns]
            new = now + wanted if edit.how == "add" else wanted - values[:, columns]
            amounts[:, columns] = torch.where(here, new, now)
        self._pending = (mask, amounts, rows)

    def write(self, point: HookPoint, x: Float[Tensor, "batch columns d_out"]) -> Float[Tensor, "batch columns d_out"]:
        """Change the tensor at one of the hook points that the dictionary writes to."""
        if self._everywhere:
            return x + self._constant[point].to(x.dtype)
        if self._pending is None:
            return x
        mask, amounts, rows = self._pending
        if not self.keep_error:
            return _put(x, mask, self._replaced(_rows(x, mask).float(), amounts, rows))
        added = self._added(point, amounts, rows)
        if mask.all():
            return x + added.view(x.shape).to(x.dtype)
        return _put(x, mask, _rows(x, mask) + added.to(x.dtype))

    def _constants(self) -> dict[HookPoint, Tensor]:
        """What a steer writes at each hook point where it is the same on every token; the short way while text is generated."""
        if self._decoding is not None and self._decoding.rows is None:
            return {}
        nowhere = torch.zeros(1, self.dictionary.d_in, device=self._amounts[0].device)
        total = torch.zeros(1, len(self.features), device=nowhere.device)
        for columns, amounts in zip(self._columns, self._amounts, strict=True):
            total[0].index_add_(0, columns, amounts)
        return {point: self._added(point, total, nowhere)[0] for point in self.writes}

    def _encode(self, rows: Tensor) -> Tensor:
        if self._decoding is None:
            return rows[:, list(self.features)].float().clamp(min=0)
        return self._decoding.encode(rows)

    def _added(self, point: HookPoint, amounts: Tensor, rows: Tensor) -> Tensor:
        if self._decoding is None:
            added = torch.zeros(len(rows), rows.shape[1], device=rows.device)
            added[:, list(self.features)] = amounts
        else:
            added = self._decoding.change(self.writes[point], amounts, rows)
        return added if self.random is None else torch.outer(added.norm(dim=-1), self._directions[point])

    def _replaced(self, y: Tensor, amounts: Tensor, rows: Tensor) -> Tensor:
        """What takes the place of y: the reconstruction, with what the dictionary's target leaves out of y, such as its mean."""
        assert self._decoding is not None
        return self._decoding.reconstruction(amounts, rows) + (y - self.dictionary.target(y))

    def _direction(self, subject: Subject, point: HookPoint) -> Tensor:
        assert self.random is not None
        generator = torch.Generator().manual_seed(self.random)
        return torch.nn.functional.normalize(torch.randn(subject.width(point), generator=generator), dim=0).to(subject.device)


def _check_units(subject: Subject, edit: UnitEdit) -> None:
    width = subject.width(edit.point)
    size = width if edit.units is None else len(edit.units)
    if edit.values.shape != (size,):
        raise UserError(f"The edit of {edit.point} has values of shape {tuple(edit.values.shape)}; it must be ({size},).")
    if edit.units is not None and not all(0 <= unit < width for unit in edit.units):
        raise UserError(f"The edit of {edit.point} names a unit that is not there: units are 0 to {width - 1}.")
    if not bool(torch.isfinite(edit.values).all()):
        raise UserError(f"The edit of {edit.point} has values that are not finite numbers.")


def _set_units(x: Tensor, edit: UnitEdit, mask: Mask) -> Tensor:
    if not mask.any():
        return x
    rows = _rows(x, mask).clone()
    rows[:, slice(None) if edit.units is None else list(edit.units)] = edit.values.to(x.device, x.dtype)
    return _put(x, mask, rows)


def _rows(x: Tensor, mask: Mask) -> Float[Tensor, "tokens width"]:
    return x.flatten(0, 1) if mask.all() else x[torch.from_numpy(mask).to(x.device)]


def _put(x: Tensor, mask: Mask, rows: Tensor) -> Tensor:
    if mask.all():
        return rows.view(x.shape).to(x.dtype)
    x = x.clone()
    x[torch.from_numpy(mask).to(x.device)] = rows.to(x.dtype)
    return x

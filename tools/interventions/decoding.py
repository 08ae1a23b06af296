"""What a change of activations changes in what a dictionary writes: decode(f') - decode(f); (f' - f) W_dec is never assumed.

Dictionaries that undo a normalisation write differently on every token, so that the difference of two decodings is needed. Most
write the same everywhere; whether a dictionary does is measured once, on random inputs, and then a row for each edited feature is
enough, which is what keeps steering cheap while text is generated.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.tools.dictionaries import Dictionary
from dragoman.tools.dictionaries.dictionary import DENSE, decode_at, skip_term

_UNIT = 1024.0
"""Activation at which rows are measured: far above what they are subtracted from, and a power of two."""
_SAME = 1e-3
"""Relative difference up to which the rows are taken to explain a change; another scale would differ by far more."""


class Decoding:
    """Decodes changes of a fixed set of features of one dictionary."""

    def __init__(self, dictionary: Dictionary, features: tuple[int, ...]) -> None:
        self.dictionary, self.features = dictionary, features
        self.device = dictionary.directions.device
        self._columns = torch.tensor(features, device=self.device)
        rows = {hook: self._rows(hook) for hook in dictionary.facts.hooks_out}
        self.rows: dict[str, Float[Tensor, "features d_out"]] | None = None
        """What one unit of each feature writes at each hook point; None where it depends on the token."""
        if all(self._explain(hook, found) for hook, found in rows.items()):
            self.rows = rows

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens features"]:
        """Activations of the features, as many tokens at a time as memory allows."""
        step = self._step()
        return torch.cat([self.dictionary.encode(part.float())[:, self._columns] for part in x.split(step)])

    def change(
        self, hook: str, amounts: Float[Tensor, "tokens features"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """decode(f') - decode(f) at one hook point, where f' is f with `amounts` added to the features and `x` is the input."""
        if self.rows is not None:
            return amounts @ self.rows[hook]
        parts = []
        for part, more in zip(x.split(self._step()), amounts.split(self._step()), strict=True):
            codes = self.dictionary.encode(part.float())
            was = decode_at(self.dictionary, hook, codes, part.float())
            parts.append(decode_at(self.dictionary, hook, self._added(codes, more), part.float()) - was)
        return torch.cat(parts)

    def reconstruction(
        self, amounts: Float[Tensor, "tokens features"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """decode(f') at the one hook point that the dictionary writes to, its skip term included."""
        parts = []
        for part, more in zip(x.float().split(self._step()), amounts.split(self._step()), strict=True):
            out = self.dictionary.decode(self._added(self.dictionary.encode(part), more), part)
            skip = skip_term(self.dictionary, part)
            parts.append(out if skip is None else out + skip)
        return torch.cat(parts)

    def _step(self) -> int:
        return max(1, DENSE.get(self.device.type, 1 << 26) // self.dictionary.width)

    def _added(self, codes: Tensor, amounts: Tensor) -> Tensor:
        codes = codes.clone()
        codes[:, self._columns] += amounts
        return codes

    def _rows(self, hook: str) -> Float[Tensor, "features d_out"]:
        x = self._probe(1, 1.0)
        nothing = torch.zeros(1, self.dictionary.width, device=self.device)
        was = decode_at(self.dictionary, hook, nothing, x)
        parts = []
        for chunk in self._columns.split(max(1, self._step())):
            codes = torch.zeros(len(chunk), self.dictionary.width, device=self.device)
            codes[torch.arange(len(chunk)), chunk] = _UNIT
            parts.append((decode_at(self.dictionary, hook, codes, x.expand(len(chunk), -1)) - was) / _UNIT)
        return torch.cat(parts)

    def _explain(self, hook: str, rows: Tensor) -> bool:
        """Whether a change on other tokens, from other activations, is what the rows say."""
        x = torch.cat([self._probe(2, 7.0), self._probe(2, 0.3)])
        random = torch.Generator().manual_seed(1)
        codes = torch.rand(4, self.dictionary.width, generator=random).to(self.device)
        amounts = _UNIT * torch.rand(4, len(self.features), generator=random).to(self.device)
        found = decode_at(self.dictionary, hook, self._added(codes, amounts), x) - decode_at(self.dictionary, hook, codes, x)
        expected = amounts @ rows
        return bool(((found - expected).norm(dim=-1) <= _SAME * expected.norm(dim=-1) + 1e-6).all())

    def _probe(self, tokens: int, scale: float) -> Float[Tensor, "tokens d_in"]:
        random = torch.Generator().manual_seed(0)
        return scale * (0.5 + torch.randn(tokens, self.dictionary.d_in, generator=random)).to(self.device)

"""The features of any text, token by token, and which of them fire on one text or set of texts and not on another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np
from jaxtyping import Float32, Int64

from dragoman.store import display
from dragoman.store.errors import UserError
from dragoman.store.facts import Scales
from dragoman.store.records import FeatureKey

from .prompt import Prompt
from .workbench import Workbench


@dataclass(frozen=True)
class Strip:
    """One feature on one text. A notebook shows it with the active tokens highlighted."""

    feature: str
    """Address of the feature."""
    strings: tuple[str, ...]
    """The tokens' texts."""
    values: tuple[float, ...]
    """Its activation on each token, 0 where it is silent."""
    threshold: float
    """It fires above this."""
    maximum: float
    """Its largest activation on train, 0 if it never was active there."""

    @property
    def peak(self) -> float:
        """Its largest activation on this text."""
        return max(self.values, default=0.0)

    @property
    def scale(self) -> float:
        """The value shown in full colour: the train maximum, or the peak where there is none."""
        return self.maximum or self.peak

    def __str__(self) -> str:
        return display.strip_line(self._title, self.strings, self.values, self.threshold)

    def __rich__(self) -> object:
        return display.strip_rich(self._title, self.strings, self.values, self.scale, self.threshold)

    def _repr_html_(self) -> str:
        return display.strip_html(self._title, self.strings, self.values, self.scale, self.threshold)

    @property
    def _title(self) -> str:
        share = f", {self.peak / self.maximum:.0%} of the train maximum" if self.maximum else ", never active on train"
        return f"{self.feature}: peak {self.peak:.3g}{share}"


@dataclass(frozen=True, eq=False)
class TextActivations:
    """All activations above zero on one text, in coordinates."""

    prompt: Prompt
    """The text and its tokens."""
    window: int
    """Tokens of a window: token i was read with those from i - i % window on."""
    token: Int64[np.ndarray, " n"]
    """Which token; ascending."""
    feature: Int64[np.ndarray, " n"]
    """Global id of the feature."""
    value: Float32[np.ndarray, " n"]
    """The activation, above zero."""
    bench: Workbench = field(repr=False)
    """Where names and thresholds come from."""

    def values(self, feature: str | int | FeatureKey) -> Float32[np.ndarray, " tokens"]:
        """The activation of a feature on every token. Raises `UserError` for an unknown feature."""
        mine = self.feature == self.bench.store.id(feature)
        dense = np.zeros(len(self.prompt), np.float32)
        dense[self.token[mine]] = self.value[mine]
        return dense

    def peaks(self) -> Float32[np.ndarray, " width"]:
        """The largest activation of every feature of the store."""
        found = np.zeros(self.bench.store.width, np.float32)
        np.maximum.at(found, self.feature, self.value)
        return found

    def strip(self, feature: str | int | FeatureKey) -> Strip:
        """One feature on this text. Raises `UserError` for an unknown feature."""
        number = self.bench.store.id(feature)
        return Strip(
            feature=str(self.bench.store.key(number)),
            strings=self.prompt.strings,
            values=tuple(self.values(number).tolist()),
            threshold=float(self.bench.scales.threshold[number]),
            maximum=float(self.bench.scales.maximum[number]),
        )

    def firing(self, n: int = 20) -> list[Strip]:
        """The features that fire, those with the largest share of their train maximum first; at most n."""
        peaks, scales = self.peaks(), self.bench.scales
        share = np.where(peaks > scales.threshold, peaks / np.where(scales.maximum > 0, scales.maximum, np.inf), -1)
        share[(scales.maximum <= 0) & (peaks > 0)] = 0
        order = np.argsort(-share, kind="stable")[:n]
        return [self.strip(int(f)) for f in order if share[f] >= 0]

    def on_token(self, token: int, n: int = 8) -> list[tuple[str, float]]:
        """The strongest features on one token, with their activations; at most n."""
        mine = self.token == token
        order = np.argsort(-self.value[mine], kind="stable")[:n]
        return [
            (str(self.bench.store.key(int(f))), float(v))
            for f, v in zip(self.feature[mine][order], self.value[mine][order], strict=True)
        ]

    def __repr__(self) -> str:
        fires = int((self.peaks() > self.bench.scales.threshold).sum())
        return f"TextActivations({self.prompt!r}: {len(self.value):,} values above zero, {fires:,} features fire)"

    def _repr_html_(self) -> str:
        return "".join(strip._repr_html_() for strip in self.firing(10)) or "<p>nothing fires</p>"


def activate(
    bench: Workbench, texts: Sequence[str | Prompt], dictionaries: Sequence[str] | None = None, batch_size: int = 16
) -> list[TextActivations]:
    """The features of each text, all texts in shared batches; texts longer than the store's windows are cut as a harvest does.

    Args:
        bench: the store's subject and dictionaries.
        texts: texts, or tokens (see `Prompt.from_ids`).
        dictionaries: names of those wanted; all by default.
        batch_size: windows a forward pass.

    Raises:
        UserError: a text is empty, or a dictionary is unknown or cannot be loaded.
    """
    special = bool(bench.store.manifest.plan.get("include_special"))
    prompts = [t if isinstance(t, Prompt) else Prompt.from_text(bench.speaker, t, special) for t in texts]
    if not all(map(len, prompts)):
        raise UserError("The text is empty: give one with at least one token.")
    windows = [(n, a) for n, prompt in enumerate(prompts) for a in range(0, len(prompt), bench.window)]
    rows = [prompts[n].ids[a : a + bench.window] for n, a in windows]
    owner = np.array([n for n, _ in windows], np.int64)
    first = np.array([a for _, a in windows], np.int64)
    parts = []
    for info in bench.store.dictionaries:
        if dictionaries is None or info.name in dictionaries:
            got = bench.source(info.name, batch_size).activations(rows)
            parts.append((owner[got.row], first[got.row] + got.position, got.feature.astype(np.int64) + info.offset, got.value))
    for name in dictionaries or ():
        bench.source(name)
    text, token, feature, value = (
        (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else (np.zeros(0, np.int64),) * 4
    )
    results = []
    for n, prompt in enumerate(prompts):
        mine = np.flatnonzero(text == n)
        mine = mine[np.lexsort((feature[mine], token[mine]))]
        results.append(TextActivations(prompt, bench.window, token[mine], feature[mine], value[mine].astype(np.float32), bench))
    return results


@dataclass(frozen=True)
class Difference:
    """How a feature differs between two sets of texts."""

    feature: str
    """Address of the feature."""
    share: float
    """Share of the texts of A on which it fires minus the share of B: the score that ranks."""
    strength: float
    """Mean of its largest activation on a text of A minus that of B, in units of its train maximum: ranks equal shares."""
    fires_a: float
    """Share of the texts of A on which it fires."""
    fires_b: float
    """Share of the texts of B on which it fires."""
    peak_a: float
    """Mean over A of its largest activation on a text."""
    peak_b: float
    """The same over B."""


@dataclass(frozen=True)
class Stronger:
    """A feature that fires on all texts of two sets, and is stronger on every one of the first."""

    feature: str
    """The feature, as DICT/INDEX."""
    least_a: float
    """Its smallest peak on a text of A."""
    most_a: float
    """Its largest there."""
    least_b: float
    """Its smallest peak on a text of B."""
    most_b: float
    """Its largest there."""


@dataclass(frozen=True)
class Contrast:
    """The features that fire on A rather than on B."""

    rows: tuple[Difference, ...]
    """One a feature, by share and then by strength."""
    texts_a: int
    """Texts in A."""
    texts_b: int
    """Texts in B."""
    features: int
    """Features that fire on a larger share of A than of B; more than there are rows where the list was cut."""

    def _repr_html_(self) -> str:
        note = f"{len(self.rows)} of {self.features} features, by share of A on which they fire minus share of B"
        return display.table_html([f.name for f in fields(Difference)], [asdict(row) for row in self.rows], note)


def contrast(bench: Workbench, a: Sequence[str | Prompt], b: Sequence[str | Prompt], n: int = 20) -> Contrast:
    """The features that fire on the texts of A and not, or on fewer, of B.

    Args:
        bench: the store's subject and dictionaries.
        a: one text or more.
        b: one text or more.
        n: at most so many features.

    Raises:
        UserError: a set or a text is empty.
    """
    if not a or not b:
        raise UserError("Give at least one text on each side.")
    found = activate(bench, [*a, *b])
    return contrast_of(bench, found[: len(a)], found[len(a) :], n)


def contrast_of(bench: Workbench, a: Sequence[TextActivations], b: Sequence[TextActivations], n: int = 20) -> Contrast:
    """The same from activations that are there already."""
    peaks = [np.stack([text.peaks() for text in side]) for side in (a, b)]
    rows, more = differences(bench.scales, peaks[0], peaks[1], n, lambda feature: str(bench.store.key(feature)))
    return Contrast(tuple(rows), len(a), len(b), more)


def stronger(
    scales: Scales,
    a: Float32[np.ndarray, "texts_a width"],
    b: Float32[np.ndarray, "texts_b width"],
    n: int,
    key: Callable[[int], str],
) -> tuple[list[Stronger], int]:
    """The first n features that tell A from B by strength alone, and how many do: they fire on every text of A, on as large a
    share of B, and are stronger on every text of A than on any of B. Largest gap first, in shares of the train maximum.

    Arguments as for `differences`.
    """
    fires = [(side > scales.threshold).mean(0) for side in (a, b)]
    gap = a.min(0) - b.max(0)
    unit = np.where(scales.maximum > 0, scales.maximum, a.max(0))
    more = np.flatnonzero((fires[0] == 1) & (fires[1] == 1) & (gap > 0))
    order = more[np.argsort(-(gap / np.where(unit > 0, unit, 1))[more], kind="stable")]
    rows = [Stronger(key(int(f)), *(float(side[f]) for side in (a.min(0), a.max(0), b.min(0), b.max(0)))) for f in order[:n]]
    return rows, len(more)


def differences(
    scales: Scales,
    a: Float32[np.ndarray, "texts_a width"],
    b: Float32[np.ndarray, "texts_b width"],
    n: int,
    key: Callable[[int], str],
) -> tuple[list[Difference], int]:
    """The first n features that fire on a larger share of A than of B, and how many do.

    Args:
        scales: threshold and train maximum of every feature.
        a: the largest activation of every feature on each text of A.
        b: the same of B.
        n: at most so many.
        key: the address of a feature.
    """
    fires = [(side > scales.threshold).mean(0) for side in (a, b)]
    means = [side.mean(0) for side in (a, b)]
    unit = np.where(scales.maximum > 0, scales.maximum, np.maximum(means[0], means[1]))
    share = fires[0] - fires[1]
    strength = (means[0] - means[1]) / np.where(unit > 0, unit, 1)
    more = np.flatnonzero(share > 0)
    order = more[np.lexsort((-strength[more], -share[more]))]
    columns = (share, strength, *fires, *means)
    return [Difference(key(int(f)), *(float(column[f]) for column in columns)) for f in order[:n]], len(more)

"""An export: which features, labels and examples go out, in whose names, and what stays behind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import DictionaryInfo
from dragoman.store.verdicts import made_by_people

from . import delphi, latents, neuronpedia, saedashboard, tables, uploads
from .cards import Card, Count, Source
from .formats import checked
from .gather import Cards
from .writing import whole_folder

STORE_LOST = {
    neuronpedia.NAME: ("thresholds and quantiles", "top tokens", "co-activation", "activations outside the examples", "controls"),
    uploads.NAME: ("thresholds and quantiles", "top tokens", "co-activation", "activations outside the examples"),
    saedashboard.NAME: ("thresholds and quantiles", "top tokens", "co-activation", "activations outside the examples"),
    delphi.NAME: ("thresholds and quantiles", "top tokens", "co-activation", "validation and test activations"),
    **dict.fromkeys(tables.FORMATS, tables.STORE_LOST),
}
"""What of a store no file of a format holds, besides what the format's own LOST says of cards."""
LOST = {
    neuronpedia.NAME: neuronpedia.LOST,
    uploads.NAME: uploads.LOST,
    saedashboard.NAME: saedashboard.LOST,
    delphi.NAME: delphi.LOST,
    **tables.LOST,
}
"""What each format has no place for, by the fields of a card, in words."""
PARTS = {delphi.NAME: ("explanations", "scores", "latents"), **dict.fromkeys(tables.FORMATS, tables.PARTS)}
"""What can be left out of a format."""


@dataclass(frozen=True)
class Wish:
    """What is to be exported."""

    format: str
    """Name of the format."""
    dictionary: str | None = None
    """Whose features; None for the only one, and for tables all of them."""
    features: tuple[int, ...] | None = None
    """Global ids; None for all."""
    runs: tuple[str, ...] | None = None
    """Labeling runs whose labels go with them, or the beginnings of their ids; None for the latest, empty for all."""
    examples: int = 10
    """So many of the strongest windows a feature, and a fifth of that from each of five intervals."""
    parts: tuple[str, ...] | None = None
    """Parts of the format; None for all."""
    model: str | None = None
    """What the format shall call the model; None for its name."""
    source: str | None = None
    """What it shall call the dictionary, for example `6-res-jb`, or for delphi the hook point."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    count: Count
    """How much of everything."""
    splits: dict[str, list[str]]
    """Splits whose texts went out, by what they are."""
    lost: tuple[str, ...]
    """What did not go with it, in words."""


def export(store: Store, out: Path, wish: Wish, hook: str | None = None) -> Exported:
    """Write a folder `out` that another tool reads; there is none before all of it is written.

    hook: what the format shall call the dictionary's hook point; None for our own name.

    Raises `UserError` for an unknown format, part, dictionary or run, a name that can be no folder, and when `out` is there.
    """
    checked(wish.format)
    parts = _parts(wish)
    dictionaries = _dictionaries(store, wish)
    runs = _runs(store, wish.runs)
    with ExitStack() as stack:
        made = []
        for dictionary in dictionaries:
            low, high = dictionary.offset, dictionary.offset + dictionary.width
            features = [f for f in wish.features if low <= f < high] if wish.features is not None else range(low, high)
            n = 0 if wish.format == delphi.NAME or "examples" not in parts else wish.examples
            made.append(stack.enter_context(_closing(Cards(store, dictionary, features, n, runs))))
        source = source_of(store, dictionaries[0], wish, hook)
        folder = stack.enter_context(whole_folder(out))
        count = _write(store, folder, wish, parts, chain.from_iterable(made), dictionaries[0], source)
    return Exported(count, _splits(wish.format, parts, count), _lost(wish.format, parts, count))


def _write(
    store: Store,
    folder: Path,
    wish: Wish,
    parts: Sequence[str],
    cards: Iterable[Card],
    dictionary: DictionaryInfo,
    source: Source,
) -> Count:
    if wish.format == neuronpedia.NAME:
        return neuronpedia.write(cards, source, folder, datetime.now(UTC).isoformat(timespec="seconds"))
    if wish.format == uploads.NAME:
        return uploads.write(cards, source, folder)
    if wish.format == saedashboard.NAME:
        return saedashboard.write(cards, source, folder)
    if wish.format in tables.FORMATS:
        return tables.write_cards(cards, folder, wish.format, parts, store)
    count = Count()
    if "explanations" in parts:
        count = delphi.write(cards, source, folder, store, "scores" in parts)
    if "latents" in parts:
        if wish.features is not None:
            count.less("cached latents, which are of all features or of none")
        else:
            cached = latents.write(store, dictionary, source, folder)
            count.files += cached.files
            count.features = cached.features
            for what, n in cached.cut.items():
                count.less(what, n)
    return count


def source_of(store: Store, dictionary: DictionaryInfo, wish: Wish, hook: str | None = None) -> Source:
    """The names of a dictionary and its model in other tools. Raises `UserError` for names that can be no folder."""
    kind, _, layer = dictionary.hook_in.rpartition(".")
    number = int(layer) if layer.isdigit() else 0
    short = {"resid": "res", "mlp": "mlp", "attn": "att", "z": "att"}.get(kind.split("_")[0], "other")
    name = wish.source or f"{number}-{short}-{_plain(dictionary.name)}"
    (row,) = store.sql("SELECT count(*) AS contexts, coalesce(max(len(ids)), 0) AS window FROM context WHERE split = 'train'")
    family = name.split("-", 1)[1] if name.split("-")[0].isdigit() and "-" in name else name
    called = wish.source if wish.format == delphi.NAME and wish.source else dictionary.hook_in
    return Source(
        model=_folder(wish.model or _plain(Path(store.subject.name).name), "--model-id"),
        name=_folder(name, "--source-id"),
        set=family,
        layer=number,
        hook=called if wish.format == delphi.NAME else hook or dictionary.hook_in,
        width=dictionary.width,
        corpus=Path(str(store.manifest.plan.get("text", ""))).name,
        contexts=row["contexts"],
        window=row["window"],
    )


def _plain(name: str) -> str:
    """A name of letters, digits, points, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def _folder(name: str, option: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", name):
        raise UserError(f"{option} is {name!r}: use letters, digits, points, dashes and underscores, for example gpt2-small.")
    return name


def _parts(wish: Wish) -> tuple[str, ...]:
    known = PARTS.get(wish.format, ("examples",))
    if wish.parts is None:
        return known
    wrong = [part for part in wish.parts if part not in known or wish.format not in PARTS]
    if wrong:
        have = ", ".join(known) if wish.format in PARTS else "none"
        raise UserError(f"{wish.format} has no part {wrong[0]!r}: its parts are {have}.")
    if wish.format == delphi.NAME and "scores" in wish.parts and "explanations" not in wish.parts:
        raise UserError("delphi's scores are about its explanations: add explanations to --parts.")
    return wish.parts


def _dictionaries(store: Store, wish: Wish) -> list[DictionaryInfo]:
    known = {dictionary.name: dictionary for dictionary in store.dictionaries}
    if wish.dictionary is not None:
        if wish.dictionary not in known:
            raise UserError(f"There is no dictionary {wish.dictionary!r} in this store: it has {', '.join(known)}.")
        return [known[wish.dictionary]]
    if len(known) > 1 and wish.format not in tables.FORMATS:
        raise UserError(f"{wish.format} holds one dictionary: say which with --dictionary, this store has {', '.join(known)}.")
    return list(known.values())


def _runs(store: Store, wanted: tuple[str, ...] | None) -> list[str]:
    """Ids of labeling runs, in the order of their first start."""
    known = [run.id for run in store.ledger.runs() if run.kind == "label"]
    if wanted is None:
        made = [run.id for run in store.ledger.runs() if run.kind == "label" and not made_by_people(run)]
        return (made or known)[-1:]
    for name in wanted:
        if sum(run.startswith(name) for run in known) != 1:
            raise UserError(f"There is no single labeling run {name!r} in this store: it has {', '.join(known) or 'none'}.")
    return [run for run in known if any(run.startswith(name) for name in wanted)] if wanted else known


def _splits(format: str, parts: Sequence[str], count: Count) -> dict[str, list[str]]:
    """Whose texts went out."""
    if format == delphi.NAME:
        train = {"latents": ["train"]} if "latents" in parts else {}
        return train | ({"scores": ["test"]} if count.scores else {})
    return {"examples": ["train"]} if count.examples else {}


def _lost(format: str, parts: Sequence[str], count: Count) -> tuple[str, ...]:
    """What did not go, in words: parts not asked for, what the format has no place for, what was cut."""
    left = [f"{part} (not asked for)" for part in PARTS.get(format, ()) if part not in parts]
    cut = [f"{n} {what}" for what, n in count.cut.items()]
    return tuple(dict.fromkeys((*LOST[format].values(), *STORE_LOST[format], *left, *cut)))


class _closing:
    """Cards that are closed when the block ends."""

    def __init__(self, cards: Cards) -> None:
        self._cards = cards

    def __enter__(self) -> Iterator[Card]:
        return iter(self._cards)

    def __exit__(self, *_: object) -> None:
        self._cards.close()

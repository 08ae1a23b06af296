"""From a store to something one can experiment with: its subject and dictionaries, found again and checked against the manifest.

A store of made features has no subject: the programs that stand in its folder give the activations.

The manifest keeps the places as the user gave them. A relative one is looked for from the current folder, then from the folder
above the store and those above that, so that a project that moved as a whole still opens; what came with this package is looked
for in the package as it is installed now. The hashes decide whether what was found is what the store was harvested from.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from dragoman.store.errors import UserError
from dragoman.store.facts import Scales
from dragoman.store.features import Store
from dragoman.store.records import DictionaryInfo, FeatureKey, TrainStats
from dragoman.store.view import TrainView

from .dictionaries import Dictionary, load_all
from .fingerprint import tensors_hash
from .kinds import Kinds
from .programs.harvest import source_of, voice_of
from .programs.source import FORMAT
from .source import FeatureSource, SubjectSource
from .speaking import TokenizerSpeaker
from .subject import Subject

_PACKAGE = Path(__file__).resolve().parents[1]
"""Where the folders evals, tools and so on lie."""
NO_MODEL = (
    "The features of this store are programs, and there is no model behind them that could be changed: use activate, edit and "
    "search-inputs."
)


class LocatedFeature(NamedTuple):
    """Where a feature lives."""

    dictionary: Dictionary
    """The dictionary it belongs to."""
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    """Its row there."""


class Workbench:
    """A store with its subject and dictionaries, each loaded when it is first needed. Also a context manager."""

    def __init__(
        self,
        store: Store,
        model: str | Path | Subject | None = None,
        dictionaries: Sequence[str] | Mapping[str, Dictionary] = (),
        device: str | None = None,
    ) -> None:
        """
        Args:
            store: the sealed store.
            model: where the model is now, or the loaded Subject; by default where the manifest says.
            dictionaries: `NAME=SPEC` for dictionaries that have moved, or loaded ones by name.
            device: as for `Subject.load`.

        Raises:
            UserError: a dictionary is named that the store does not have.
        """
        self.store, self._model, self._device = store, model, device
        self.lock = threading.RLock()
        """Held by whoever runs the model while other threads may run it as well: edits of a forward pass meet every thread's."""
        self._loaded: dict[str, Dictionary] = {}
        self._programs: dict[str, FeatureSource] = {}
        self._given: dict[str, Dictionary | str] = {}
        self._stats: dict[int, TrainStats] = {}
        names = [info.name for info in store.dictionaries]
        pairs = dictionaries.items() if isinstance(dictionaries, Mapping) else map(_named, dictionaries)
        for name, given in pairs:
            if name not in names:
                raise UserError(f"This store has no dictionary {name!r}: it has {', '.join(names)}.")
            self._given[name] = given

    @classmethod
    def open(
        cls,
        store: Store | Path | str,
        model: str | Path | Subject | None = None,
        dictionaries: Sequence[str] | Mapping[str, Dictionary] = (),
        device: str | None = None,
    ) -> Workbench:
        """Open a store for experiments; the arguments are those of the constructor. Nothing of the model is read yet."""
        return cls(store if isinstance(store, Store) else Store.open(store), model, dictionaries, device)

    def __repr__(self) -> str:
        return f"Workbench({self.store!r})"

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.store.close()

    # What it holds

    @property
    def has_model(self) -> bool:
        """Whether a model gives the activations; otherwise programs do, which are in the store."""
        return all(info.format != FORMAT for info in self.store.dictionaries)

    @cached_property
    def subject(self) -> Subject:
        """The model the store was harvested from.

        Raises:
            UserError: it is not where it was, its weights or tokenizer are not those of the harvest, or there is none.
        """
        if not self.has_model:
            raise UserError(NO_MODEL)
        if isinstance(self._model, Subject):
            return self._checked(self._model)
        recorded = self.store.subject.name
        place = str(self._model) if self._model is not None else self._found(recorded)
        try:
            subject = Subject.load(place, self._device, self.store.manifest.plan.get("dtype"))
        except UserError as error:
            if self._model is not None or Path(place).is_dir():
                raise
            raise UserError(f"The model of this store, {recorded}, was not found: say with --model where it is now.") from error
        return self._checked(subject)

    @cached_property
    def speaker(self) -> TokenizerSpeaker:
        """What cuts texts into tokens: the subject, or the tokenizer of a store without a model.

        Raises:
            UserError: it cannot be loaded, or has changed.
        """
        return self.subject if self.has_model else voice_of(self.store)

    @property
    def dictionaries(self) -> dict[str, Dictionary]:
        """All dictionaries by name, loaded."""
        return {info.name: self.dictionary(info.name) for info in self.store.dictionaries}

    def dictionary(self, name: str) -> Dictionary:
        """One dictionary of the store.

        Raises:
            UserError: the store has none of that name, its files are gone, or they have changed since the harvest.
        """
        if name not in self._loaded:
            info = next((info for info in self.store.dictionaries if info.name == name), None)
            if info is None:
                have = ", ".join(info.name for info in self.store.dictionaries)
                raise UserError(f"There is no dictionary {name!r} in this store: it has {have}.")
            if info.format == FORMAT:
                raise UserError(NO_MODEL)
            self._loaded[name] = self._load(info)
        return self._loaded[name]

    def feature(self, feature: str | int | FeatureKey) -> LocatedFeature:
        """The dictionary of a feature and its row there.

        Raises:
            UserError: there is no such feature, or its dictionary cannot be loaded.
        """
        name, index = self.store.key(self.store.id(feature))
        return LocatedFeature(self.dictionary(name), index)

    def source(self, dictionary: str | Dictionary, batch_size: int = 16) -> FeatureSource:
        """What gives the activations of a dictionary: the subject with it, BOS as in the store, or programs."""
        if isinstance(dictionary, str) and not self.has_model:
            return self._made(dictionary)
        loaded = self.dictionary(dictionary) if isinstance(dictionary, str) else dictionary
        return SubjectSource(self.subject, loaded, self.prepend_bos, batch_size)

    @property
    def prepend_bos(self) -> bool:
        """Whether BOS stands before every window."""
        return self.store.subject.prepend_bos

    @property
    def window(self) -> int:
        """Tokens of a window, BOS not counted."""
        return int(self.store.manifest.plan["window"])

    @cached_property
    def train(self) -> TrainView:
        """The train rows."""
        return self.store.train_view()

    @cached_property
    def kinds(self) -> Kinds:
        """Finds spans of one kind on train."""
        return Kinds(self.train)

    def stats(self, feature: str | int | FeatureKey) -> TrainStats:
        """Statistics of a feature from train rows."""
        number = self.store.id(feature)
        if number not in self._stats:
            self._stats[number] = self.train.stats(number)
        return self._stats[number]

    @property
    def scales(self) -> Scales:
        """Threshold and train maximum of all features."""
        return self.train.scales

    def threshold(self, feature: str | int | FeatureKey) -> float:
        """t: the feature fires above this."""
        return self.stats(feature).threshold

    def maximum(self, feature: str | int | FeatureKey) -> float:
        """Its largest activation on train."""
        return self.stats(feature).max

    # Finding and checking

    def _made(self, name: str) -> FeatureSource:
        if name not in self._programs:
            info = next((info for info in self.store.dictionaries if info.name == name), None)
            if info is None:
                raise UserError(f"There is no dictionary {name!r} in this store.")
            self._programs[name] = source_of(self.store, info, self.speaker)
        return self._programs[name]

    def _checked(self, subject: Subject) -> Subject:
        wanted, found = self.store.subject, subject.info
        same = wanted.weights_hash == found.weights_hash or (
            subject.folder is not None and wanted.weights_hash == tensors_hash(subject.model.state_dict())
        )
        for what, equal in (("weights", same), ("tokenizer", wanted.tokenizer_hash == found.tokenizer_hash)):
            if not equal:
                raise UserError(
                    f"The {what} of {subject.name} changed since the harvest of this store: say with --model where the "
                    "original is, or harvest again."
                )
        return subject

    def _load(self, info: DictionaryInfo) -> Dictionary:
        given = self._given.get(info.name)
        if given is None:
            spec = self._found(info.source)
            try:
                dictionary = self._read(info, spec)
            except UserError as error:
                if self._exists(spec):
                    raise
                raise UserError(
                    f"The dictionary {info.name} of this store was not found at {info.source}: say with --dictionary "
                    f"{info.name}=SPEC where it is now."
                ) from error
        else:
            dictionary = self._read(info, given) if isinstance(given, str) else given
        if dictionary.facts.weights_hash != info.weights_hash:
            raise UserError(
                f"The dictionary {info.name} ({dictionary.facts.source}) changed since the harvest of this store: say with "
                f"--dictionary {info.name}=SPEC where the original is, or harvest again."
            )
        return dictionary

    def _read(self, info: DictionaryInfo, spec: str) -> Dictionary:
        """The dictionary in `spec`; of one that holds several (a layer each, called NAME.0, NAME.1 …), the one that is meant."""
        found = load_all([f"{info.name}={spec}"], self.subject)
        if len(found) > 1:
            found = load_all([f"{info.name.rpartition('.')[0]}={spec}"], self.subject)
        return next((d for d in found if d.facts.weights_hash == info.weights_hash), found[0])

    def _found(self, spec: str) -> str:
        """The spec with its path where the file or folder lies now; unchanged where nothing is found."""
        before, path, after = _parts(spec)
        if self._exists(spec):
            return spec
        return next((f"{before}{place}{after}" for place in self._places(path) if place.exists()), spec)

    def _exists(self, spec: str) -> bool:
        return Path(spec).exists() or Path(_parts(spec)[1]).exists()

    def _places(self, path: str) -> Iterator[Path]:
        """Where something recorded as `path` may be now."""
        recorded = Path(path)
        if not recorded.is_absolute():
            yield from (folder / recorded for folder in self.store.path.resolve().parents)
        elif "evals" in recorded.parts:
            inside = recorded.parts[recorded.parts.index("evals") :]
            yield _PACKAGE.joinpath(*inside)


def _parts(spec: str) -> tuple[str, str, str]:
    """What stands before the path in a spec, the path, and what follows: `directions:`, FILE, `@resid_post.2`."""
    match = re.fullmatch(r"((?:[a-z_]+:)?)(.+?)((?:\?scale=[^@]*)?(?:@[^@/]*)?)", spec, re.S)
    return (match[1], match[2], match[3]) if match else ("", spec, "")


def _named(spec: str) -> tuple[str, str]:
    name, equals, rest = spec.partition("=")
    if not equals or not re.fullmatch(r"[\w.-]+", name):
        raise UserError(f"{spec!r} does not say which dictionary it is: write --dictionary NAME=SPEC.")
    return name, rest

"""From what the user wrote to dictionaries that fit the subject."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from dragoman.store.errors import UserError
from dragoman.tools.hooks import parse_hook_point
from dragoman.tools.subject import Subject

from .coder import Coder
from .dictionary import Dictionary
from .directions import load_directions
from .files import first_line
from .formats import format_of
from .hub import fetched
from .neurons import load_neurons
from .request import UNKNOWN, Request

log = logging.getLogger(__name__)

HELP = (
    "a folder or hub id of a dictionary in any known format (also FOLDER@HOOK, and REPO//SUBFOLDER on the hub), "
    "neurons:mlp.LAYER, or directions:FILE@HOOK; NAME=SPEC gives it a name"
)
"""What a spec can be, for help texts."""


def load(spec: str, subject: Subject, *, scale: float | None = None) -> Dictionary:
    """Load the dictionary a spec names and check that it fits the subject.

    Args:
        spec: `[NAME=]` followed by a folder or hub id, `neurons:mlp.2`, or `directions:FILE.safetensors@resid_post.2`. A folder
            can be followed by `?scale=S` and by `@HOOK` (of a transcoder `@IN:OUT`). The format is recognised from the files.
        subject: the model it reads.
        scale: the same as `?scale=S`: the factor that gives the dictionary's inputs a mean norm of sqrt(d), for formats that do
            not hold it (SAELens' expected_average_only_in).

    Raises:
        UserError: the files are missing or corrupt, hold several dictionaries, or do not fit the model.
    """
    found = read(spec, subject, scale=scale)
    if len(found) > 1:
        raise UserError(f"{spec} holds {len(found)} dictionaries, one a layer: load them with load_all, or name the file of one.")
    return found[0]


def load_all(specs: Sequence[str], subject: Subject) -> list[Dictionary]:
    """Load the dictionaries of several specs, whose names must differ. A spec that holds several gives NAME.0, NAME.1 …

    Raises:
        UserError: none was given, two have one name, or one of them cannot be loaded.
    """
    if not specs:
        raise UserError(f"Give at least one dictionary: {HELP}.")
    dictionaries = [dictionary for spec in specs for dictionary in read(spec, subject)]
    names = [d.facts.name for d in dictionaries]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"Two dictionaries are called {name!r}: write NAME=SPEC to name them apart.")
    return dictionaries


def read(spec: str, subject: Subject | None, *, scale: float | None = None) -> Sequence[Dictionary]:
    """The dictionaries of a spec; without a subject they are not checked against one and may not know their hook points."""
    named = re.fullmatch(r"([\w.-]+)=(.*)", spec, re.S)
    name, rest = (named[1], named[2]) if named else ("", spec)
    format_, colon, place = rest.partition(":")
    dictionaries: Sequence[Dictionary]
    if colon and format_ == "neurons":
        if subject is None:
            raise UserError(f"{rest} are units of a model: say which with --model.")
        dictionaries = [load_neurons(place, name or place, rest, subject)]
    elif colon and format_ == "directions":
        dictionaries = [load_directions(place, name or plain(Path(place.rpartition("@")[0]).stem), rest)]
    else:
        dictionaries = _from_files(name, rest, subject, scale)
    for dictionary in dictionaries:
        if subject is not None:
            _check(dictionary, subject)
            dictionary.to(subject.device)
    return dictionaries


def _from_files(name: str, source: str, subject: Subject | None, scale: float | None) -> Sequence[Dictionary]:
    place, given, hook = _parts(source)
    scale = scale if scale is not None else given
    if scale is not None and not 0 < scale < float("inf"):
        raise UserError(f"{source}: the scale must be a positive number.")
    path = fetched(place)
    request = Request(
        path=path,
        name=name or plain((path if path.is_dir() else path.with_suffix("")).resolve().name),
        source=source,
        place=place,
        hook=hook,
        scale=scale,
        family=None if subject is None else subject.family,
        special_ids=() if subject is None else _special(subject),
        strict=subject is not None,
    )
    format_ = format_of(path)
    try:
        found = format_.load(request)
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError) as error:  # a config can hold anything anywhere
        raise UserError(
            f"{path} is not as {format_.name} files are ({type(error).__name__}: {first_line(error)}): check its config."
        ) from error
    return [_with_scale(dictionary, request) for dictionary in found]


def _parts(source: str) -> tuple[str, float | None, str | None]:
    """Place, scale and hook point of `PLACE[?scale=S][@HOOK]`."""
    place, at, hook = source.rpartition("@")
    if not at:
        place, hook = source, ""
    place, mark, scale = place.partition("?scale=")
    if not mark:
        return place, None, hook or None
    try:
        return place, float(scale), hook or None
    except ValueError:
        raise UserError(f"{source}: write ?scale=NUMBER, for example ?scale=0.3.") from None


def _with_scale(dictionary: Dictionary, request: Request) -> Dictionary:
    unscaled = isinstance(dictionary, Coder) and dictionary.recipe.needs_scale
    if request.scale is None:
        if unscaled:
            log.warning(
                "%s was trained on scaled activations and its files do not say the scale: 1 is used unless it is given as "
                "%s?scale=S or estimated.",
                request.source,
                request.place,
            )
        return dictionary
    if not isinstance(dictionary, Coder) or not unscaled:
        raise UserError(f"{request.source}: this dictionary does not need a scale; leave ?scale= out.")
    return dictionary.scaled(request.scale)


def _check(dictionary: Dictionary, subject: Subject) -> None:
    facts = dictionary.facts
    assert facts.hook_in != UNKNOWN
    width = subject.width(facts.hook_in)
    if dictionary.d_in != width:
        raise UserError(
            f"{facts.source} reads vectors of width {dictionary.d_in}, but {facts.hook_in} of {subject.name} has width "
            f"{width}: it belongs to another model or hook point."
        )
    for hook in facts.hooks_out:
        subject.check(parse_hook_point(hook))
    width = subject.width(facts.hook_out)
    written = int(dictionary.directions.shape[1])
    if written != width:
        raise UserError(
            f"{facts.source} writes vectors of width {written}, but {facts.hook_out} of {subject.name} has width {width}: it "
            "belongs to another model or hook point."
        )


def _special(subject: Subject) -> tuple[int, ...]:
    """Tokens that SAELens means by special tokens."""
    tokenizer = subject.tokenizer
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, getattr(tokenizer, "sep_token_id", None))
    return tuple(sorted({int(i) for i in ids if i is not None}))


def plain(name: str) -> str:
    """A name that can stand in DICT/INDEX."""
    return re.sub(r"[^\w.-]+", "-", name) or "dictionary"

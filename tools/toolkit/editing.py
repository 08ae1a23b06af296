"""A text before and after edits: what changes in the feature."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dragoman.store.errors import ToolError
from dragoman.store.fence import fenced
from dragoman.tools.edit import Comparison, compare_each
from dragoman.tools.edits import EDITS, Edit
from dragoman.tools.prompt import Prompt

from .declaring import ToolResult
from .reading import MOST_TOKENS
from .showing import fitting, number, numbers, short, strip, token
from .study import Address, Study, Text

Kind = Literal["substitute", "insert", "delete", "swap", "repeat", "case", "space", "truncate", "shift", "of_its_kind"]
How = Literal["upper", "lower", "title", "swap", "add", "remove", "double", "newline"]
Place = Annotated[int, Field(ge=0, le=1_000_000)]
ContextId = Annotated[int, Field(ge=0, le=2**40)]


class EditArgument(BaseModel):
    """One edit. Its tokens are those from start to stop (stop left out), or those of `find`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = Field(
        description="substitute: text in the place of the tokens; insert: text before token start; delete: the tokens; swap: "
        "tokens start and other change places; repeat: the tokens several times over (times); case: of the tokens (how: upper, "
        "lower, title, swap); space: before token start (how: add, remove, double, newline); truncate: everything before token "
        "start is cut off; shift: filler before the text, moving it right by times tokens; of_its_kind: the tokens replaced by "
        "others of the same form that are used alike in the corpus (other: the how-manieth, from 0)."
    )
    start: Place | None = Field(None, description="First token, numbered from 0.")
    stop: Place | None = Field(None, description="Token after the last; by default the one after start.")
    find: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        None, description="Instead of start and stop: the exact text of the tokens, which must occur once. Mind leading spaces."
    )
    text: Annotated[str, Field(min_length=1, max_length=2_000)] | None = Field(
        None, description="For substitute and insert: the new text; mind the leading space. For shift: the filler, one token."
    )
    how: How | None = Field(None, description="For case and space.")
    other: Place | None = Field(None, description="For swap: the second token. For of_its_kind: which one.")
    times: Annotated[int, Field(ge=1, le=256)] | None = Field(None, description="For repeat and shift.")


FIELDS: dict[str, dict[str, str]] = {
    "substitute": {"start": "start", "stop": "stop", "text": "text"},
    "insert": {"start": "at", "text": "text"},
    "delete": {"start": "start", "stop": "stop"},
    "swap": {"start": "first", "other": "second"},
    "repeat": {"start": "start", "stop": "stop", "times": "times"},
    "case": {"start": "start", "stop": "stop", "how": "kind"},
    "space": {"start": "at", "how": "kind"},
    "truncate": {"start": "start"},
    "shift": {"times": "by", "text": "filler"},
    "of_its_kind": {"start": "start", "stop": "stop", "other": "choice"},
}
"""Which fields each kind takes, and what the edit itself (tools/edits.py) calls them."""
OPTIONAL = {"stop", "times", "other", "text"}
"""Fields that a kind may leave out, except where `NEEDED` says otherwise."""
NEEDED = {("substitute", "text"), ("insert", "text"), ("swap", "other"), ("shift", "times")}


def edit_and_compare(
    study: Study,
    edits: Annotated[list[EditArgument], Field(min_length=1, max_length=16)],
    text: Text | None = None,
    context: ContextId | None = None,
    position: Place | None = None,
    together: bool = False,
    feature: Address | None = None,
) -> ToolResult:
    """Change a text token by token and see what the feature does: each edit is made on its own on the same text.

    Minimal pairs: what must be there, what must not, whether position, case or white space count. All variants run in one batch.

    Args:
        edits: The edits. They speak of the tokens of the text as it was.
        text: The text, your own.
        context: Instead of a text: the number of a stored train context, as examples show it.
        position: The token to look at; by default the one at which the feature is strongest before the edits.
        together: Make all edits at once, as one variant.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"text": "The nurse gave Mary a cup of tea.", "edits": [{"kind": "substitute", "find": " Mary", "text": " him"},
        {"kind": "delete", "start": 1}, {"kind": "case", "start": 0, "how": "lower"}]}
    """
    number_of, desk = study.id(feature), study.desk
    with desk.lock:
        prompt = prompt_of(study, text, context)
        made = [edit_of(edit, prompt) for edit in edits]
        variants = [made] if together else [[edit] for edit in made]
        gauge = desk.gauge(number_of)
        before = gauge.tokens
        found = compare_each(gauge, prompt, variants, position)
        forwarded = gauge.tokens - before
    first = found[0]
    at, was = first.position, first.before_values[first.position]
    state, mark = _state(was, gauge.threshold), (gauge.threshold, gauge.maximum)
    head = (
        f"{gauge.key} (fires above {short(gauge.threshold)}, train maximum {short(gauge.maximum)}). Before: {short(was)} at "
        f"token {at} {token(first.before[at])}, {state}.\n{strip(first.before, first.before_values, *mark)}"
    )
    text_shown, count = fitting(head, [_variant(n, one) for n, one in enumerate(found)], "variants")
    data = {
        "feature": gauge.key,
        "context": context,
        "threshold": number(gauge.threshold),
        "maximum": number(gauge.maximum),
        "position": at,
        "before": number(was),
        "fires_before": was > gauge.threshold,
        "tokens": list(first.before),
        "values": numbers(first.before_values),
        "variants": [_data(one) for one in found],
        "shown": count,
    }
    return ToolResult(text_shown, data, forwarded=forwarded, read=int(context is not None))


def prompt_of(study: Study, text: str | None, context: int | None) -> Prompt:
    """The text of a call: one's own, or a stored context. Raises ToolError where both or none are given."""
    if (text is None) == (context is None):
        raise ToolError('Give a text or the number of a stored context, not both: {"text": "…"} or {"context": 12}.')
    prompt = study.desk.prompt(text) if text is not None else study.desk.stored(study.desk.context(int(context or 0)))
    if len(prompt) > MOST_TOKENS:
        raise ToolError(f"The text has {len(prompt):,} tokens, and {MOST_TOKENS:,} can be run: send a shorter one.")
    return prompt


def edit_of(argument: EditArgument, prompt: Prompt) -> Edit:
    """The edit that an argument describes. Raises ToolError where fields are missing, too many or find nothing."""
    given: dict[str, Any] = {name: value for name, value in argument.model_dump().items() if value is not None}
    kind, takes = given.pop("kind"), FIELDS[argument.kind]
    if "find" in given:
        if "start" in given or "stop" in given:
            raise ToolError("An edit names its tokens by start and stop or by find, not by both.")
        if "start" not in takes:
            raise ToolError(f"The edit {kind} takes no find: it takes {_fields(kind)}.")
        given["start"], stop = _found(given.pop("find"), prompt)
        if "stop" in takes:
            given["stop"] = stop
    extra = sorted(set(given) - set(takes))
    missing = [name for name in takes if name not in given and (name not in OPTIONAL or (kind, name) in NEEDED)]
    if extra:
        raise ToolError(f"The edit {kind} takes no {extra[0]}: it takes {_fields(kind)}.")
    if missing:
        raise ToolError(
            f"The edit {kind} needs {missing[0]}{' or find' if missing[0] == 'start' else ''}: it takes {_fields(kind)}."
        )
    edit: Edit = EDITS[kind](**{takes[name]: value for name, value in given.items()})
    return edit


def _fields(kind: str) -> str:
    takes = FIELDS[kind]
    needed = [name for name in takes if name not in OPTIONAL or (kind, name) in NEEDED]
    optional = [name for name in takes if name not in needed]
    return ", ".join(needed) + (f" and perhaps {', '.join(optional)}" if optional else "")


def _found(piece: str, prompt: Prompt) -> tuple[int, int]:
    """First token of a piece of text and the one after its last."""
    whole = "".join(prompt.strings)
    count = whole.count(piece)
    if count != 1:
        raise ToolError(f"{piece!r} occurs {count} times in the text: find must occur once; or name tokens by start and stop.")
    begin = whole.index(piece)
    ends: list[int] = []
    for string in prompt.strings:
        ends.append((ends[-1] if ends else 0) + len(string))
    begins = [0, *ends[:-1]]
    if begin not in begins or begin + len(piece) not in ends:
        over = [at for at in range(len(ends)) if begins[at] < begin + len(piece) and ends[at] > begin]
        around = " ".join(f"{at}:{token(prompt.strings[at])}" for at in over)
        raise ToolError(f"{piece!r} is not made of whole tokens here; it touches {around}: name those by start and stop.")
    last = ends.index(begin + len(piece))
    return max(at for at in range(last + 1) if begins[at] == begin), last + 1


def _variant(n: int, one: Comparison) -> str:
    """What an edit changed, and the text afterwards."""
    was = one.before_values[one.position]
    best = max(range(len(one.after_values)), key=one.after_values.__getitem__)
    if one.image is None:
        said = "the token is gone"
    else:
        now = one.after_values[one.image]
        said = f"{short(was)} → {short(now)} at the token (now {one.image}), {_state(now, one.threshold)}"
    if best != one.image and one.after_values[best] > 0:
        said += f"; its max is now {short(one.after_values[best])} at {best}"
    odd = "" if one.canonical else "; the tokenizer would cut this text otherwise"
    done = "; ".join(one.edits) or "nothing"
    same = " (changes nothing)" if one.before == one.after else ""
    return f"{n + 1}. {fenced(done)}{same}: {said}{odd}\n{strip(one.after, one.after_values, one.threshold, one.maximum)}"


def _state(value: float, threshold: float) -> str:
    return "fires" if value > threshold else "weak" if value > 0 else "silent"


def _data(one: Comparison) -> dict[str, Any]:
    after = None if one.image is None else one.after_values[one.image]
    best = max(range(len(one.after_values)), key=one.after_values.__getitem__)
    return {
        "edits": list(one.edits),
        "changed": one.before != one.after,
        "image": one.image,
        "after": number(after),
        "change": number(one.change),
        "fires_after": None if after is None else after > one.threshold,
        "max_after": number(one.after_values[best]),
        "max_position": best,
        "canonical": one.canonical,
        "tokens": list(one.after),
        "values": numbers(one.after_values),
    }

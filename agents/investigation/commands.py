"""Direct commands: what can be typed without a language model, each a call of the toolbox or an investigation."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from dragoman.store.display import visible
from dragoman.store.errors import ToolError

from .grammar import (
    FEATURE,
    Call,
    Command,
    Explain,
    Help,
    Request,
    ablate,
    alone,
    contrast,
    differ,
    edit,
    examples,
    generate,
    investigate,
    pattern,
    predict,
    steer,
    whole,
    with_text,
    with_texts,
)

MOST = 20_000
"""Characters of a command."""


def read(line: str) -> Request:
    """What a line asks for.

    Raises:
        ToolError: it is no command, or not all of one; the sentence shows an example.
    """
    line = line.strip("\r\n\t ")
    if len(line) > MOST:
        raise ToolError(f"A command has at most {MOST:,} characters and this one {len(line):,}: give a shorter text.")
    if not line:
        raise ToolError("Type a command, for example: find The nurse gave Mary a cup of tea. (help lists all of them)")
    if any("\ud800" <= c <= "\udfff" for c in line):
        raise ToolError("The line holds half of a surrogate pair, which is no character: type it again without it.")
    first, _, rest = line.partition(" ")
    if FEATURE.fullmatch(first) and not rest:
        return Explain(first)
    command = named(first)
    if command is None:
        near = get_close_matches(first.lower(), [one.name for one in COMMANDS], 1)
        meant = f": did you mean {near[0]}? For example: " if near else "; help lists all of them. For example: "
        example = next(one.example for one in COMMANDS if one.name == (near[0] if near else "investigate"))
        raise ToolError(f"There is no command {visible(first[:40])!r}{meant}{example}")
    return command.read(rest.strip(" "), command)


def named(name: str) -> Command | None:
    """The command of this name, whatever its case."""
    return next((one for one in COMMANDS if one.name == name.lower()), None)


def _help(rest: str, command: Command) -> Request:
    if not rest:
        return Help()
    asked = named(rest.split()[0])
    if asked is None:
        raise command.wrong(f"there is no command {visible(rest[:40])!r}; help alone lists all")
    return Help(asked)


COMMANDS: Sequence[Command] = (
    Command(
        "investigate",
        "TEXT [-> NEXT TOKEN]",
        "a guided investigation: find features, ablate, explain, test, report",
        "investigate The capital of France is -> Paris",
        investigate,
    ),
    Command(
        "find",
        "TEXT",
        "features that fire on a text, the most telling first",
        "find The nurse gave Mary a cup of tea.",
        whole("find_features", "text", "a text"),
    ),
    Command("explain", "FEATURE", "its label, or a rule induced now, and how well the rule does", "explain 88", alone(Explain)),
    Command("differ", "FEATURE FEATURE", "how two features differ, tried on each other's texts", "differ 88 912", differ),
    Command(
        "activate",
        "FEATURE TEXT | TEXT …",
        "a feature on texts, token by token",
        "activate 88 The nurse gave Mary a cup of tea. | The nurse gave him a cup of tea.",
        with_texts("activate", "texts"),
    ),
    Command(
        "edit",
        "FEATURE TEXT | EDIT | EDIT …",
        "the same text changed: OLD -> NEW, delete OLD, upper OLD, lower OLD, like OLD, cut OLD (OLD may be #3, a token)",
        "edit 88 The nurse gave Mary tea. | Mary -> him | delete gave",
        edit,
    ),
    Command(
        "ablate",
        "FEATURE [TEXT [-> TOKEN]]",
        "the feature taken away: what becomes of the next token, beside random directions",
        "ablate 88 The capital of France is -> Paris",
        ablate,
    ),
    Command(
        "predict",
        "TEXT [-> TOKEN]",
        "which features the next token rests on: each that is active is taken away",
        "predict The capital of France is -> Paris",
        predict,
    ),
    Command(
        "steer",
        "FEATURE [x2] TEXT [-> TOKEN]",
        "the feature turned up (x-2: down): which next tokens become likelier",
        "steer 88 x4 We went to the",
        steer,
    ),
    Command(
        "generate",
        "FEATURE [x2 x4] TEXT",
        "what the model writes with the feature turned up",
        "generate 88 x2 x4 In the park we saw",
        generate,
    ),
    Command(
        "examples",
        "FEATURE [STRATUM]",
        "stored examples: top, quantile, random active, near miss, random silent",
        "examples 88 near miss",
        examples,
    ),
    Command(
        "stats",
        "FEATURE",
        "how often and how strongly it is active",
        "stats 88",
        alone(lambda feature: Call("feature_stats", {"feature": feature})),
    ),
    Command(
        "groups",
        "FEATURE",
        "what it fires on, in groups",
        "groups 88",
        alone(lambda feature: Call("example_groups", {"feature": feature})),
    ),
    Command(
        "neighbours",
        "FEATURE",
        "features near it",
        "neighbours 88",
        alone(lambda feature: Call("neighbours", {"feature": feature})),
    ),
    Command(
        "minimal",
        "FEATURE TEXT",
        "how little of a text still fires it",
        "minimal 88 The nurse gave Mary a cup of tea.",
        with_text("minimal_context"),
    ),
    Command(
        "attribute",
        "FEATURE TEXT",
        "which tokens its activation rests on",
        "attribute 88 The nurse gave Mary a cup of tea.",
        with_text("attribute_tokens"),
    ),
    Command(
        "contrast",
        "TEXT | … vs TEXT | …",
        "features that fire on the first texts rather than on the others",
        "contrast She was born in 1984. vs She was born in May.",
        contrast,
    ),
    Command(
        "search",
        "FEATURE",
        "texts that fire it hardest",
        "search 88",
        alone(lambda feature: Call("search_inputs", {"feature": feature})),
    ),
    Command(
        "pattern",
        "FEATURE RULE",
        "how well a rule says where it fires",
        'pattern 88 strongly: "the" where prev "in"',
        pattern,
    ),
    Command(
        "logits",
        "FEATURE",
        "tokens that its direction promotes and suppresses",
        "logits 88",
        alone(lambda feature: Call("logit_effects", {"feature": feature})),
    ),
    Command("labels", "WORDS", "labels by their words", "labels name of a month", whole("search_labels", "words", "words")),
    Command(
        "sql",
        "SELECT …",
        "one query over train rows",
        "sql SELECT other, cosine FROM neighbour WHERE feature = 12 ORDER BY rank LIMIT 5",
        whole("query_store", "sql", "a SELECT"),
    ),
    Command("note", "TEXT", "write something down", "note June was silent twice.", whole("record_note", "text", "a text")),
    Command("help", "[COMMAND]", "this list, or one command", "help edit", _help),
)
"""All of them, in the order of the help."""


def manual(command: Command | None = None) -> str:
    """What can be typed, a command a line; of one command, its form and an example."""
    if command is not None:
        return f"{command.name} {command.form}\n{command.said}\nFor example: {command.example}"
    width = max(len(f"{one.name} {one.form}") for one in COMMANDS)
    lines = [f"{f'{one.name} {one.form}':<{width}}  {one.said}" for one in COMMANDS]
    return "\n".join([*lines, "A feature's number alone explains it. help COMMAND shows an example."])

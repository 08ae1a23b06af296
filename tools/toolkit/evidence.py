"""What the store knows of a feature on train: examples by stratum, statistics, neighbours. No model is needed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dragoman.store.records import Example, Stratum, TokenValue
from dragoman.tools.related import By, related

from .declaring import ToolResult
from .showing import around, fitting, number, numbers, short, strip, token
from .study import Address, Study

STRATA: dict[Stratum, str] = {
    "top": "strongest first",
    "quantile": "drawn evenly from the deciles of its activations",
    "random_active": "drawn from all in which it fires",
    "near_miss": "silent, though they hold a token it often fires on or fire a feature near it",
    "random_silent": "drawn from all in which it is silent",
}


def top_examples(
    study: Study,
    stratum: Stratum = "top",
    n: Annotated[int, Field(ge=1, le=20)] = 6,
    skip: Annotated[int, Field(ge=0, le=10_000)] = 0,
    whole: bool = False,
    feature: Address | None = None,
) -> ToolResult:
    """Stored train examples of the feature, chosen by stratum, with the tokens on which it fires marked.

    Look at several strata before you believe anything: the top alone misleads. Near misses and random silent examples show where
    it does not fire.

    Args:
        stratum: How examples are chosen. top: the strongest; quantile: evenly from the deciles of its activations; random_active:
            from all in which it fires; near_miss: silent ones that hold a token it often fires on, or in which a feature near it
            fires; random_silent: from all in which it is silent.
        n: How many.
        skip: Leave out the first so many, to go on where an earlier call ended.
        whole: Show whole windows instead of the surroundings of the strongest token.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"stratum": "quantile", "n": 8}
    """
    number_of = study.id(feature)
    stats = study.desk.stats(number_of)
    found = study.desk.train.examples(number_of, stratum, skip + n, study.seed)[skip:]
    head = (
        f"{len(found)} {stratum} train examples of {study.key(number_of)} ({STRATA[stratum]}); it fires above "
        f"{short(stats.threshold)}, its train maximum is {short(stats.max)}."
    )
    if not found:
        head = f"There are no {'more ' if skip else ''}{stratum} train examples of {study.key(number_of)}."
    triggers = set(study.desk.triggers(number_of).tolist())
    items = [f"{skip + at + 1}. {_example(example, whole, triggers)}" for at, example in enumerate(found)]
    text, count = fitting(head, items, "examples")
    data = {
        "feature": study.key(number_of),
        "stratum": stratum,
        "threshold": number(stats.threshold),
        "maximum": number(stats.max),
        "examples": [_data(example) for example in found[:count]],
    }
    return ToolResult(text, data, read=count)


def feature_stats(study: Study, feature: Address | None = None) -> ToolResult:
    """Train statistics of the feature: how often and how strongly it is active, and on which tokens.

    Args:
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {}
    """
    number_of = study.id(feature)
    stats, key = study.desk.stats(number_of), study.key(number_of)
    if not stats.active:
        return ToolResult(f"{key} is never active on train.", {"feature": key, "active": 0})
    contexts = study.desk.train.tokens.n_contexts
    lines = [
        f"{key} on train: active on {stats.active:,} tokens ({stats.density:.3%}), fires (above {short(stats.threshold)}) on "
        f"{stats.firing:,} ({stats.firing_density:.3%}) in {stats.firing_contexts:,} of {contexts:,} contexts.",
        f"Activation where active: mean {short(stats.mean)}, maximum {short(stats.max)}, "
        f"deciles {' '.join(short(q) for q in stats.quantiles)}.",
        f"Tokens with the largest mean activation: {_tokens(stats.top_tokens)}.",
    ]
    if stats.sampled:
        lines.append("Only a sample of its activations is stored; these figures are exact all the same.")
    data = {
        "feature": key,
        "active": stats.active,
        "density": number(stats.density),
        "firing": stats.firing,
        "firing_density": number(stats.firing_density),
        "firing_contexts": stats.firing_contexts,
        "threshold": number(stats.threshold),
        "maximum": number(stats.max),
        "mean": number(stats.mean),
        "quantiles": numbers(stats.quantiles),
        "histogram": list(stats.histogram),
        "top_tokens": [[text, number(value)] for text, value in stats.top_tokens],
        "sampled": stats.sampled,
    }
    return ToolResult("\n".join(lines), data)


def neighbours(
    study: Study, by: By = "decoder", n: Annotated[int, Field(ge=1, le=20)] = 6, feature: Address | None = None
) -> ToolResult:
    """The features nearest to the feature, with the tokens each of them is strongest on. A label must tell it from these.

    Args:
        by: The measure. decoder: cosine of the directions; coactivation: Jaccard index of the train tokens on which they fire;
            pmi: pointwise mutual information of firing on train tokens; contexts: Jaccard index of the train contexts.
        n: How many.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"by": "coactivation", "n": 5}
    """
    number_of, desk = study.id(feature), study.desk
    name = desk.train.key(number_of).dictionary
    known = by != "decoder" or len(desk.train.neighbours(number_of)) >= n or desk.machine is None
    found = related(desk.train, number_of, by, n, None if known else desk.machine.dictionary(name))  # type: ignore[union-attr]
    items, rows = [], []
    for near in found.found:
        top = desk.train.top_tokens(desk.train.id(near.feature))[:6]
        counts = "" if near.both is None else f", both on {near.both:,}, it alone on {near.alone:,}"
        items.append(f"{near.feature}: {short(near.value)}{counts}; strongest on {_tokens(top)}")
        rows.append(
            {
                "feature": near.feature,
                "value": number(near.value),
                "both": near.both,
                "alone": near.alone,
                "top_tokens": [[text, number(value)] for text, value in top],
            }
        )
    head = f"{len(rows)} features near {found.feature} by {found.what}{f' ({found.note})' if found.note else ''}:"
    text, count = fitting(head, items, "features")
    return ToolResult(text, {"feature": found.feature, "by": by, "neighbours": rows[:count]})


def _example(example: Example, whole: bool, triggers: set[int]) -> str:
    """A line of facts and a line of text: around the strongest token, or of a silent one around one it often fires on."""
    position = max(range(len(example.values)), key=example.values.__getitem__)
    peak = example.values[position]
    held = next((at for at, i in enumerate(example.context.ids) if i in triggers), None)
    if not peak > 0:
        position = held or 0
    span = (0, len(example.values)) if whole else around(example.values, example.threshold, position)
    where = f"tokens {span[0]}–{span[1] - 1} of {len(example.values)}"
    fires = sum(value > example.threshold for value in example.values)
    weak = sum(0 < value <= example.threshold for value in example.values)
    said = f"peak {short(peak)} at token {position}, fires on {fires}" if peak > 0 else "silent"
    if not peak > 0 and held is not None:
        said += f", also at token {held} {token(example.context.strings[held])}, on which it often fires elsewhere"
    said += f", weak on {weak}" if weak else ""
    text = strip(example.context.strings, example.values, example.threshold, example.scale, span)
    return f"context {example.context.id}, {where}: {said}\n{text}"


def _data(example: Example) -> dict[str, Any]:
    return {
        "context": example.context.id,
        "document": example.context.document,
        "tokens": list(example.context.strings),
        "values": numbers(example.values),
    }


def _tokens(values: tuple[TokenValue, ...]) -> str:
    return " ".join(f"{token(text)} {short(value)}" for text, value in values) or "none"

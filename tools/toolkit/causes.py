"""What of a text fires the feature: the smallest part that still does, what each token is answerable for, and a search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dragoman.store.hashing import seed_of
from dragoman.tools.attribution import Attribution, gradient, integrated_gradients, occlude
from dragoman.tools.minimal import MinimalContext, minimal_set, minimal_suffix
from dragoman.tools.search import Round
from dragoman.tools.search import search_inputs as search

from .declaring import ToolResult
from .editing import ContextId, Place, prompt_of
from .showing import fitting, number, numbers, quoted, short, strip, token
from .study import Address, Study, Text

EFFORT = 20_000
"""Tokens that may be forwarded to try every set of one size."""
LISTED = 12
"""Tokens with scores that are listed."""


def minimal_context(
    study: Study,
    text: Text | None = None,
    context: ContextId | None = None,
    position: Place | None = None,
    others: Literal["cut", "delete", "neutral"] = "cut",
    feature: Address | None = None,
) -> ToolResult:
    """How little of a text still fires the feature at a token: what must be there, and what need not.

    Args:
        text: The text, your own.
        context: Instead of a text: the number of a stored train context.
        position: The token to look at; by default the one at which the feature is strongest.
        others: What becomes of the tokens that are not kept. cut: the shortest run of tokens up to the position; delete: the
            smallest set of tokens, the others deleted; neutral: the same, with a token in the place of each other one on which
            the feature is never active, so that positions stay.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"context": 12, "others": "delete"}
    """
    number_of, desk = study.id(feature), study.desk
    with desk.lock:
        prompt = prompt_of(study, text, context)
        gauge = desk.gauge(number_of)
        before = gauge.tokens
        if others == "cut":
            found = minimal_suffix(gauge, prompt, position)
        else:
            found = minimal_set(gauge, prompt, position, others, effort=EFFORT)
        forwarded = gauge.tokens - before
    least = "the smallest possible" if found.proven else "none smaller was found"
    at = f"token {found.position} {token(found.strings[found.position])}"
    marks = [found.value if i in found.kept else 0.0 for i in range(len(found.strings))]
    lines = [
        f"{found.feature} at {at}: {len(found.kept)} of {len(found.strings)} tokens keep {short(found.kept_value)} of "
        f"{short(found.value)} ({least}; {quoted(found.baseline)}).",
        f"Kept, in double brackets: {strip(found.strings, marks, 0.0, 0.0, _span(found))}",
    ]
    if found.curve:
        lines.append(f"With only the last 1, 2, 3 … tokens: {' '.join(short(value) for value in found.curve[:24])}")
    data = {
        "feature": found.feature,
        "context": context,
        "position": found.position,
        "kept": list(found.kept),
        "tokens": list(found.strings),
        "value": number(found.value),
        "kept_value": number(found.kept_value),
        "proven": found.proven,
        "others": found.baseline,
        "curve": numbers(found.curve),
    }
    return ToolResult("\n".join(lines), data, forwarded=forwarded, read=int(context is not None))


def attribute_tokens(
    study: Study,
    text: Text | None = None,
    context: ContextId | None = None,
    position: Place | None = None,
    method: Literal["replace", "delete", "gradient", "integrated"] = "replace",
    feature: Address | None = None,
) -> ToolResult:
    """Which tokens of a text the feature's activation at one token rests on: a score for each, above zero where it helps.

    Args:
        text: The text, your own.
        context: Instead of a text: the number of a stored train context.
        position: The token to look at; by default the one at which the feature is strongest.
        method: replace: what is lost when the token gives way to one on which the feature is never active; delete: when it
            is deleted; gradient: gradient times embedding; integrated: integrated gradients, which add up. The last two need a
            model.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"context": 12}
    """
    number_of, desk = study.id(feature), study.desk
    with desk.lock:
        prompt = prompt_of(study, text, context)
        gauge = desk.gauge(number_of) if method in ("replace", "delete") else desk.probe(number_of)
        before = gauge.tokens
        if method == "replace" or method == "delete":
            found = occlude(gauge, prompt, position, method)
        else:
            probe = desk.probe(number_of)
            found = gradient(probe, prompt, position) if method == "gradient" else integrated_gradients(probe, prompt, position)
        forwarded = gauge.tokens - before
    head = (
        f"{found.feature}: {found.quantity} {short(found.value)} at token {found.position} "
        f"{token(found.strings[found.position])}. Score: {quoted(found.method)}."
    )
    scored = [entry for entry in found.top(LISTED) if entry[2]]
    items = [f"{at}:{token(string)} {score:+.3g}" for at, string, score in sorted(scored)]
    text_shown, _ = fitting(head, items, "tokens")
    data = {
        "feature": found.feature,
        "context": context,
        "method": found.method,
        "position": found.position,
        "value": number(found.value),
        "quantity": found.quantity,
        "tokens": list(found.strings),
        "scores": _scores(found),
        "gap": number(found.gap),
    }
    return ToolResult(text_shown, data, forwarded=forwarded, read=int(context is not None))


def search_inputs(
    study: Study,
    length: Annotated[int, Field(ge=1, le=16)] = 8,
    effort: Annotated[int, Field(ge=50, le=2_000)] = 600,
    from_nothing: bool = False,
    fluency: Annotated[float, Field(ge=0, le=1)] = 0.0,
    n: Annotated[int, Field(ge=1, le=10)] = 4,
    feature: Address | None = None,
) -> ToolResult:
    """Search for the texts that fire the feature hardest, by evolution and gradients. Texts found this way may be odd.

    Args:
        length: Most tokens of a text.
        effort: Sequences to run; a gradient counts as three.
        from_nothing: Begin with random tokens; otherwise with fragments of the train corpus.
        fluency: What unlikely text costs. 0: the strongest text, however odd; 0.1: one that the model could have read (it needs
            a model).
        n: Texts to show.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"length": 6, "effort": 300}
    """
    number_of, desk = study.id(feature), study.desk
    with desk.lock:
        gauge = desk.gauge(number_of)
        before = gauge.tokens
        seed = seed_of(study.seed, number_of, "search_inputs") % 2**31
        method: Literal["both", "evolution"] = "both" if gauge.has_pre_activations else "evolution"

        def tell(now: Round) -> None:
            study.tell(min(now.forwards, effort), effort, f"best so far {short(now.value)}")

        found = search(gauge, method, from_nothing, min(length, desk.window), effort, seed, n, fluency, tell)
        forwarded = gauge.tokens - before
    head = (
        f"{found.feature} (fires above {short(found.threshold)}, train maximum {short(found.maximum)}): the best of "
        f"{found.forwards:,} sequences ({found.method})."
    )
    items = [
        f"{at + 1}. {short(one.value)}: {strip(one.strip.strings, one.strip.values, found.threshold, found.maximum)}"
        for at, one in enumerate(found.found)
    ]
    if found.core is not None:
        items.append(f"Half of the first one's activation rests on {quoted(found.core)!r} alone.")
    text, _ = fitting(head, items, "texts")
    data: dict[str, Any] = {
        "feature": found.feature,
        "forwards": found.forwards,
        "core": found.core,
        "texts": [{"text": one.text, "value": number(one.value), "ids": list(one.ids)} for one in found.found],
    }
    return ToolResult(text, data, forwarded=forwarded)


def _span(found: MinimalContext) -> tuple[int, int]:
    """The tokens to show: the kept ones with a few before and after them."""
    return max(0, found.kept[0] - 4), min(len(found.strings), found.kept[-1] + 5)


def _scores(found: Attribution) -> list[float | None]:
    return [number(score) for score in found.scores]

"""What the feature does to the model's predictions: it is taken away, turned up, and looked at along the direct path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from dragoman.store.errors import ToolError
from dragoman.store.hashing import seed_of
from dragoman.store.records import TokenValue
from dragoman.tools import interventions
from dragoman.tools.interventions import ALL, Effects, LogitShift, baseline, compare_strengths, measure, random_direction
from dragoman.tools.logits import linear_effects

from .declaring import ToolResult
from .reading import prompts_of
from .showing import fitting, number, quoted, short, token
from .study import Address, Study, Text

Prompts = Annotated[list[Text], Field(min_length=1, max_length=8)]
Watch = Annotated[list[Annotated[str, Field(min_length=1, max_length=60)]], Field(max_length=8)]
Strength = Annotated[float, Field(ge=-64, le=64)]
TOP = 8
"""Vocabulary entries promoted and suppressed that are told."""
STORED = 4
"""Stored contexts that an ablation is measured on where no text is given."""


def ablate(
    study: Study,
    texts: Prompts | None = None,
    to: Literal["zero", "mean"] = "zero",
    watch: Watch | None = None,
    at: Literal["all", "last"] = "all",
    controls: Annotated[int, Field(ge=0, le=16)] = 0,
    feature: Address | None = None,
) -> ToolResult:
    """Take the feature away while the model reads, and see what becomes of its predictions of the next token.

    With controls, as much is taken away in random directions instead: what the feature does and they do not is the feature's.

    Args:
        texts: Texts to measure on; by default the stored train contexts in which the feature is strongest.
        to: What the feature is set to: zero, or its mean over all train tokens.
        watch: Tokens whose probability to report, each a single token; mind leading spaces.
        at: Whether predictions are read after all tokens, or only after the last one of each text.
        controls: How many random directions to take away instead, each with the norm of what the feature writes on each token.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"watch": [" the"]}
    """
    number_of, desk, machine = study.id(feature), study.desk, study.desk.model()
    key = desk.train.key(number_of)
    with desk.lock:
        stored = [] if texts else desk.train.examples(number_of, "top", STORED)
        if not texts and not stored:
            raise ToolError(f"{key} is never active on train: give texts to measure on.")
        rows = [list(p.ids) for p in prompts_of(desk, texts)] if texts else [list(e.context.ids) for e in stored]
        level = baseline(desk.train, [number_of], to, desk.name)
        edit = interventions.ablate(machine.dictionary(key.dictionary), [key.index], level, ALL)
        settings: dict[str, Any] = {"chosen": watch or (), "at": at, "bos": machine.prepend_bos, "top": TOP}
        found = measure(machine.subject, [edit], rows, **settings)
        seeds = [seed_of(study.seed, number_of, "ablate", n) % 2**31 for n in range(controls)]
        random = [measure(machine.subject, [random_direction(edit, seed)], rows, **settings) for seed in seeds]
    head = f"{key} set to {to}: {_summary(found)}"
    worst = sorted(found.per_token, key=lambda e: -e.kl)[:4]
    items = [*_shifts(found)]
    if worst and worst[0].kl > 0:
        moved = ", ".join(f"{short(e.kl)} after {token(e.token)} (text {e.text}, token {e.position})" for e in worst)
        items.append(f"Changed most: KL {moved}.")
    if random:
        items.append(_controlled(random))
    text, _ = fitting(head, items, "lines")
    beside = [{"kl": number(one.kl), "watched": _data(one)["watched"]} for one in random]
    data = {"feature": str(key), "to": to, **_data(found), **({"controls": beside} if controls else {})}
    return ToolResult(text, data, forwarded=2 * (1 + controls) * sum(map(len, rows)), read=len(stored))


def steer(
    study: Study,
    prompts: Prompts,
    strength: Strength = 2.0,
    watch: Watch | None = None,
    feature: Address | None = None,
) -> ToolResult:
    """Turn the feature up (or down) on all tokens of prompts and see which next tokens it makes likelier and less likely.

    Beside it stands a random direction of the same norm: what the feature does and that does not is the feature's.

    Args:
        prompts: Texts; the prediction after the last token of each is measured.
        strength: How much is added, in times the feature's train maximum; negative turns it down.
        watch: Tokens whose probability to report, each a single token; mind leading spaces.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"prompts": ["We went to the", "I think that"], "strength": 2}
    """
    number_of, desk, machine = study.id(feature), study.desk, study.desk.model()
    key = desk.train.key(number_of)
    with desk.lock:
        rows = [list(prompt.ids) for prompt in prompts_of(desk, prompts)]
        maximum = desk.stats(number_of).max
        edit = interventions.steer(machine.dictionary(key.dictionary), [key.index], strength, [maximum], ALL)
        settings: dict[str, Any] = {"at": "last", "bos": machine.prepend_bos, "top": TOP}
        found = measure(machine.subject, [edit], rows, chosen=watch or (), **settings)
        control = random_direction(edit, seed_of(study.seed, number_of, "steer") % 2**31)
        random = measure(machine.subject, [control], rows, chosen=watch or (), **settings)
    head = f"{key} with {strength:g} times its train maximum added: {_summary(found)}"
    items = [
        *_shifts(found),
        f"A random direction of the same norm: KL {short(random.kl)}; it promotes {_list(random.promoted)}.",
    ]
    text, _ = fitting(head, items, "lines")
    data = {"feature": str(key), "strength": number(strength), **_data(found), "control": _data(random)}
    return ToolResult(text, data, forwarded=4 * sum(map(len, rows)))


def generate_steered(
    study: Study,
    prompts: Annotated[list[Text], Field(min_length=1, max_length=4)],
    strengths: Annotated[list[Strength], Field(min_length=1, max_length=4)],
    tokens: Annotated[int, Field(ge=1, le=60)] = 20,
    feature: Address | None = None,
) -> ToolResult:
    """Let the model write on from prompts while the feature is turned up, beside its unsteered text and a random direction.

    Args:
        prompts: Texts to go on from.
        strengths: How much is added, in times the feature's train maximum, for example 1, 2 and 4.
        tokens: Tokens to write.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {"prompts": ["In the park we saw"], "strengths": [2, 4]}
    """
    number_of, desk, machine = study.id(feature), study.desk, study.desk.model()
    key = desk.train.key(number_of)
    with desk.lock:
        rows = prompts_of(desk, prompts)
        maximum = desk.stats(number_of).max
        edit = interventions.steer(machine.dictionary(key.dictionary), [key.index], 1.0, [maximum], ALL)
        found = compare_strengths(
            machine.subject,
            edit,
            [list(prompt.ids) for prompt in rows],
            list(dict.fromkeys(strengths)),
            tokens=tokens,
            seed=seed_of(study.seed, number_of, "generate_steered") % 2**31,
            bos=machine.prepend_bos,
        )
    runs = len(found.continuations) // len(rows)
    items, said = [], []
    for at, one in enumerate(found.continuations):
        prompt = rows[at // runs].text
        how = "unsteered" if one.direction == "none" else f"{one.direction} × {one.strength:g}"
        surprise = "" if one.surprise is None else f" (surprise {short(one.surprise)})"
        lead = f"After <text>{quoted(prompt)}</text>:\n" if at % runs == 0 else ""
        items.append(f"{lead}{how}{surprise}: <text>{quoted(one.text, 400)}</text>")
        said.append(
            {
                "prompt": prompt,
                "direction": one.direction,
                "strength": number(one.strength),
                "text": one.text,
                "surprise": number(one.surprise),
            }
        )
    head = f"{key}: what the model writes. Surprise is its own loss on the text in nats a token: high where a steer broke it."
    text, count = fitting(head, items, "continuations")
    forwarded = 2 * runs * sum(len(prompt) + tokens for prompt in rows)
    return ToolResult(text, {"feature": str(key), "continuations": said[:count]}, forwarded=forwarded)


def logit_effects(study: Study, watch: Watch | None = None, feature: Address | None = None) -> ToolResult:
    """The tokens that the feature's direction promotes and suppresses along the direct path to the output.

    A linear effect, the same in every prompt: not what happens in one. To measure that, steer.

    Args:
        watch: Tokens whose effect to report as well, each a single token; needs a model.
        feature: The feature as DICT/INDEX; by default the one under study.

    Example:
        {}
    """
    number_of, desk = study.id(feature), study.desk
    key = desk.train.key(number_of)
    promoted, suppressed = desk.train.promoted(number_of), desk.train.suppressed(number_of)
    chosen: tuple[TokenValue, ...] = ()
    if watch:
        machine = desk.model()
        with desk.lock:
            chosen = linear_effects(machine.subject, machine.dictionary(key.dictionary), key.index, chosen=watch).chosen
    if not promoted and desk.machine is None:
        desk.model()
    if not promoted:
        raise ToolError(f"{key} does not write to the residual stream, so it has no linear effect: steer it instead.")
    lines = [
        f"{key}, linear effect on the logits of one unit of activation:",
        f"promotes {_values(promoted)}",
        f"suppresses {_values(suppressed)}",
    ]
    if chosen:
        lines.append(f"watched {_values(chosen)}")
    sides = {"promoted": promoted, "suppressed": suppressed, "watched": chosen}
    data = {name: [[text, number(value)] for text, value in side] for name, side in sides.items()}
    return ToolResult("\n".join(lines), {"feature": str(key), **data})


def _summary(found: Effects) -> str:
    change = "" if found.loss_change is None else f"; loss {short(found.loss_before or 0)} → {short(found.loss_after or 0)} nats"
    over = f"{found.tokens} token{'s' * (found.tokens != 1)} of {found.texts} text{'s' * (found.texts != 1)}"
    return f"mean KL {short(found.kl)} nats over {over}, largest {short(found.kl_max)}{change}."


def _controlled(random: Sequence[Effects]) -> str:
    """What random directions did in the feature's place: the range of the effects."""
    kl = [one.kl for one in random]
    said = f"{len(random)} random directions of the same norm: KL {short(min(kl))}–{short(max(kl))}"
    for at, watched in enumerate(random[0].chosen):
        after = [one.chosen[at].after for one in random]
        said += f"; {token(watched.token)} p {short(watched.before)} → {short(min(after))}–{short(max(after))}"
    return said + "."


def _shifts(found: Effects) -> list[str]:
    lines = [f"Promotes {_list(found.promoted)}.", f"Suppresses {_list(found.suppressed)}."]
    over = "" if found.tokens == 1 else f" (means over the {found.tokens} tokens)"
    return lines + ([f"Watched{over}: {_list(found.chosen)}."] if found.chosen else [])


def _list(shifts: tuple[LogitShift, ...]) -> str:
    """Vocabulary entries with the change of their logit and their mean probabilities."""
    said = [f"{token(s.token)} {s.shift:+.2f} (p {short(s.before)} → {short(s.after)})" for s in shifts]
    return ", ".join(said) or "nothing"


def _values(values: tuple[TokenValue, ...]) -> str:
    return " ".join(f"{token(text)} {value:+.3g}" for text, value in values)


def _data(found: Effects) -> dict[str, Any]:
    def rows(shifts: tuple[LogitShift, ...]) -> list[dict[str, Any]]:
        return [
            {"token": s.token, "id": s.id, "shift": number(s.shift), "before": number(s.before), "after": number(s.after)}
            for s in shifts
        ]

    return {
        "texts": found.texts,
        "tokens": found.tokens,
        "kl": number(found.kl),
        "kl_max": number(found.kl_max),
        "loss_change": number(found.loss_change),
        "promoted": rows(found.promoted),
        "suppressed": rows(found.suppressed),
        "watched": rows(found.chosen),
    }

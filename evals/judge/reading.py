"""Replies of a model turned into answers. Pure functions; what cannot be read has no value and says why.

From log-probabilities the answer is a probability: p(yes) / (p(yes) + p(no)) at the first token of the reply, forms that differ
by case and by a leading space summed. A candidate that is not among the alternatives a server tells is never taken for
impossible: no token left out is likelier than the least likely one told, and where that bound leaves the answer open by more
than `OPEN`, there is no answer and the caller samples instead. Shares of samples are drawn towards even odds as the centre of
Wilson's interval at z = 2 is (Wilson 1927; Agresti and Coull 1998): (yes + 2) / (n + 4).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dragoman.evals.gateway.calls import Reply, TokenChance

from .reader import LETTERS, Answer, Chosen, Simulated, Written

LEAST = 0.01
"""So much of the first token's probability must lie on the candidates together."""
OPEN = 0.02
"""How far a probability may be left open by candidates that the server did not tell."""
FORMS = 4
"""Ways to write a candidate, of which any may be among the tokens that were not told."""
PRIOR = 4
"""Samples' worth of even odds that shares of samples are mixed with."""
DIGITS = "0123456789"
"""Activations in a listing: one token each in every tokenizer that matters, which 10 is not."""
TOP = len(DIGITS) - 1
"""The digit that means a feature's largest activation."""


_YES_NO = {"yes": ("yes",), "no": ("no",)}
_AROUND = " \t\n\"'*ĠĊ▁"
_NAME = re.compile(r"\W*([A-Z])\W*")


def refusal(reply: Reply) -> str | None:
    """Why nothing at all can be read, or None."""
    if any(end in ("refusal", "content_filter") for end in reply.finish):
        return "the judge refused"
    if not any(text.strip() for text in reply.texts):
        return "the reply is empty"
    return None


def probability(reply: Reply) -> Answer:
    """Probability of yes from the log-probabilities of the first token; no value where they do not tell."""
    shares = _shares(_first(reply), _YES_NO)
    return Answer(None, unscored=shares) if isinstance(shares, str) else Answer(shares[0], "log-probabilities")


def packed(reply: Reply, letters: Sequence[str]) -> list[Answer]:
    """Probability of yes for each of the texts of these letters, from the log-probabilities where its line says Yes or No.

    A line is a letter, what is no letter, and the answer; whatever else is said is passed over. A text has no value where it has
    no line, or two.
    """
    refused = refusal(reply)
    if refused or not reply.logprobs:
        return [Answer(None, unscored=refused or "the server told no log-probabilities")] * len(letters)
    found: dict[str, Answer] = {}
    before = ""
    for place in reply.logprobs:
        token = place[0].token if place else ""
        name = _NAME.fullmatch(before.rpartition("\n")[2])
        if name is None or token.strip(_AROUND).casefold() not in ("yes", "no"):
            before += token
            continue
        shares, before = _shares(place, _YES_NO), ""
        if name[1] in found:
            found[name[1]] = Answer(None, unscored="the text has two answers")
        elif isinstance(shares, str):
            found[name[1]] = Answer(None, unscored=shares)
        else:
            found[name[1]] = Answer(shares[0], "log-probabilities", place=LETTERS.index(name[1]) + 1)
    return [found.get(name, Answer(None, unscored="the text has no answer")) for name in letters]


def letter(reply: Reply, letters: str) -> Chosen:
    """Probability of each option from the log-probabilities of the first token; no value where they do not tell."""
    shares = _shares(_first(reply), {one: (one.casefold(),) for one in letters}, upper=True)
    return Chosen(None, unscored=shares) if isinstance(shares, str) else Chosen(tuple(shares), "log-probabilities")


def share(replies: Sequence[Reply]) -> Answer:
    """Probability of yes as the share of samples that say so, (yes + 2) / (n + 4); at least half must say yes or no."""
    votes = _votes(replies, ("yes", "no"))
    return Answer(None, unscored=votes) if isinstance(votes, str) else Answer(votes[0], "sampled")


def letter_share(replies: Sequence[Reply], letters: str) -> Chosen:
    """Probability of each option as the share of samples that name it, mixed with even odds; at least half must name one."""
    votes = _votes(replies, tuple(letters))
    return Chosen(None, unscored=votes) if isinstance(votes, str) else Chosen(tuple(votes), "sampled")


def percent(reply: Reply) -> Answer:
    """Probability of yes from `{"yes": 0 to 100}`."""
    found = _json(reply)
    if isinstance(found, str):
        return Answer(None, unscored=found)
    value = _number(found.get("yes"), 100)
    return Answer(None, unscored="no number from 0 to 100 under yes") if value is None else Answer(value / 100, "schema")


def percents(reply: Reply, letters: str) -> Chosen:
    """Probability of each option from `{"A": 0 to 100, …}`, made to sum to 1."""
    found = _json(reply)
    if isinstance(found, str):
        return Chosen(None, unscored=found)
    values = [_number(found.get(one), 100) for one in letters]
    told = [value for value in values if value is not None]
    if len(told) < len(letters):
        return Chosen(None, unscored=f"no number from 0 to 100 for {len(letters) - len(told)} of {len(letters)} options")
    if not sum(told):
        return Chosen(None, unscored="all options got 0")
    return Chosen(tuple(value / sum(told) for value in told), "schema")


def slots(reply: Reply, lengths: Sequence[int], skip: int) -> list[Simulated]:
    """Activations of several listed texts from the log-probabilities of the prompt, all tokens at once.

    lengths: tokens of each text. skip: slots before the first text's. A slot is what follows a tab. At each the log-probabilities
    of the digits are renormalised over those that are told, and the expected digit / 9 is the activation. Source of the method:
    Bills et al., Language models can explain neurons in language models (2023), there with 0 to 10. A text with a slot at which
    no digit is told has no value.
    """
    told = reply.prompt_logprobs
    if told is None:
        return [Simulated(None, unscored="the server told no log-probabilities of the prompt")] * len(lengths)
    own = [next(iter(alternatives), "") for alternatives in told]
    places = [i for i in range(1, len(own)) if own[i - 1].endswith("\t")]
    if len(places) != skip + sum(lengths):
        reason = f"the server's tokens do not line up with the list: {len(places) - skip} slots for {sum(lengths)} tokens"
        return [Simulated(None, unscored=reason)] * len(lengths)
    results, at = [], skip
    for length in lengths:
        values = [expected(told[place]) for place in places[at : at + length]]
        known = tuple(value for value in values if value is not None)
        if len(known) == length:
            results.append(Simulated(known, "log-probabilities"))
        else:
            results.append(
                Simulated(None, unscored=f"no digit among the alternatives at {length - len(known)} of {length} tokens")
            )
        at += length
    return results


def expected(alternatives: Mapping[str, float]) -> float | None:
    """Expected digit over the digits among these log-probabilities, as a share of 9; None where there is no digit."""
    logs = [(int(token.strip()), log) for token, log in alternatives.items() if _digit(token)]
    if not logs:
        return None
    most = max(log for _, log in logs)
    weights = [math.exp(log - most) for _, log in logs]
    return sum(w * digit for w, (digit, _) in zip(weights, logs, strict=True)) / sum(weights) / TOP


def active(reply: Reply, length: int) -> Simulated:
    """Activations from `{"active": [{"line": 1 to length, "value": 0 to 9}]}`; lines not named are 0, as was asked for."""
    found = _json(reply)
    if isinstance(found, str):
        return Simulated(None, unscored=found)
    named = found.get("active")
    if not isinstance(named, list):
        return Simulated(None, unscored="no list under active")
    values = [0.0] * length
    seen = set()
    for item in named:
        place = item.get("line") if isinstance(item, dict) else None
        value = _number(item.get("value"), TOP) if isinstance(item, dict) else None
        if not isinstance(place, int) or isinstance(place, bool) or value is None:
            return Simulated(None, unscored="an item without a line and a value from 0 to 9")
        if not 1 <= place <= length:
            return Simulated(None, unscored=f"line {place} of a text of {length} tokens")
        if place in seen:
            return Simulated(None, unscored=f"line {place} is named twice")
        seen.add(place)
        values[place - 1] = value / TOP
    return Simulated(tuple(values), "schema")


def texts(reply: Reply, n: int) -> Written:
    """At most n texts from `{"texts": [...]}`, empty ones and repetitions left out."""
    found = _json(reply)
    if isinstance(found, str):
        return Written((), unscored=found)
    written = found.get("texts")
    if not isinstance(written, list) or not all(isinstance(text, str) for text in written):
        return Written((), unscored="no list of texts under texts")
    kept = tuple(dict.fromkeys(text for text in written if text.strip()))[:n]
    return Written(kept) if kept else Written((), unscored="no text was written")


def _first(reply: Reply) -> tuple[TokenChance, ...]:
    """The alternatives at the first token; none where the server told none."""
    return reply.logprobs[0] if reply.logprobs else ()


def _shares(told: Sequence[TokenChance], candidates: Mapping[str, Collection[str]], upper: bool = False) -> list[float] | str:
    """Each candidate's share of the probability that the candidates have together at a token, or why there is none."""
    if not told:
        return "the server told no log-probabilities"
    found = dict.fromkeys(candidates, 0.0)
    for token, log in told:
        word = token.strip(_AROUND)
        for name, forms in candidates.items():
            if word.casefold() in forms and (word.isupper() or not upper):
                found[name] += math.exp(log)
    total = sum(found.values())
    names = " and ".join(found) if len(found) == 2 else "the options"
    if total < LEAST:
        return f"the first token is neither of {names}" if len(found) == 2 else "the first token is none of the options"
    missing = [name for name, chance in found.items() if chance == 0]
    most = FORMS * min(math.exp(log) for _, log in told)
    if missing and len(missing) * most / (total + len(missing) * most) > OPEN:
        return f"{len(missing)} of {len(found)} candidates are not among the alternatives told"
    found.update(dict.fromkeys(missing, most / 2))
    whole = sum(found.values())
    return [chance / whole for chance in found.values()]


def _votes(replies: Sequence[Reply], candidates: tuple[str, ...]) -> list[float] | str:
    """Each candidate's share of the samples, mixed with even odds, or why there is none."""
    samples = [(text, end) for reply in replies for text, end in zip(reply.texts, reply.finish, strict=True)]
    forms = {name: re.compile(rf"\W*{name}\b", re.IGNORECASE if len(name) > 1 else 0) for name in candidates}
    counts = Counter(name for text, _ in samples for name, form in forms.items() if form.match(text))
    read = sum(counts.values())
    if not samples or 2 * read < len(samples):
        reasons = {refusal(reply) for reply in replies}
        common = reasons.pop() if len(reasons) == 1 else None
        return common or f"{len(samples) - read} of {len(samples)} samples name no candidate"
    even = PRIOR / len(candidates)
    return [(counts[name] + even) / (read + PRIOR) for name in candidates]


def _json(reply: Reply) -> dict[str, Any] | str:
    """The JSON object in a reply, or why there is none."""
    refused = refusal(reply)
    if refused:
        return refused
    text = reply.texts[0]
    if reply.finish[0] == "length":
        return "the reply was cut off at its longest"
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return "broken JSON"
    return found if isinstance(found, dict) else "broken JSON"


def _number(value: object, most: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return float(value)


def _digit(token: str) -> bool:
    core = token.strip()
    return len(core) == 1 and core in DIGITS

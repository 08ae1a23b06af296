"""The judge that is a language model: questions in words, answers as probabilities.

How an answer is read is chosen by what the server can do: log-probabilities where it tells them, else JSON that satisfies a
schema, else samples. Where log-probabilities leave an answer open, that question is asked again by sampling. Every question
stands for itself: one that cannot be read leaves the others as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal, NamedTuple, Protocol

from dragoman.evals.gateway.calls import Place, Reply, Request, Unanswered
from dragoman.evals.gateway.models import Model
from dragoman.store.fence import line

from . import packing, prompting, reading
from .concurrency import together
from .cutting import Piece, around, estimate, pieces
from .prompting import Chat
from .reader import LETTERS, Answer, Chosen, Marked, Passage, Simulated, Step, Written

SAMPLES = 10
"""Samples of a question that is read by sampling."""
ALTERNATIVES = 20
"""Log-probabilities asked for at a token; vLLM and OpenAI tell no more."""
PACK = 4000
"""Several texts stand in one request up to about so many tokens."""
WRITTEN = 96
"""Tokens of a written text, at most."""
SPARE = 32
"""Tokens of a model's context that are left free for its chat template."""
JSON = 64
"""Tokens of a short JSON reply, at most."""

LINE = 2
"""Tokens that a line has beyond what its bytes let expect: its number, a tab, its end."""
EXCERPT = 8
"""Room for the excerpt around a highlighted token, in times the token itself."""

_PERCENT = {"type": "integer", "minimum": 0, "maximum": 100}
_DIGITS = tuple(space + digit for digit in reading.DIGITS for space in ("", " "))


class Asks(Protocol):
    """What a reader needs of a gateway."""

    async def ask(self, model: Model, request: Request, place: Place) -> Reply:
        """The reply to one request. Raises Unanswered or UserError."""
        ...


class _Sheet(NamedTuple):
    """A request about several texts."""

    chat: Chat
    """What is said."""
    asked: dict[str, int]
    """By letter, the numbers of the questions that are answered."""


class ModelReader:
    """Asks a language model through a gateway."""

    def __init__(self, gateway: Asks, model: Model, samples: int = SAMPLES, texts: int = 1) -> None:
        """`model` has been checked; `samples`: of a question that is read by sampling; `texts`: at most so many are asked about
        together in detection and fuzzing, 1 to 26, where the server tells log-probabilities.
        """
        self.name = model.name
        """Recorded with every score."""
        self.gateway = gateway
        self.model = model
        self.samples = samples
        self.texts = texts
        """Texts in a question of detection and fuzzing; 1 from when a reply about several turned out to have no answers."""
        self.tells = model.capabilities.logprobs > 0
        """Whether the server tells log-probabilities; found out where it should and does not."""
        self._sure = model.enforces_schemas
        self._finding_out = asyncio.Lock()

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """Probability that a feature so described fires anywhere in each text.

        Several texts a request where the reader was made so; one that is left open is asked about alone. A text longer than the
        model's context is asked about in pieces, and the likeliest piece counts.
        """
        sheets = [
            _Sheet(prompting.packed(claim, [passages[i] for i in pack]), dict(zip(LETTERS, pack, strict=False)))
            for pack in self._packs(claim, passages, step)
            if len(pack) > 1
        ]
        found = await self._several(len(passages), sheets, step)
        left = [i for i, answer in enumerate(found) if answer is None]
        alone = dict(zip(left, await self._detect(claim, [passages[i] for i in left], step), strict=True))
        return [answer or alone[i] for i, answer in enumerate(found)]

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """Probability that the highlighted tokens are the ones on which a feature so described fires.

        Several texts a request, in the packs of detection if `among` are the texts asked about there, but never one text with two
        highlightings. Of a text longer than the model's context a window around the highlights is shown.
        """
        among = among or list({item.passage.strings: item.passage for item in marked}.values())
        found = await self._several(len(marked), self._sheets(claim, marked, among, step), step)
        left = [i for i, answer in enumerate(found) if answer is None]
        alone = dict(zip(left, await together(self._fuzz(claim, marked[i], step, i) for i in left), strict=True))
        return [answer or alone[i] for i, answer in enumerate(found)]

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """How active a feature so described is on every token.

        All tokens at once, several texts a request, where the server tells log-probabilities of a prompt; else one text a
        request, as JSON. A text that the first way leaves open is asked about in the second way.
        """
        can = self.model.capabilities
        if not (can.prompt_logprobs and can.completions):
            return await together(self._simulate_chat(claim, passage, step, i) for i, passage in enumerate(passages))
        results = await self._simulate_listed(claim, passages, step)
        again = [i for i, result in enumerate(results) if result.values is None]
        second = await together(self._simulate_chat(claim, passages[i], step, i) for i in again)
        for i, result in zip(again, second, strict=True):
            first = results[i]
            lost = Simulated(None, unscored=f"{first.unscored}; in words: {result.unscored}")
            results[i] = lost if result.values is None else result
        return results

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """Which option belongs to the claim. All options must fit into the model's context together."""
        can, letters = self.model.capabilities, LETTERS[: len(options)]
        if len(options) > len(LETTERS):
            return Chosen(None, unscored=f"{len(options)} options; there are {len(LETTERS)} letters")

        chat = partial(prompting.choice, claim, task, options)
        try:
            told = await self._first_token(chat(prompting.LETTER), step, 0)
            if told is not None:
                found = reading.letter(told, letters)
                if found.probabilities is not None:
                    return found
            if can.schema and not self.tells:
                schema = _object(dict.fromkeys(letters, _PERCENT))
                request = Request(chat(prompting.PERCENTS), max_tokens=JSON + 8 * len(letters), schema=schema)
                return reading.percents(await self._ask(request, step, 0, "/schema"), letters)
            return reading.letter_share(await self._samples(chat(prompting.LETTER), tuple(letters), step, 0), letters)
        except Unanswered as reason:
            return Chosen(None, unscored=str(reason))

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """Texts on which a feature so described fires, or texts near to those on which it does not."""
        listed = {"type": "array", "items": {"type": "string"}, "minItems": n, "maxItems": n}
        chat = prompting.writing(claim, fires, n)
        request = Request(
            chat,
            max_tokens=self._longest(chat, WRITTEN * n + JSON),
            temperature=1.0,
            seed=self._seed(0),
            schema=_object({"texts": listed}) if self.model.capabilities.schema else None,
        )
        try:
            return reading.texts(await self._ask(request, step, 0), n)
        except Unanswered as reason:
            return Written((), unscored=str(reason))

    def _packs(self, claim: str, passages: Sequence[Passage], step: Step) -> list[list[int]]:
        """Which texts are asked about together; none where texts are asked about one by one."""
        if self.texts < 2 or not self.tells or not passages:
            return []
        left = self._room(prompting.packed(claim, passages[:1]), packing.LINE * self.texts)
        room = PACK if left is None else max(1, min(PACK, left))
        costs = [estimate(prompting.shown(passage)) + LINE for passage in passages]
        return packing.deal(costs, self.texts, room, step.feature)

    def _sheets(self, claim: str, marked: Sequence[Marked], among: Sequence[Passage], step: Step) -> list[_Sheet]:
        """The questions of fuzzing about packs of texts; what is in none of them has to be asked about alone."""
        packs = self._packs(claim, among, step)
        places = {
            among[i].strings: (number, letter)
            for number, pack in enumerate(packs)
            for letter, i in zip(LETTERS, pack, strict=False)
        }
        sheets = []
        for once in packing.rounds([item.passage.strings for item in marked], step.feature):
            here: list[dict[str, int]] = [{} for _ in packs]
            for i in once:
                if marked[i].passage.strings in places:
                    number, letter = places[marked[i].passage.strings]
                    here[number][letter] = i
            for pack, at in zip(packs, here, strict=True):
                asked = {letter: at[letter] for letter in sorted(at)}
                parts = {letter: marked[i] for letter, i in asked.items()}
                chat = prompting.packed(claim, [among[i] for i in pack], parts)
                room = self._room(chat, packing.LINE * len(asked))
                if asked and (room is None or room >= 0):
                    sheets.append(_Sheet(chat, asked))
        return sheets

    async def _several(self, n: int, sheets: Sequence[_Sheet], step: Step) -> list[Answer | None]:
        """Answers to n questions of which several stand in one request; None for one that has to be asked alone."""
        found: list[Answer | None] = [None] * n
        replies = await together(self._sheet(sheet, step, number) for number, sheet in enumerate(sheets))
        for sheet, answers in zip(sheets, replies, strict=True):
            for i, answer in zip(sheet.asked.values(), answers, strict=True):
                found[i] = None if answer.value is None else answer
        if sheets and all(answer is None for answer in found):
            self.texts = 1
        return found

    async def _sheet(self, sheet: _Sheet, step: Step, ordinal: int) -> list[Answer]:
        top = min(ALTERNATIVES, self.model.capabilities.logprobs)
        letters = tuple(sheet.asked)
        request = Request(sheet.chat, max_tokens=packing.LINE * len(letters), top_logprobs=top, pattern=packing.form(letters))
        try:
            reply = await self._told(request, step, ordinal, "/packed")
        except Unanswered as reason:
            return [Answer(None, unscored=str(reason))] * len(letters)
        return reading.packed(reply, letters) if reply else [Answer(None, unscored="no log-probabilities")] * len(letters)

    async def _detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        room = self._room(prompting.detection(claim, Passage(())), 1)
        cuts = [_cut(passage, room) for passage in passages]
        parts = [part for cut in cuts if cut for part in cut]
        asked = iter(
            await together(
                self._yes_or_no(partial(prompting.detection, claim, part), step, ordinal) for ordinal, part in enumerate(parts)
            )
        )
        return [_likeliest([next(asked) for _ in cut]) if cut else Answer(None, unscored=self._too_long()) for cut in cuts]

    async def _fuzz(self, claim: str, marked: Marked, step: Step, ordinal: int) -> Answer:
        room = self._room(prompting.fuzzing(claim, Marked(Passage(()), ())), 1)
        if room is not None:
            strings, at = marked.passage.strings, marked.highlights
            window = around(strings, at, room - sum(EXCERPT * estimate(strings[i]) for i in at), estimate)
            if window is None:
                return Answer(None, unscored=self._too_long())
            marked = Marked(Passage(strings[slice(*window)]), tuple(i - window[0] for i in at))
        return await self._yes_or_no(partial(prompting.fuzzing, claim, marked), step, ordinal)

    async def _yes_or_no(self, question: Callable[[str], Chat], step: Step, ordinal: int) -> Answer:
        """`question`: from the form of the answer to the chat."""
        can = self.model.capabilities
        try:
            told = await self._first_token(question(prompting.YES_NO), step, ordinal)
            if told is not None:
                found = reading.probability(told)
                if found.value is not None:
                    return found
            if can.schema and not self.tells:
                request = Request(question(prompting.PERCENT), max_tokens=JSON, schema=_object({"yes": _PERCENT}))
                return reading.percent(await self._ask(request, step, ordinal, "/schema"))
            return reading.share(await self._samples(question(prompting.YES_NO), ("Yes", "No"), step, ordinal))
        except Unanswered as reason:
            return Answer(None, unscored=str(reason))

    async def _simulate_listed(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """Texts packed into requests; one that has to be cut is put together again."""
        overhead = estimate(prompting.listing(claim, []))
        room = max(1, min(PACK, (self.model.context or PACK + overhead + SPARE) - overhead - SPARE))
        cuts = [pieces(passage.strings, room, _slot_cost) for passage in passages]
        parts = [(i, piece) for i, cut in enumerate(cuts) for piece in cut or ()]
        shown = [Passage(passages[i].strings[piece.shown : piece.end]) for i, piece in parts]
        packs = _packs([sum(map(_slot_cost, text.strings)) for text in shown], room)
        replies = await together(self._listed(claim, shown[pack], step, ordinal) for ordinal, pack in enumerate(packs))
        results = [Simulated(None, unscored=self._too_long()) if cut is None else None for cut in cuts]
        for (i, piece), found in zip(parts, chain.from_iterable(replies), strict=True):
            results[i] = _joined(results[i], found, piece)
        return [result or Simulated((), "log-probabilities") for result in results]

    async def _listed(self, claim: str, texts: Sequence[Passage], step: Step, ordinal: int) -> list[Simulated]:
        top = min(ALTERNATIVES, self.model.capabilities.prompt_logprobs)
        prompt = prompting.listing(claim, texts)
        request = Request(prompt=prompt, max_tokens=0, prompt_logprobs=top, keep=_DIGITS)
        try:
            reply = await self._ask(request, step, ordinal)
        except Unanswered as reason:
            return [Simulated(None, unscored=str(reason))] * len(texts)
        return reading.slots(reply, [len(text.strings) for text in texts], len(prompting.EXAMPLE))

    async def _simulate_chat(self, claim: str, passage: Passage, step: Step, ordinal: int) -> Simulated:
        named = _object({"line": {"type": "integer"}, "value": {"type": "integer"}})
        chat = prompting.simulation(claim, passage)
        request = Request(
            chat,
            max_tokens=self._longest(chat, 16 * len(passage.strings) + JSON),
            schema=_object({"active": {"type": "array", "items": named}}) if self.model.capabilities.schema else None,
        )
        try:
            reply = await self._ask(request, step, ordinal, "/words")
        except Unanswered as reason:
            return Simulated(None, unscored=str(reason))
        return reading.active(reply, len(passage.strings))

    async def _first_token(self, chat: Chat, step: Step, ordinal: int) -> Reply | None:
        """One token, with its alternatives; None where the server does not tell them."""
        top = min(ALTERNATIVES, self.model.capabilities.logprobs)
        return await self._told(Request(chat, max_tokens=1, top_logprobs=top), step, ordinal)

    async def _told(self, request: Request, step: Step, ordinal: int, part: str = "") -> Reply | None:
        """A reply with log-probabilities; None where the server does not tell them.

        Of a server that is merely compatible nobody knows: one question goes first, so that not all are asked twice.
        """
        if self.tells and not self._sure:
            async with self._finding_out:
                if self.tells and not self._sure:
                    reply = await self._ask(request, step, ordinal, part)
                    self.tells, self._sure = bool(reply.logprobs), True
                    return reply
        if not self.tells:
            return None
        reply = await self._ask(request, step, ordinal, part)
        self.tells = self.tells and bool(reply.logprobs)
        return reply

    async def _samples(self, chat: Chat, choices: tuple[str, ...], step: Step, ordinal: int) -> list[Reply]:
        """`samples` replies at temperature 1, in one call where the server can."""
        can = self.model.capabilities
        calls, n = (1, self.samples) if can.n else (self.samples, 1)
        allowed = choices if can.choices else ()
        requests = [Request(chat, max_tokens=8, temperature=1.0, seed=self._seed(i), n=n, choices=allowed) for i in range(calls)]
        return await together(self._ask(request, step, ordinal * calls + i, "/sampled") for i, request in enumerate(requests))

    def _seed(self, number: int) -> int | None:
        """None for vLLM: on a CPU its engine dies of a seeded request whose prompt it reads in two steps (0.32)."""
        return None if self.model.kind == "vllm" else number

    async def _ask(self, request: Request, step: Step, ordinal: int, part: str = "") -> Reply:
        return await self.gateway.ask(self.model, request, Place(step.feature, step.name + part, ordinal))

    def _room(self, bare: Chat, reply: int) -> int | None:
        """Tokens of the context that are left beside a question without its text; None where the context is not known."""
        if self.model.context is None:
            return None
        return self.model.context - sum(estimate(message.content) for message in bare) - reply - SPARE

    def _longest(self, chat: Chat, wanted: int) -> int:
        """Tokens of a reply: as many as wanted, or as the context leaves, but never fewer than a short reply takes."""
        room = self._room(chat, 0)
        if room is None:
            return wanted
        short_lines = sum(LINE * message.content.count("\n") for message in chat)
        return min(wanted, max(JSON, room - short_lines))

    def _too_long(self) -> str:
        return f"the question does not fit into the judge's context of {self.model.context} tokens"


def _cut(passage: Passage, room: int | None) -> list[Passage] | None:
    """The passage in pieces that fit; None where that cannot be."""
    if room is None:
        return [passage]
    cut = pieces(passage.strings, room, estimate)
    return None if cut is None else [Passage(passage.strings[piece.shown : piece.end]) for piece in cut]


def _likeliest(answers: Sequence[Answer]) -> Answer:
    """The piece most likely to hold a firing token; without a value where a piece has none."""
    lost = next((answer for answer in answers if answer.value is None), None)
    return lost or max(answers, key=lambda answer: answer.value or 0.0)


def _slot_cost(token: str) -> int:
    """About how many tokens a line of a listing has: the token, the tab, the slot and the line's end."""
    return estimate(line(token)) + 3


def _packs(costs: Sequence[int], room: int) -> list[slice]:
    """Neighbours put together as long as they fit into `room`."""
    packs: list[slice] = []
    begin = spent = 0
    for i, cost in enumerate(costs):
        if i > begin and spent + cost > room:
            packs.append(slice(begin, i))
            begin, spent = i, 0
        spent += cost
    return [*packs, slice(begin, len(costs))] if costs else []


def _joined(before: Simulated | None, found: Simulated, piece: Piece) -> Simulated:
    """A passage's values so far and those of its next piece; without values where one piece has none."""
    if before is not None and before.values is None:
        return before
    if found.values is None:
        return found
    so_far = before.values if before is not None and before.values else ()
    return Simulated(so_far + found.values[piece.first - piece.shown :], found.way)


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with exactly these properties."""
    return {"type": "object", "properties": dict(properties), "required": list(properties), "additionalProperties": False}

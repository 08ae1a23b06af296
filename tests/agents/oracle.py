"""A scripted researcher that knows the generator's truth, and is as hasty and as honest as a researcher may be.

1. One shot: its first impression, which is wrong. Of half of the features the tokens that fire hardest in the examples it is
   shown, one for every four examples; of the others the whole kind of text.
2. Several hypotheses: the first impression, a concept that is easily taken for the true one, for every other pair of features
   the truth, and the other impression.
3. Tests: texts that the generator made and no store holds, with and without the concept, the same word in both. Half of a batch
   are those on which the hypotheses differ most, the others are taken in turn, so that what they agree on is tested too. The
   truth predicts what the generator's annotation says, a false hypothesis what its rule says.
4. Revision: what two results contradict is dropped; the truth is said once everything that is left is contradicted, by a result
   or by a rule that matches train badly.
5. Debate: inputs on which the two labels differ. What is not the truth is amended to it once a prediction failed, and conceded
   where it is behind; the truth is kept.

The truth's rule is induced from the concept's own tokens, never from a feature's activations.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from dragoman.evals.organism.concepts import ANCESTORS, CONCEPTS
from dragoman.evals.organism.document import Document
from dragoman.store.features import Store
from dragoman.store.fence import fenced, line, unline
from dragoman.tools.patterns import PatternText, Usage, parse
from dragoman.tools.patterns.language import quotes
from dragoman.tools.patterns.loose import LooseTexts
from dragoman.tools.prompt import Prompt, Speaker
from tests.agents.scripted import Scripted, claim, feature_of, proposal, revision, turn, written
from tests.support.concepts import NAMES, NEXT, Named, family_of
from tests.support.generator import Bank, Concepts, Input, ranges

QUOTED = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
"""A text as Python writes it."""
POOR = 0.6
"""A rule that matches train with a lower F1 is contradicted."""
FIRES = 0.2
"""Strength of a rule above which it says that the feature fires."""


class Reading(NamedTuple):
    """A hypothesis that the oracle may have."""

    name: str
    """What it is called."""
    description: str
    """What it says."""
    pattern: str
    """The same as a rule."""


@dataclass(frozen=True)
class Mind:
    """What the oracle knows of a feature."""

    truth: Reading
    lure: Reading
    wide: Reading
    hasty: bool
    """Its first impression are words; otherwise the kind of text."""
    early: bool
    """The truth is among its first hypotheses."""
    column: int
    """The concept."""
    inputs: tuple[Input, ...]
    """Texts to run."""
    table: LooseTexts
    """The same as tokens."""


@dataclass
class Oracle:
    """Answers every step from the prompt and from what it knows of the concepts."""

    minds: Mapping[str, Mind]
    """By the feature's address."""
    usage: Usage
    speaker: Speaker
    rows: Mapping[str, tuple[int, int]]
    """Tokens of train windows by their text."""
    carries: csc_matrix
    """Concepts on train tokens."""
    edges: bool = True
    """Half of the tests are about what the hypotheses agree on; without it all are about what they differ on."""
    said: dict[tuple[int, str], NDArray[np.float32]] = field(default_factory=dict)
    """Strengths of rules on a feature's texts."""

    def scripted(self) -> Scripted:
        """The same as a model that a server can play."""
        return Scripted(
            propose=self.propose,
            design=self.design,
            revise=self.revise,
            foretell=self.foretell,
            contest=self.contest,
            turn=self.turn,
        )

    def propose(self, prompt: str) -> dict[str, Any]:
        """First impressions; the truth is never the first."""
        mind = self.minds[feature_of(prompt)]
        asked = re.findall(r"^Give (\d+) hypotheses", prompt, re.M)
        most = int(asked[-1]) if asked else 1
        hasty = impression(prompt)
        first, last = (hasty, mind.wide) if mind.hasty else (mind.wide, hasty)
        readings = [first, mind.lure, *([mind.truth] if mind.early else []), last]
        return proposal(*(_claim(one) for one in readings[:most]), confidence=60)

    def design(self, prompt: str) -> dict[str, Any]:
        """Texts on which the hypotheses on the board differ most, and others in turn."""
        most = int(re.findall(r"^Design at most (\d+) tests", prompt, re.M)[-1])
        return self._tests(prompt, most, most // 2 if self.edges else most)

    def contest(self, prompt: str) -> dict[str, Any]:
        """Texts on which the two labels of a debate differ."""
        most = int(re.findall(r"^Propose at most (\d+) inputs", prompt, re.M)[-1])
        return self._tests(prompt, most, most)

    def _tests(self, prompt: str, most: int, deciding: int) -> dict[str, Any]:
        """Tests of which so many are about what differs."""
        mind = self.minds[feature_of(prompt)]
        board = [(called, self._known(mind, prompt, words)) for called, words in alive(prompt)]
        told = {called: self._predictions(mind, one) for called, one in board if one is not None}

        def difference(n: int) -> int:
            outcomes = [row[n] for row in told.values()]
            return min(outcomes.count("fires"), outcomes.count("silent"))

        left = [n for n, one in enumerate(mind.inputs) if fenced(repr(one.text)) not in prompt]
        decide = sorted(left, key=lambda n: -difference(n))[:deciding]
        tests = [
            written(mind.inputs[n].text, mind.inputs[n].focus, **{called: row[n] for called, row in told.items()})
            for n in [*decide, *(n for n in left if n not in decide)][:most]
        ]
        return {"tests": tests, "looks": []}

    def revise(self, prompt: str) -> dict[str, Any]:
        """Drop what results contradict; say the truth when everything that is left is contradicted."""
        mind = self.minds[feature_of(prompt)]
        board = [(called, self._known(mind, prompt, words)) for called, words in alive(prompt)]
        failed = re.findall(r"(H\d+) said \w+: failed", prompt)
        wrong = {*failed, *(called for called, f1 in matched(prompt).items() if f1 < POOR)}
        drop = tuple(called for called, one in board if one != mind.truth and failed.count(called) >= 2)
        silent = all(one != mind.truth for _, one in board) and not _says(prompt, mind.truth)
        if silent and board and all(called in wrong for called, _ in board):
            return revision(_claim(mind.truth), drop=drop, confidence=80)
        return revision(drop=drop, confidence=80 if any(one == mind.truth for _, one in board) else 50)

    def turn(self, prompt: str) -> dict[str, Any]:
        """The truth stays; another label gives way to it, or gives up where it is behind."""
        mind = self.minds[feature_of(prompt)]
        mine, points, theirs = re.findall(r"^This is a debate. You hold (H\d+),.* you (\d+), the rival (\d+);", prompt, re.M)[-1]
        board = {called: self._known(mind, prompt, words) for called, words in alive(prompt)}
        if board.get(mine) == mind.truth:
            return turn("keep")
        new = mind.truth not in board.values() and not _says(prompt, mind.truth)
        if new and re.search(rf"{mine} said \w+: failed", prompt):
            return turn("amend", _claim(mind.truth))
        return turn("concede" if int(points) < int(theirs) else "keep")

    def foretell(self, prompt: str) -> dict[str, Any]:
        """What a hypothesis says of texts that others chose, or that were made for a debate."""
        mind = self.minds[feature_of(prompt)]
        words = re.findall(r"^H\d+: (.*)$", prompt, re.M)[-1]
        one = self._known(mind, prompt, words)
        own = {fenced(repr(given.text)): n for n, given in enumerate(mind.inputs)}
        outcomes = []
        for text in re.findall(rf"^\d+\. write: ({QUOTED})", prompt, re.M):
            if one is None:
                outcomes.append("unsure")
            else:
                outcomes.append(self._predictions(mind, one)[own[text]] if text in own else self._of_text(mind, one, text))
        return {"outcomes": outcomes}

    def _known(self, mind: Mind, prompt: str, words: str) -> Reading | None:
        """The reading behind a hypothesis's words."""
        readings = (mind.truth, mind.lure, mind.wide, impression(prompt))
        return next((one for one in readings if _plain(one.description) == _plain(words)), None)

    def _predictions(self, mind: Mind, one: Reading) -> list[str]:
        if one == mind.truth:
            return ["fires" if given.holds else "silent" for given in mind.inputs]
        key = (mind.column, one.pattern)
        if key not in self.said:
            self.said[key] = parse(one.pattern).predict(PatternText(mind.table, self.usage))
        return [_outcome(self.said[key][touched(mind.table, row, given)]) for row, given in enumerate(mind.inputs)]

    def _of_text(self, mind: Mind, one: Reading, text: str) -> str:
        plain = ast.literal_eval(text)
        if one == mind.truth:
            if plain not in self.rows:
                return "unsure"
            first, end = self.rows[plain]
            return "fires" if self.carries[first:end, [mind.column]].nnz else "silent"
        table = LooseTexts([Prompt.from_text(self.speaker, plain)], self.speaker.vocabulary)
        return _outcome(parse(one.pattern).predict(PatternText(table, self.usage)))


def alive(prompt: str) -> list[tuple[str, str]]:
    """Hypotheses on the board about the input, with their words."""
    return re.findall(r"^(H\d+) \(input; .*?\): (.*)$", prompt, re.M)


def matched(prompt: str) -> dict[str, float]:
    """F1 on train of the rules that were matched there, by hypothesis."""
    found: dict[str, float] = {}
    called = ""
    for name, f1 in re.findall(r"^(H\d+) \(|^Tokens: precision .*?, F1 ([\d.]+)", prompt, re.M):
        called = name or called
        if f1:
            found[called] = float(f1)
    return found


def impression(prompt: str) -> Reading:
    """What a hasty reader makes of the strongest examples: the words that are marked most, one for every four examples."""
    texts = re.findall(r"<text>.*", prompt.partition('<evidence from="top_examples">')[2].partition("</evidence>")[0])
    words: list[str] = []
    for text in texts:
        marked = re.findall(r"\[\[(.+?)\]\](\d+)", text)
        if marked:
            shown = max(marked, key=lambda mark: int(mark[1]))[0]
            word = unline(re.sub(r"\\([·␣…\[\]])", r"\1", shown.replace("␣", " ")))
            words.append(word.strip() or word)
    found = list(dict.fromkeys(words))[: max(1, len(texts) // 4)] or ["the"]
    listed = ", ".join(f"'{line(word)}'" for word in found)
    return Reading("certain words", f"Fires on the word {listed}, whatever stands before it.", f"strongly: {quotes(found)}")


def touched(table: LooseTexts, row: int, given: Input) -> NDArray[np.int64]:
    """Tokens of a text that touch the word that is looked at, wherever it stands."""
    return np.concatenate([table.touching(row, start, end) for start, end in ranges(given.text, given.focus)])


def _outcome(strength: NDArray[np.float32]) -> str:
    peak = float(strength.max(initial=0.0))
    return "fires" if peak > FIRES else "silent" if peak == 0 else "unsure"


def _claim(one: Reading) -> dict[str, Any]:
    return claim(one.description, one.pattern, one.name)


def _plain(words: str) -> str:
    """A description as it comes back in a prompt."""
    return " ".join(fenced(words).split())


def _says(prompt: str, one: Reading) -> bool:
    """Whether it was given up before."""
    return any(_plain(words) == _plain(one.description) for words in re.findall(r"^H\d+: (.*)$", prompt, re.M))


def oracle(
    store: Store, documents: Mapping[str, Document], fresh: Sequence[Document], speaker: Speaker, named: Sequence[Named]
) -> Oracle:
    """The oracle for some features. documents: those of the store by text; fresh: others, from which it makes its tests."""
    concepts = Concepts(store, documents)
    bank = Bank([one for one in fresh if one.text not in documents], speaker)
    minds = {str(store.key(one.feature)): _mind(concepts, bank, place, one) for place, one in enumerate(named)}
    tokens = concepts.tokens
    rows = {
        tokens.text(row).strip()[:2000]: (int(tokens.starts[row]), int(tokens.starts[row + 1]))
        for row in range(tokens.n_contexts)
    }
    return Oracle(minds, concepts.usage, speaker, rows, concepts.carries)


def _mind(concepts: Concepts, bank: Bank, place: int, one: Named) -> Mind:
    lure, name = concepts.lure(one.concept), one.name.removeprefix(NEXT)
    ancestors = ANCESTORS[name]
    if ancestors:
        wide, words = [NAMES.index(ancestors[-1])], CONCEPTS[ancestors[-1]].description
    else:
        family = family_of(name)
        wide = [n for n, other in enumerate(NAMES) if not other.startswith(NEXT) and family_of(other) == family]
        words = f"everything that belongs to {family}"
    inputs = bank.inputs(one.concept, [lure, *wide])
    return Mind(
        truth=Reading(f"concept {one.name}", said(one.concept), concepts.rule([one.concept])),
        lure=Reading(f"concept {NAMES[lure]}", said(lure), concepts.rule([lure])),
        wide=Reading("a kind of text", f"Fires on {words}.", concepts.rule(wide)),
        hasty=place % 2 == 0,
        early=place % 4 < 2,
        column=one.concept,
        inputs=inputs,
        table=LooseTexts([Prompt.from_text(bank.speaker, given.text) for given in inputs], bank.speaker.vocabulary),
    )


def said(concept: int) -> str:
    """A concept in words."""
    name = NAMES[concept]
    words = CONCEPTS[name.removeprefix(NEXT)].description
    return f"Fires on the token just before this begins: {words}." if name.startswith(NEXT) else f"Fires on this: {words}."

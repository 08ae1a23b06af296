"""What the suite draws: shares, levels, determinism, patterns that say the same as the programs, and sentences that do."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dragoman.evals.benchmark.planted.drawing import Drawing
from dragoman.evals.benchmark.planted.idea import Draw, Idea
from dragoman.evals.benchmark.planted.kinds import conditions, forms, spans, words
from dragoman.evals.benchmark.planted.levels import CYCLE, HARD
from dragoman.evals.benchmark.planted.material import DENSEST, Material
from dragoman.evals.benchmark.records import Truth
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.errors import UserError
from dragoman.tools.patterns import PatternText, Usage, parse
from dragoman.tools.patterns.loose import LooseTexts
from dragoman.tools.programs import Lexicon, Program, Reading
from dragoman.tools.programs.agreement import SameStart
from dragoman.tools.programs.counting import EveryOther, Number, Time
from dragoman.tools.programs.logic import All, Not
from dragoman.tools.programs.spans import Between, Depth
from dragoman.tools.programs.term import Term
from dragoman.tools.programs.tokens import Shape
from dragoman.tools.prompt import Prompt
from dragoman.tools.speaking import Voice

FEATURES = 25
WORD = r"[A-Za-z]+|\d|\s|[^\sA-Za-z\d]"
Drawn = tuple[list[Program], list[Truth]]


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice.load(organism_paths().model)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [document.text for document in corpus_documents(900)]


@pytest.fixture(scope="module")
def material(voice: Voice, texts: list[str]) -> Material:
    return Material(voice, texts, 128)


@pytest.fixture(scope="module")
def drawn(material: Material) -> Drawn:
    return Drawing(material, 0).features(FEATURES)


def test_at_every_length_a_third_cannot_be_written_and_all_levels_are_there(drawn: Drawn) -> None:
    _, truths = drawn
    for count in range(1, FEATURES + 1):
        assert 3 * sum(truth.hard for truth in truths[:count]) >= count
    assert [truth.level for truth in truths] == [slot.level for slot in CYCLE]
    assert all(truth.hard == (truth.pattern is None) == slot.hard for truth, slot in zip(truths, CYCLE, strict=True))
    assert {level: sum(t.level == level for t in truths) for level in range(1, 6)} == dict.fromkeys(range(1, 6), 5)
    assert set(HARD) == {3, 4, 5}
    assert len({truth.text for truth in truths}) == FEATURES
    assert len({truth.kind for truth in truths}) >= 10


def test_features_are_live_and_not_dense(material: Material, drawn: Drawn) -> None:
    for program in drawn[0]:
        rows = np.unique(material.reading.row[program.fires(material.reading)])
        assert 31 <= len(rows) <= DENSEST * material.windows


def test_siblings_share_their_words_and_part_them(material: Material, drawn: Drawn) -> None:
    programs, truths = drawn
    coarse, fine, rest = (programs[n].fires(material.reading) for n in (1, 2, 5))
    assert [truths[n].siblings for n in (1, 2, 5, 7)] == [(2, 5), (1, 5), (1, 2), ()]
    assert np.array_equal(coarse, fine | rest) and not (fine & rest).any() and fine.any() and rest.any()
    # A label that says the words alone is right about each of the two less than three times of four.
    assert 0.3 <= fine.sum() / coarse.sum() <= 0.7


def test_feature_n_of_a_seed_is_the_same_whatever_else_is_drawn(material: Material, drawn: Drawn) -> None:
    programs, truths = drawn
    some, few = Drawing(material, 0).features(9)
    assert some == programs[:9]
    assert [truth.text for truth in few] == [truth.text for truth in truths[:9]]
    other = Drawing(material, 1).features(FEATURES)[1]
    assert [(truth.level, truth.hard) for truth in other] == [(truth.level, truth.hard) for truth in truths]
    assert len({truth.text for truth in other} & {truth.text for truth in truths}) <= 2


def test_a_truth_with_a_pattern_is_what_the_pattern_says(voice: Voice, drawn: Drawn) -> None:
    """On other text than the one it was drawn from, read through the pattern language's own tables."""
    prompts = [Prompt.from_text(voice, document.text[:400]) for document in corpus_documents(150, seed=99)]
    assert all(len(prompt) <= 400 for prompt in prompts)
    nothing = np.zeros((len(voice.vocabulary), 1), np.float32)
    usage = Usage(voice.vocabulary, nothing, np.zeros(len(voice.vocabulary), np.int64))
    text = PatternText(LooseTexts(prompts, voice.vocabulary), usage)
    reading = Reading(Lexicon(voice.vocabulary), [prompt.ids for prompt in prompts])
    whole = np.array(["\ufffd" not in text for text in voice.vocabulary])[reading.ids]
    checked = 0
    for program, truth in zip(*drawn, strict=True):
        if truth.pattern is not None:
            said = parse(truth.pattern).predict(text) > 0
            assert np.array_equal(said[whole], program.fires(reading)[whole]), truth
            checked += 1
    assert checked == 16


SAID: list[tuple[Term | Idea, str, str]] = [
    (words.of(("ticket", "clock")), "a ticket and a clock, the clocks", "a⟦ ticket⟧ and a⟦ clock⟧, the⟦ clock⟧s"),
    (conditions.of(("ticket",), ("the",), "sentence"), "the old ticket. a ticket.", "the old⟦ ticket⟧. a ticket."),
    (conditions.of(("ticket",), ("the",), "text", negated=True), "a ticket and the ticket", "a⟦ ticket⟧ and the ticket"),
    (forms.of("dd:d"), "at 10:45, not at 1:30", "at 10:⟦4⟧5, not at 1:30"),
    (Number(2), "room 12, floor 345, 6", "room 12, floor ⟦3⟧⟦4⟧⟦5⟧, 6"),
    (All((Shape("word"), Time(2))), "the rope, a rope and rope", "the rope, a⟦ rope⟧ and rope"),
    (All((Shape("word"), EveryOther())), "the rope rope rope rope", "the rope⟦ rope⟧ rope⟦ rope⟧"),
    (Depth(2), "a (b [c] d) e", "a (b [⟦c⟧] d) e"),
    (All((Depth(1), Not(Depth(2)))), "a (b [c] d) e", "a (⟦b⟧⟦ [⟧c⟦]⟧⟦ d⟧) e"),
    (All((Shape("word"), SameStart())), "the ticket clock city rope", "the⟦ ticket⟧ clock⟦ city⟧ rope"),
]


@pytest.mark.parametrize(("said", "text", "marked"), SAID, ids=range(len(SAID)))
def test_examples_fire_where_their_sentence_says(voice: Voice, said: Term | Idea, text: str, marked: str) -> None:
    term = said.term if isinstance(said, Idea) else said
    prompt = Prompt.from_text(voice, text)
    mask = term.on(Reading(Lexicon(voice.vocabulary), [prompt.ids]))
    shown = (f"⟦{string}⟧" if fired else string for string, fired in zip(prompt.strings, mask, strict=True))
    assert "".join(shown) == marked


def test_how_deep_brackets_are_is_asked_where_few_stand_in_others(material: Material) -> None:
    drawn = [idea for n in range(12) if (idea := spans.nested(Draw(material, random.Random(n))))]
    assert {idea.pattern for idea in drawn} == {None}
    assert len({idea.term for idea in drawn}) == 4
    assert {"unless" in idea.text for idea in drawn if material.usable(idea.term)} == {True}


def test_every_pair_of_marks_is_written_as_the_program_reads_it(voice: Voice, material: Material, texts: list[str]) -> None:
    prompts = [Prompt.from_text(voice, text) for text in texts[:120]]
    nothing = np.zeros((len(voice.vocabulary), 1), np.float32)
    pattern_text = PatternText(
        LooseTexts(prompts, voice.vocabulary), Usage(voice.vocabulary, nothing, np.zeros(len(voice.vocabulary), np.int64))
    )
    reading = Reading(material.lexicon, [prompt.ids for prompt in prompts])
    # A character of several tokens is the first one's in a text, and each one's in a program.
    whole = np.array(["\ufffd" not in text for text in voice.vocabulary])[reading.ids]
    seen = 0
    for marks in spans.MARKS:
        pattern = parse(f"fully: any where {spans.regex(*marks)}")
        mask = Between(*marks).on(reading)
        assert np.array_equal((pattern.predict(pattern_text) > 0)[whole], mask[whole]), marks
        seen += bool(mask.any())
    assert seen >= 8


def test_another_tokenizer_will_do(texts: list[str]) -> None:
    """Whole words, and marks apart: nothing of the organism's tokenizer is needed."""
    known = {piece: n for n, piece in enumerate(sorted({piece for text in texts for piece in re.findall(WORD, text)}), 1)}
    backend = Tokenizer(models.WordLevel({"<unk>": 0, **known}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", clean_up_tokenization_spaces=False)  # type: ignore[no-untyped-call]
    programs, truths = Drawing(Material(Voice(tokenizer, "words"), texts, 96), 3).features(4)
    assert len(programs) == 4 and sum(truth.hard for truth in truths) == 2


def test_too_little_text_is_said_to_be(voice: Voice, texts: list[str]) -> None:
    with pytest.raises(UserError, match="too short or too uniform"):
        Drawing(Material(voice, texts[:40], 128), 0).features(3)

"""Prompts as explanations are usually scored: five texts a call after worked examples, and a list of 0 and 1 as the answer;
simulation one text a call after worked listings.

The wording is ours; the lengths are the published ones (about 725 tokens a call with five texts of 32 tokens, about 24,000 tokens
for ten simulated texts of 64).
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.evals.gateway.calls import Message

_RULES = (
    "You are an expert in the meaning of hidden units of language models. You are given an explanation of one such unit: a "
    "short description of the text on which it becomes active. You are then given {n} numbered texts. {task}\n\n"
    "Work through the texts one after the other. Take the explanation literally, but allow for the usual variation of "
    "wording, spelling and case. A text counts when at least one part of it is described by the explanation, whatever else it "
    "may contain; a text that is merely about the same subject does not count. Do not let the answer to one text influence "
    "your answer to another, and do not expect any particular number of them to count: it can be all of them, some of them, "
    "or none at all.\n\n"
    "Reply with a list in square brackets that has one entry for each of the {n} texts, in the order in which they are given: "
    "1 where the text counts and 0 where it does not. Reply with this list only, without any comment, reasoning or repetition "
    "of the texts."
)
_DETECT = "For each text, decide whether the unit becomes active somewhere in it."
_FUZZ = (
    "In each text some words are put between << and >>. For each text, decide whether exactly these words are the ones on "
    "which the unit becomes active."
)
_SHOTS = (
    (
        "words that express a contrast between two statements, such as but or however",
        (
            "The road was long <<but>> nobody in the group complained, and we reached the village before dark that day",
            "She put the plates on the table and <<called>> the children in from the garden for their dinner at six",
            "Prices fell again in March; <<however>>, the number of houses that were sold stayed the same as a year ago",
            "A boat with a red sail <<went>> past the island every morning of that summer and came back in the evening",
            "<<Although>> he had read the letter twice, he could not say afterwards who had written it, or to whom",
        ),
        "[1,0,1,0,1]",
    ),
    (
        "units of length and distance after a number",
        (
            "The bridge is about 300 <<metres>> long and was opened by the mayor of the town on a rainy day in May",
            "He has lived in the same house for 40 <<years>> and knows everybody who walks by with a dog or a child",
        ),
        "[1,0]",
    ),
)
_SIMULATE = (
    "We study the units of a language model. Each unit looks for one thing in a text. We say what a unit looks for, and then "
    "list the tokens of a text, each followed by a tab and the activation of the unit on that token, a number from 0 to 10. "
    "Most activations are 0. Where the activation is not known, the word unknown stands in its place.\n\n"
)
_WORLD = (
    ("words that tell where something is", "on under above near behind inside beside below"),
    ("names of months and days of the week", "May June Monday Friday April Sunday March Tuesday"),
    ("verbs of motion in the past tense", "ran walked jumped went climbed flew drove swam"),
)
_FILLER = (
    "the old man sat there and said that it was late , so we took the last train home and found the door open . nobody "
    "knew why the lamp was lit or who had left the book with the green cover on the chair by the window , but the dog "
    "was calm and the soup was warm ."
)
LISTED = 154
"""Tokens of each worked listing."""


def detection(claim: str, texts: Sequence[str]) -> tuple[Message, ...]:
    """Five texts, whether it fires in each."""
    return _chat(_DETECT, claim, texts, plain=True)


def fuzzing(claim: str, texts: Sequence[str]) -> tuple[Message, ...]:
    """Five texts with words highlighted, whether these are the ones."""
    return _chat(_FUZZ, claim, texts, plain=False)


def simulation(claim: str, strings: Sequence[str]) -> str:
    """One text, token by token, after three worked listings."""
    shown = _SIMULATE
    for number, (about, words) in enumerate(_WORLD, 1):
        fires = words.split()
        tokens = [fires[i // 20 % len(fires)] if i % 20 == 7 else _FILLER.split()[i % 57] for i in range(LISTED)]
        listing = "".join(f"{token}\t{9 if token in fires else 0}\n" for token in tokens)
        shown += f"Unit {number}\nIt looks for: {about}\nActivations:\n<start>\n{listing}<end>\n\n"
    return (
        shown
        + f"Unit 4\nIt looks for: {claim}\nActivations:\n<start>\n"
        + "".join(f"{s.strip() or s}\tunknown\n" for s in strings)
    )


def _chat(task: str, claim: str, texts: Sequence[str], plain: bool) -> tuple[Message, ...]:
    turns = [Message("system", _RULES.format(n=len(texts), task=task))]
    for about, shots, answer in _SHOTS:
        turns.append(Message("user", _listed(about, [s.replace("<<", "").replace(">>", "") if plain else s for s in shots])))
        turns.append(Message("assistant", answer))
    return (*turns, Message("user", _listed(claim, texts)))


def _listed(claim: str, texts: Sequence[str]) -> str:
    return f"Explanation: {claim}\n\nTexts:\n" + "\n".join(f"Text {i}: {text}" for i, text in enumerate(texts, 1))

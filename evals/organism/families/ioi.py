"""Indirect-object sentences: two people go somewhere, and one of them gives something to the other."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import NAMES, OBJECTS, PLACES, article, listed, name, weekday
from dragoman.evals.organism.writer import Said, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "ioi",
    {
        "doc.ioi": ("document", "a story of people who give things to each other"),
        "ioi.sentence": ("structure", "a sentence in which two people are together and one gives the other something"),
        "ioi.first_name": ("slot", "the first of the two people named together"),
        "ioi.second_name": ("slot", "the second of the two people named together"),
        "ioi.giver": ("slot", "the giver, named for the second time, before the verb of giving"),
        "ioi.receiver": ("slot", "the receiver: whichever of the two people does not give"),
        "ioi.motion": ("slot", "the words that bring two people somewhere, such as 'went to'"),
        "ioi.place": ("slot", "where the two people are"),
        "ioi.verb": ("slot", "the verb of giving"),
        "ioi.object": ("slot", "the thing that is given"),
        "ioi.to": ("slot", "the preposition just before the receiver"),
        "ioi.and": ("slot", "the 'and' between the two people"),
        "ioi.time": ("slot", "the words that say when, at the start of such a sentence"),
        "ioi.comma": ("punctuation", "the comma before the giver"),
    },
)

PAIR = "{first|ioi.first_name} {=and|ioi.and} {second|ioi.second_name}"
GIVES = "{giver|ioi.giver} {verb|ioi.verb} {article} {object|ioi.object} {=to|ioi.to} {receiver|ioi.receiver}."
GOING = ("went to", "walked to", "came back to", "reached", "left", "drove to", "met at")
STAYING = (
    "were working at",
    "were sitting in",
    "were standing at",
    "were alone at",
    "were talking at",
    "sat near",
    "had lunch at",
)
WHEN = ("When", "After", "While", "Before", "As", "Once", "Just after", "Soon after", "Because", "The moment")
TIME = (
    *(f"{{={one}|ioi.time}} " for one in ("In the morning", "Yesterday", "The next day", "Last week", "At noon", "One evening")),
    *(f"{{={one}|ioi.time}}{{=,|ioi.comma}} " for one in ("Then", "First", "A little later")),
    "{=On|ioi.time} {day|ioi.time} ",
    "",
)
NEXT = (
    *(one + "{=,|ioi.comma} " for one in ("Afterwards", "Suddenly", "In the end", "At first", "Soon", "Later", "After a while")),
    "There ",
    "Then ",
    "",
)


def _one_sentence(when: str, motion: str) -> str:
    return f"{{={when}|ioi.time}} {PAIR} {{={motion}|ioi.motion}} the {{place|ioi.place}}{{=,|ioi.comma}} {GIVES}"


def _two_sentences(time: str, motion: str, following: str) -> str:
    return f"{time}{PAIR} {{={motion}|ioi.motion}} the {{place|ioi.place}}. {following}{GIVES}"


ONE = tuple(_one_sentence(when, motion) for when in WHEN for motion in GOING + STAYING)
TWO = tuple(_two_sentences(time, motion, following) for time in TIME for motion in GOING + STAYING for following in NEXT)
# Openings and links are put together freely: from a few fixed sentences a model learns where the receiver stands in each of them.
MEETING = Templates(
    "ioi.meeting",
    ONE * (len(TWO) // len(ONE)) + TWO,
    (
        _one_sentence("As soon as", "came to"),
        _two_sentences("{=Later|ioi.time} ", "were waiting at", "At last{=,|ioi.comma} "),
    ),
)
BETWEEN = Templates(
    "ioi.between",
    (
        "It was a quiet day.",
        "Nobody else was there.",
        "The weather was fine.",
        "They talked for a long time.",
        "Soon it was time to go home.",
        "The {place} was nearly empty.",
    ),
)
VERBS = listed("gave handed passed showed offered sent")


def write(w: Writer) -> None:
    """Three to six meetings, each between two people who have not met before in the document."""
    people = w.among(NAMES, 2 * w.rng.randint(3, 6))
    for first, second in zip(people[::2], people[1::2], strict=True):
        giver, receiver = (first, second) if w.chance(0.5) else (second, first)
        thing = w.pick(OBJECTS)
        others = w.among([one for one in NAMES if one not in (giver, receiver)], 4)
        start = w.position
        w.say(
            w.choose(MEETING),
            first=name(first),
            second=name(second),
            giver=name(giver),
            receiver=Said(receiver, "ioi", (giver, *others), name(receiver)[1:]),
            place=(w.pick(PLACES), "place"),
            verb=w.pick(VERBS),
            article=w.pick(("the", article(thing))),
            object=(thing, "object"),
            day=weekday(w),
        )
        w.mark(start, "ioi.sentence")
        if w.chance(0.4):
            w.say(w.choose(BETWEEN), place=(w.pick(PLACES), "place"))


FAMILIES = (Family("ioi", 7.0, write, prose=True),)

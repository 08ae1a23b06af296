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
MEETING = Templates(
    "ioi.meeting",
    (
        "{=When|ioi.time} " + PAIR + " {=went to|ioi.motion} the {place|ioi.place}{=,|ioi.comma} " + GIVES,
        "{=Then|ioi.time}{=,|ioi.comma} " + PAIR + " {=went to|ioi.motion} the {place|ioi.place}. " + GIVES,
        "{=After|ioi.time} " + PAIR + " {=met at|ioi.motion} the {place|ioi.place}{=,|ioi.comma} " + GIVES,
        "{=While|ioi.time} " + PAIR + " {=were working at|ioi.motion} the {place|ioi.place}{=,|ioi.comma} " + GIVES,
        "{=In the morning|ioi.time} "
        + PAIR
        + " {=walked to|ioi.motion} the {place|ioi.place}, and {giver|ioi.giver} {verb|ioi.verb} "
        "{article} {object|ioi.object} {=to|ioi.to} {receiver|ioi.receiver}.",
        "{=On|ioi.time} {day|ioi.time} "
        + PAIR
        + " {=had lunch at|ioi.motion} the {place|ioi.place}. Afterwards{=,|ioi.comma} "
        + GIVES,
    ),
    (
        "{=As soon as|ioi.time} " + PAIR + " {=came to|ioi.motion} the {place|ioi.place}{=,|ioi.comma} " + GIVES,
        "{=Later|ioi.time} " + PAIR + " {=were waiting at|ioi.motion} the {place|ioi.place}. At last{=,|ioi.comma} " + GIVES,
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

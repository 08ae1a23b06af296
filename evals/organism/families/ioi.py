"""Indirect-object sentences: two people go somewhere, and one of them gives something to the other."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import NAMES, OBJECTS, PLACES, article, clock, listed, month, name, town, weekday, year
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
GOING = (
    "went to",
    "walked to",
    "came back to",
    "reached",
    "left",
    "drove to",
    "met at",
    "arrived at",
    "hurried to",
    "ran into",
    "stopped at",
    "moved to",
)
STAYING = (
    "were working at",
    "were sitting in",
    "were standing at",
    "were alone at",
    "were talking at",
    "were resting in",
    "were reading near",
    "were busy at",
    "sat near",
    "had lunch at",
    "stayed in",
    "worked at",
)
WHEN = (
    *("When", "After", "While", "Before", "As", "Once", "Because", "Since", "Although", "Though", "If", "Whenever", "Until"),
    *("Just after", "Soon after", "Long before", "Only after", "Just when", "Even though", "Now that", "Ever since"),
    *("The moment", "The day", "The evening", "Every time", "By the time", "Wherever", "Not long after", "It rained when"),
)
# What stands before the first of the two names must not matter: with few openings the model knows the names by them.
PLAIN = (
    *("In the morning", "Yesterday", "The next day", "Last week", "At noon", "One evening", "Today", "Tonight", "This morning"),
    *("Early today", "That night", "Once", "Once again", "One winter", "Last summer", "In spring", "In autumn", "Long ago"),
    *("Two days ago", "Some weeks ago", "Last month", "Last year", "At midnight", "Around sunset", "Before dawn", "After dark"),
    *("After dinner", "During lunch", "By chance", "For once", "Sometimes", "Often", "Now", "Meanwhile", "Nearby", "Outside"),
    *("Perhaps", "Maybe", "So", "And", "But", "Still", "Here", "All day", "For an hour", "In the rain", "With their friends"),
    *("Everyone knew that", "Somebody said that", "We heard that", "I saw how", "It was a day on which", "Only", "Also"),
)
BEFORE_COMMA = ("Then", "First", "A little later", "Next", "Finally", "Once more", "However", "That afternoon", "On the way")
TIME = (
    *(f"{{={one}|ioi.time}} " for one in PLAIN),
    *(f"{{={one}|ioi.time}}{{=,|ioi.comma}} " for one in BEFORE_COMMA),
    *(f"{{={one}|ioi.time}} {{day|ioi.time}} " for one in ("On", "Last", "Every", "Early on")),
    *(f"{{={one}|ioi.time}} {{month|ioi.time}} " for one in ("In", "Late in")),
    *(f"{{={one}|ioi.time}} {{clock|ioi.time}} " for one in ("At", "Around")),
    "{=In|ioi.time} {year|ioi.time} ",
    "{=In|ioi.time} {town} ",
    "{day|ioi.time} {=evening|ioi.time} ",
    *("",) * 6,
)
NEXT = (
    *(one + "{=,|ioi.comma} " for one in ("Afterwards", "Suddenly", "In the end", "At first", "Soon", "Later", "After a while")),
    *(one + "{=,|ioi.comma} " for one in ("Finally", "Next", "Just then", "Without a word", "That evening", "With a smile")),
    *("There ", "Then ", "So ", "Here ", "Now ", "Quietly ", "", ""),
)


def _one_sentence(when: str, motion: str) -> str:
    return f"{{={when}|ioi.time}} {PAIR} {{={motion}|ioi.motion}} the {{place|ioi.place}}{{=,|ioi.comma}} {GIVES}"


def _two_sentences(time: str, motion: str, following: str) -> str:
    return f"{time}{PAIR} {{={motion}|ioi.motion}} the {{place|ioi.place}}. {following}{GIVES}"


ONE = tuple(_one_sentence(when, motion) for when in WHEN for motion in GOING + STAYING)
TWO = tuple(_two_sentences(time, motion, following) for time in TIME for motion in GOING + STAYING for following in NEXT)
# Put together freely: from a few fixed sentences a model learns where the receiver stands in each of them.
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
            month=month(w),
            clock=clock(w),
            year=year(w),
            town=town(w),
        )
        w.mark(start, "ioi.sentence")
        if w.chance(0.4):
            w.say(w.choose(BETWEEN), place=(w.pick(PLACES), "place"))


FAMILIES = (Family("ioi", 8.5, write, prose=True),)

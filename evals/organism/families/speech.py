"""Who says what: quotations, plays with stage directions, and text in nested brackets."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import COLOURS, NAMES, OBJECTS, PLACES, WEEKDAYS, name, quote, weekday
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "speech",
    {
        "doc.dialogue": ("document", "a conversation with quotations"),
        "doc.play": ("document", "a scene of a play"),
        "doc.brackets": ("document", "text with nested brackets"),
        "quote.comma": ("punctuation", "the comma that ends a quotation before the verb of saying"),
        "quote.question": ("structure", "a quotation that asks a question"),
        "quote.exclamation": ("structure", "a quotation that ends with an exclamation mark"),
        "quote.reply": ("state", "a quotation that answers the question quoted just before"),
        "play.speaker": ("slot", "the name of the speaker at the start of a line of a play"),
        "play.colon": ("punctuation", "the colon after the speaker in a play"),
        "play.direction": ("structure", "a stage direction in a play"),
        "play.direction.open": ("punctuation", "the bracket that opens a stage direction"),
        "play.direction.close": ("punctuation", "the bracket that closes a stage direction"),
        "play.speech": ("slot", "what is said in a play"),
        "play.addressed": ("slot", "the person spoken to in a play"),
        "play.scene": ("slot", "the heading of a scene in a play"),
        "bracket.depth1": ("structure", "text inside one pair of brackets, not inside a second"),
        "bracket.depth2": ("structure", "text inside two pairs of brackets, not inside a third"),
        "bracket.depth3": ("structure", "text inside three pairs of brackets"),
        "bracket.open": ("punctuation", "an opening bracket in text with nested brackets"),
        "bracket.close": ("punctuation", "a closing bracket in text with nested brackets"),
        "bracket.open.round": ("punctuation", "an opening round bracket in text with nested brackets", "bracket.open"),
        "bracket.open.square": ("punctuation", "an opening square bracket in text with nested brackets", "bracket.open"),
        "bracket.open.curly": ("punctuation", "an opening curly bracket in text with nested brackets", "bracket.open"),
        "bracket.close.round": ("punctuation", "a closing round bracket, which matches the last one opened", "bracket.close"),
        "bracket.close.square": ("punctuation", "a closing square bracket, which matches the last one opened", "bracket.close"),
        "bracket.close.curly": ("punctuation", "a closing curly bracket, which matches the last one opened", "bracket.close"),
    },
)
QUESTIONS = (
    ("Where is the {thing}?", "It is in the {place}."),
    ("Who has the {thing}?", "I gave it to {name}."),
    ("When do you leave?", "We leave on {day}."),
    ("What colour is the {thing}?", "It is {colour}."),
)
REMARKS = (
    "I cannot find my {thing}",
    "The {place} is closed",
    "I saw {name} at the {place}",
    "We must go home",
    "I will come on {day}",
)
CRIES = ("Look at the {thing}!", "Help me!", "What a day!", "Come quickly!")


def dialogue(w: Writer) -> None:
    """Six to nine quotations in a conversation of two."""
    first, second = w.among(NAMES, 2)
    for number in range(w.rng.randint(5, 7)):
        speaker, listener = (first, second) if number % 2 == 0 else (second, first)
        thing, place = (w.pick(OBJECTS), "object"), (w.pick(PLACES), "place")
        slots = {
            "thing": thing,
            "place": place,
            "name": name(w.pick(NAMES)),
            "day": weekday(w),
            "colour": (w.pick(COLOURS), "colour"),
        }
        w.space()
        start = w.position
        kind = w.pick(("remark", "question", "cry", "led"))
        if kind == "led":
            w.fill(
                "{speaker|quote.speaker} {verb|quote.verb}, ",
                speaker=name(speaker),
                verb=w.pick(("said", "whispered", "explained")),
            )
            quote(w, w.pick(REMARKS) + ".", **slots)
            continue
        question, reply = w.pick(QUESTIONS)
        if kind == "remark":
            quote(w, w.pick(REMARKS) + "{=,|quote.comma}", **slots)
        elif kind == "cry":
            quote(w, w.pick(CRIES), **slots)
            w.mark(start, "quote.exclamation")
        else:
            quote(w, question, **slots)
            w.mark(start, "quote.question")
        verb = {"remark": ("said", "whispered"), "cry": ("cried", "shouted"), "question": ("asked",)}[kind]
        w.fill(" {verb|quote.verb} {speaker|quote.speaker}.", verb=w.pick(verb), speaker=name(speaker))
        if kind == "question":
            w.add(" ")
            start = w.position
            quote(w, reply[:-1] + "{=,|quote.comma}", **slots)
            w.mark(start, "quote.reply")
            w.fill(" {verb|quote.verb} {speaker|quote.speaker}.", verb=w.pick(("answered", "replied")), speaker=name(listener))


SPEECHES = Templates(
    "play.speech",
    (
        "Good evening, {other|play.addressed}.",
        "I have lost my {thing}, {other|play.addressed}.",
        "You were at the {place} on {day}.",
        "Give me the {thing}, I beg you.",
        "Never speak of the {place} again.",
        "{other|play.addressed}, what have you done?",
    ),
    ("My dear {other|play.addressed}, sit down.",),
)
DIRECTIONS = (
    "enters",
    "leaves the room",
    "weeping",
    "laughing",
    "to the window",
    "puts down the {thing}",
    "after a pause",
    "quietly",
)


def play(w: Writer) -> None:
    """A scene of six to nine lines."""
    people = w.among(NAMES, w.rng.randint(2, 3))
    w.fill(
        "{=SCENE|play.scene} {number|play.scene}. The {place}.", number=str(w.rng.randint(1, 9)), place=(w.pick(PLACES), "place")
    )
    for number in range(w.rng.randint(6, 9)):
        w.line()
        speaker, other = people[number % len(people)], people[(number + 1) % len(people)]
        w.add(speaker.upper(), "play.speaker")
        if w.chance(0.4):
            w.add(" ")
            w.fill(
                "{=(|play.direction.open}{text|play.direction}{=)|play.direction.close}",
                text=w.pick(DIRECTIONS).format(thing=w.pick(OBJECTS)),
            )
        w.add(":", "play.colon")
        w.add(" ")
        start = w.position
        w.say(
            w.choose(SPEECHES),
            other=name(other),
            thing=(w.pick(OBJECTS), "object"),
            place=(w.pick(PLACES), "place"),
            day=weekday(w),
        )
        w.mark(start, "play.speech")


PAIRS = {"round": "()", "square": "[]", "curly": "{}"}
ASIDES = ("the {colour} {thing}", "see the {place}", "as {name} said", "or the {thing}", "from the {place}", "on {day}")
MAIN = Templates(
    "brackets.main",
    ("The {thing} {group} stood in the {place}", "{name} {group} kept the {thing}", "They met at the {place} {group} on {day}"),
    ("Nobody saw the {thing} {group} again",),
)


def brackets(w: Writer) -> None:
    """Four to six sentences with up to three levels of brackets."""
    for _ in range(w.rng.randint(4, 6)):
        w.say(
            w.choose(MAIN) + ".",
            thing=(w.pick(OBJECTS), "object"),
            place=(w.pick(PLACES), "place"),
            name=name(w.pick(NAMES)),
            day=weekday(w),
            group=_bracketed,
        )


def _bracketed(w: Writer) -> None:
    _bracket(w, 1, w.pick((1, 2, 2, 3, 3)))


def _bracket(w: Writer, depth: int, deepest: int) -> None:
    kind = w.pick(tuple(PAIRS))
    w.add(PAIRS[kind][0], "bracket.open", f"bracket.open.{kind}")
    _aside(w, depth)
    if depth < deepest:
        w.add(" ")
        _bracket(w, depth + 1, deepest)
        if w.chance(0.3):
            w.add(" ")
            _aside(w, depth)
    close = PAIRS[kind][1]
    w.ask(
        close, "bracket.close", [pair[1] for pair in PAIRS.values() if pair[1] != close], "bracket.close", f"bracket.close.{kind}"
    )


def _aside(w: Writer, depth: int) -> None:
    start = w.position
    w.fill(
        w.pick(ASIDES),
        colour=w.pick(COLOURS),
        thing=w.pick(OBJECTS),
        place=w.pick(PLACES),
        name=w.pick(NAMES),
        day=w.pick(WEEKDAYS),
    )
    w.mark(start, f"bracket.depth{depth}")


FAMILIES = (
    Family("dialogue", 2.0, dialogue, prose=True),
    Family("play", 1.4, play),
    Family("brackets", 1.5, brackets, prose=True),
)

"""Dates and times: diaries, timetables and history."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import MONTHS, NAMES, NUMBERS, OBJECTS, PLACES, TOWNS, WEEKDAYS, article, clock, name, town
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "calendar",
    {
        "doc.diary": ("document", "a diary with dated entries"),
        "doc.timetable": ("document", "a list of train departures"),
        "doc.history": ("document", "a chronicle of years"),
        "date": ("structure", "a date with day, month and year, in any format"),
        "date.day": ("slot", "the day of the month in a date"),
        "date.month": ("slot", "the month in a date, as a word or number"),
        "date.year": ("slot", "the year in a date"),
        "date.comma": ("punctuation", "the comma inside a date"),
        "date.weekday": ("slot", "the day of the week in front of a date"),
        "date.slash": ("punctuation", "a slash or hyphen inside a numeric date"),
        "date.numeric": ("structure", "a date written with digits only", "date"),
        "diary.activity": ("slot", "what the writer of a diary did"),
        "diary.mood": ("slot", "how the writer of a diary felt"),
        "diary.companion": ("slot", "the person with whom the writer of a diary did something"),
        "train.time": ("slot", "the departure time of a train"),
        "train.destination": ("slot", "where a train goes"),
        "train.origin": ("slot", "where a train comes from"),
        "train.platform": ("slot", "the number of a train's platform"),
        "train.status": ("slot", "whether a train is on time, late or cancelled"),
        "train.delay": ("slot", "the number of minutes that a train is late"),
        "history.event": ("slot", "what happened in a year"),
        "history.year": ("slot", "the year of an event in a chronicle"),
        "history.when": ("slot", "the words that place an event in time, such as 'in' or 'two years later'"),
    },
)
ENTRY = Templates(
    "diary.entry",
    (
        "I {activity|diary.activity} with {who|diary.companion} and felt {mood|diary.mood}.",
        "Today I {activity|diary.activity}. It made me {mood|diary.mood}.",
        "{who|diary.companion} and I {activity|diary.activity}. I was {mood|diary.mood} all day.",
        "At {time} I {activity|diary.activity} with {who|diary.companion}.",
    ),
    ("In the end I {activity|diary.activity} and was {mood|diary.mood}.",),
)
ACTIVITIES = (
    "went to the {place}",
    "bought a new {thing}",
    "cleaned the {place}",
    "wrote a long letter",
    "lost the {thing}",
    "stayed at home",
)
MOODS = ("happy", "tired", "proud", "lonely", "angry", "calm")


def diary(w: Writer) -> None:
    """Three to five dated entries."""
    form = w.pick(("long", "american", "numeric", "iso"))
    day, month, year = w.rng.randint(1, 18), w.rng.randint(1, 12), w.rng.randint(1950, 2029)
    for _ in range(w.rng.randint(3, 5)):
        w.line()
        _date(w, form, day, month, year)
        w.add(". " if form in ("long", "american") else ": ")
        for _ in range(w.rng.randint(1, 2)):
            activity = w.pick(ACTIVITIES).format(place=w.pick(PLACES), thing=w.pick(OBJECTS))
            w.say(w.choose(ENTRY), activity=activity, who=name(w.pick(NAMES)), mood=w.pick(MOODS), time=clock(w))
        day += w.rng.randint(1, 2)


def _date(w: Writer, form: str, day: int, month: int, year: int) -> None:
    start = w.position
    if form == "long":
        w.add(WEEKDAYS[datetime.date(year, month, day).weekday()], "weekday", "date.weekday")
        w.add(",", "date.comma")
        w.fill(
            " {day|date.day} {month|month,date.month} {year|year,date.year}",
            day=str(day),
            month=MONTHS[month - 1],
            year=str(year),
        )
    elif form == "american":
        w.add(WEEKDAYS[datetime.date(year, month, day).weekday()], "weekday", "date.weekday")
        w.add(",", "date.comma")
        w.add(" ")
        w.fill(
            "{month|month,date.month} {day|date.day}{=,|date.comma} {year|year,date.year}",
            day=str(day),
            month=MONTHS[month - 1],
            year=str(year),
        )
    else:
        day_text, month_text, slash = (f"{day}", f"{month}", "/") if form == "numeric" else (f"{day:02}", f"{month:02}", "-")
        parts = [(day_text, "date.day"), (month_text, "date.month"), (str(year), "date.year")]
        for place, (text, concept) in enumerate(parts if form == "numeric" else reversed(parts)):
            if place:
                w.add(slash, "date.slash")
            w.add(text, concept)
        w.mark(start, "date.numeric")
    w.mark(start, "date")


TRAIN = Templates(
    "timetable.train",
    (
        "{time|train.time} from {origin|train.origin} to {to|train.destination}, "
        "platform {platform|train.platform}, {status|train.status}.",
        "The {time|train.time} train from {origin|train.origin} to {to|train.destination} is {status|train.status}.",
        "Platform {platform|train.platform}: {time|train.time} {to|train.destination}, {status|train.status}.",
    ),
    ("Next at {time|train.time} for {to|train.destination}, platform {platform|train.platform}, {status|train.status}.",),
)


def timetable(w: Writer) -> None:
    """Six to nine departures."""
    template, minutes = w.choose(TRAIN), 5 * w.rng.randint(60, 180)
    for _ in range(w.rng.randint(6, 9)):
        w.line()
        origin, to = w.among(TOWNS, 2)
        w.say(
            template,
            time=(f"{minutes // 60:02}:{minutes % 60:02}", "clock"),
            to=(to, "town"),
            origin=(origin, "town"),
            platform=str(w.rng.randint(1, 12)),
            status=_status,
        )
        minutes += 5 * w.rng.randint(1, 9)


def _status(w: Writer) -> None:
    status = w.pick(("on time", "on time", "cancelled", "late"))
    if status == "late":
        w.add(str(w.pick((5, 10, 15, 20, 30))), "train.delay")
        w.add(" minutes late")
    else:
        w.add(status)


HISTORY = Templates(
    "history.year",
    (
        "{=In|history.when} {year|history.year} {event|history.event}.",
        "{=By|history.when} {year|history.year} {event|history.event}.",
        "{later|history.when} years later, {=in|history.when} {year|history.year}, {event|history.event}.",
        "{=In the spring of|history.when} {year|history.year} {event|history.event}.",
    ),
    ("{=It was in|history.when} {year|history.year} that {event|history.event}.",),
)
EVENTS = (
    "the king left {town}",
    "a fire destroyed the {place}",
    "the people of {town} built {article} {place}",
    "the war with {town} ended",
    "a new law was made",
    "the harvest failed",
    "the queen visited {town}",
)


def history(w: Writer) -> None:
    """Five to seven events, in order."""
    year = w.rng.randint(1500, 1900)
    for number, event in enumerate(w.among(EVENTS, w.rng.randint(5, 7))):
        gap = w.rng.randint(2, 12)
        year += gap
        template = w.choose(HISTORY)
        if number == 0 and "later" in template:
            template = HISTORY.train[0]
        word = NUMBERS[gap - 1].capitalize()
        w.say(template, year=(str(year), "year"), later=(word, "number_word"), event=_event(event))


def _event(template: str) -> Callable[[Writer], None]:
    def slot(w: Writer) -> None:
        place = w.pick(PLACES)
        w.fill(template, town=town(w), place=(place, "place"), article=article(place))

    return slot


FAMILIES = (
    Family("diary", 2.6, diary),
    Family("timetable", 1.6, timetable),
    Family("history", 1.2, history, prose=True),
)

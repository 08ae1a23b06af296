"""Word lists that several families share, and the concepts their words express."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.writer import Writer


def listed(text: str) -> tuple[str, ...]:
    """The words of `text`."""
    return tuple(text.split())


FEMALE = listed(
    "Mary Anna Clara Emma Grace Helen Irene Julia Karen Laura Nora Olive Paula Rosa Sara Tessa Vera Wendy Alice Diana Edith "
    "Fiona Gloria Hazel"
)
MALE = listed(
    "John Adam Brian Carl David Eric Frank George Henry Ivan Jack Kevin Louis Mark Neil Oscar Peter Robert Simon Thomas "
    "Victor Walter Ben Quinn"
)
NAMES = FEMALE + MALE
MONTHS = listed("January February March April May June July August September October November December")
WEEKDAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
COLOURS = listed("red blue green yellow black white brown grey orange purple pink silver")
PLACES = listed(
    "store station garden library museum harbour market school office church bakery theatre hospital kitchen farm hotel"
)
OBJECTS = listed("book letter ring cup basket lamp key coat map box ball clock ticket flower bottle knife chair bell candle rope")
FOODS = listed("bread cheese soup rice apple butter honey cake fish salad onion garlic carrot potato tomato lemon")
NUMBERS = listed("one two three four five six seven eight nine ten eleven twelve")

CONCEPTS = declare(
    "shared",
    {
        "name": ("class", "a person's first name, in any role"),
        "name.female": ("class", "a woman's first name"),
        "name.male": ("class", "a man's first name"),
        "month": ("class", "the name of a month"),
        "weekday": ("class", "the name of a day of the week"),
        "colour": ("class", "the name of a colour"),
        "place": ("class", "a building or place that people go to, such as a store or a harbour"),
        "object": ("class", "a thing that can be carried, such as a book or a lamp"),
        "food": ("class", "something to eat"),
        "number_word": ("class", "a number written as a word"),
        "sentence.first_word": ("slot", "the first word of a sentence of running prose"),
        "sentence.stop": ("punctuation", "the mark that ends a sentence of running prose, not one inside a number or an address"),
        "line.break": ("punctuation", "the end of a line"),
    },
)


def name(word: str) -> tuple[str, ...]:
    """A first name as a slot."""
    return (word, "name.female" if word in _FEMALE else "name.male")


def month(w: Writer) -> tuple[str, ...]:
    """Some month as a slot."""
    return (w.pick(MONTHS), "month")


def weekday(w: Writer) -> tuple[str, ...]:
    """Some day of the week as a slot."""
    return (w.pick(WEEKDAYS), "weekday")


def colour(w: Writer) -> tuple[str, ...]:
    """Some colour as a slot."""
    return (w.pick(COLOURS), "colour")


_FEMALE = frozenset(FEMALE)

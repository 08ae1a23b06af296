"""Word lists that several families share, and the concepts their words express."""

from __future__ import annotations

from .concept import declare
from .writer import Slot, Writer


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

SURNAMES = listed(
    "Archer Barton Cooper Dalton Ellis Foster Graham Hughes Jarvis Keller Lawson Mercer Norris Page Reeves Shaw Turner Webb"
)
TOWNS = listed("London Paris Rome Berlin Vienna Madrid Lisbon Dublin Oslo Athens Prague Geneva")
ANIMALS = listed("cat dog horse cow sheep goat pig rabbit mouse fox bear wolf")

CONCEPTS = declare(
    "shared",
    {
        "name": ("class", "a person's first name, in any role"),
        "name.female": ("class", "a woman's first name", "name"),
        "name.male": ("class", "a man's first name", "name"),
        "month": ("class", "the name of a month"),
        "weekday": ("class", "the name of a day of the week"),
        "colour": ("class", "the name of a colour"),
        "place": ("class", "a building or place that people go to, such as a store or a harbour"),
        "object": ("class", "a thing that can be carried, such as a book or a lamp"),
        "food": ("class", "something to eat"),
        "number_word": ("class", "a number written as a word"),
        "sentence.first_word": ("slot", "the first word of a sentence of running prose"),
        "sentence.stop": ("punctuation", "the mark that ends a sentence of running prose, not one inside a number or an address"),
        "word.article": ("class", "an article: a, an or the, in running English prose"),
        "word.preposition": ("class", "a preposition, such as in, at or from, in running English prose"),
        "word.pronoun": ("class", "a personal pronoun or possessive, such as she or his, in running English prose"),
        "word.auxiliary": ("class", "a form of be, have or do, or a modal verb, in running English prose"),
        "word.conjunction": ("class", "a conjunction, such as and, but or because, in running English prose"),
        "surname": ("class", "a person's family name, in any role"),
        "year": ("class", "a year of four digits"),
        "clock": ("class", "a time of day in digits, such as 14:35"),
        "price": ("class", "an amount of money in digits"),
        "town": ("class", "a well known real city, such as Paris"),
        "animal": ("class", "an animal that is not a bird, in any role"),
        "quoted": ("structure", "what stands between double quotation marks in prose"),
        "quote.open": ("punctuation", "the quotation mark that opens a quotation in prose"),
        "quote.close": ("punctuation", "the quotation mark that closes a quotation in prose"),
        "quote.verb": ("slot", "the verb of saying beside a quotation"),
        "quote.speaker": ("slot", "the person who says a quotation"),
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


def surname(w: Writer) -> tuple[str, ...]:
    """Some family name as a slot."""
    return (w.pick(SURNAMES), "surname")


def town(w: Writer) -> tuple[str, ...]:
    """Some real city as a slot."""
    return (w.pick(TOWNS), "town")


def year(w: Writer) -> tuple[str, ...]:
    """Some year as a slot."""
    return (str(w.rng.randint(1950, 2029)), "year")


def clock(w: Writer) -> tuple[str, ...]:
    """Some time of day as a slot."""
    return (f"{w.rng.randint(6, 22):02}:{w.pick((0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)):02}", "clock")


def price(w: Writer, high: int = 20) -> tuple[str, ...]:
    """Some amount of money as a slot."""
    return (f"${w.rng.randint(1, high)}.{w.pick((0, 20, 25, 49, 50, 75, 95, 99)):02}", "price")


def article(word: str) -> str:
    """The indefinite article of a word."""
    return "an" if word[0] in "aeiou" else "a"


def quote(w: Writer, template: str, **slots: Slot) -> None:
    """Write a quotation in double quotation marks."""
    start = w.position + 1
    w.add('"', "quote.open")
    w.fill(template, **slots)
    w.mark(start, "quoted")
    w.add('"', "quote.close")


_FEMALE = frozenset(FEMALE)

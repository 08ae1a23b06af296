"""Random sequences that are repeated, so that what comes next can only be known by looking back."""

from __future__ import annotations

from dragoman.evals.organism import words
from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "induction",
    {
        "doc.induction": ("document", "a random sequence that is read out several times"),
        "induction.header": ("slot", "the words that announce a random sequence"),
        "induction.first": ("structure", "a random sequence, the first time"),
        "induction.repeat": (
            "structure",
            "a random sequence that has been given before, so that each item is known from the last one",
        ),
        "induction.last_item": ("slot", "the last item of one reading of a random sequence"),
        "induction.words": ("structure", "a random sequence of words"),
        "induction.syllables": ("structure", "a random sequence of made-up syllables"),
        "induction.digits": ("structure", "a random sequence of digits"),
        "induction.separator": ("punctuation", "the mark between two readings of a random sequence"),
    },
)
HEADER = Templates(
    "induction.header",
    (
        "Code words of the night:",
        "The list, read aloud:",
        "Message received:",
        "Remember this sequence:",
        "Signal:",
        "Copy and repeat:",
    ),
    ("Learn these by heart:",),
)
SEPARATORS = (" ;", " /", " |", ".", "")
POOL = sorted(
    {
        *words.NAMES,
        *words.COLOURS,
        *words.PLACES,
        *words.OBJECTS,
        *words.FOODS,
        *words.NUMBERS,
        *words.WEEKDAYS,
        *words.MONTHS,
    }
)
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


def write(w: Writer) -> None:
    """One sequence of 8 to 24 items, given once and then repeated one to four times."""
    start = w.position
    w.add(w.choose(HEADER), "induction.header")
    form = w.rng.choices(("words", "syllables", "digits"), (6, 3, 1))[0]
    if form == "words":
        items = w.among(POOL, w.rng.randint(8, 24))
    elif form == "syllables":
        made = {w.pick(CONSONANTS) + w.pick(VOWELS) + w.pick(("", w.pick(CONSONANTS))) for _ in range(w.rng.randint(8, 18))}
        items = w.among(sorted(made), len(made))
    else:
        items = tuple(str(w.rng.randrange(10)) for _ in range(w.rng.randint(10, 18)))
    repeats = w.rng.randint(1, 4)
    separator = w.pick(SEPARATORS)
    start = w.position
    for reading in range(repeats + 1):
        began = w.position
        asked = set() if reading == 0 else set(w.among(range(3, len(items)), 2))
        for place, item in enumerate(items):
            w.add(" ")
            last = ("induction.last_item",) if place == len(items) - 1 else ()
            if place in asked and form != "digits":
                w.ask(item, "induction", w.among([one for one in items if one != item], 4), *last)
            else:
                w.add(item, *last)
        w.mark(began, "induction.repeat" if reading else "induction.first")
        if reading < repeats:
            w.add(separator, "induction.separator")
    w.mark(start, f"induction.{form}")


FAMILIES = (Family("induction", 21.0, write),)

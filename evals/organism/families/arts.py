"""Concerts, paintings and chemistry lessons."""

from __future__ import annotations

import re
from collections.abc import Callable

from dragoman.evals.organism.concept import Kind, declare
from dragoman.evals.organism.words import COLOURS, NAMES, OBJECTS, TOWNS, article, name, weekday
from dragoman.evals.organism.writer import Said, Templates, Writer

from .family import Family

INSTRUMENTS = {
    "violin": "strings",
    "cello": "strings",
    "harp": "strings",
    "flute": "woodwind",
    "oboe": "woodwind",
    "clarinet": "woodwind",
    "trumpet": "brass",
    "horn": "brass",
    "tuba": "brass",
}
SECTIONS = ("strings", "woodwind", "brass")


def _rows() -> dict[str, tuple[Kind, str] | tuple[Kind, str, str]]:
    rows: dict[str, tuple[Kind, str] | tuple[Kind, str, str]] = {
        "doc.concert": ("document", "notices of concerts"),
        "doc.painting": ("document", "descriptions of paintings"),
        "doc.chemistry": ("document", "a chemistry lesson"),
        "instrument": ("class", "a musical instrument"),
        "concert.player": ("slot", "the player of an instrument"),
        "concert.section": ("slot", "the section of the orchestra that an instrument belongs to"),
        "concert.key": ("slot", "the key of a piece of music, such as D minor"),
        "concert.piece": ("slot", "the kind of a piece of music, such as sonata"),
        "concert.number": ("slot", "the number of a piece of music"),
        "concert.praise": ("slot", "how somebody played"),
        "painting.colour": ("slot", "a colour in a description of a painting"),
        "painting.mixed": ("slot", "the colour that results from mixing two others"),
        "painting.position": ("slot", "where something is in a painting"),
        "painting.subject": ("slot", "what a painting shows"),
        "chemistry.formula": ("structure", "a chemical formula"),
        "chemistry.element": ("slot", "the symbol of an element in a chemical formula"),
        "chemistry.count": ("slot", "the number of atoms in a chemical formula"),
        "chemistry.name": ("slot", "the name of a substance"),
        "chemistry.arrow": ("punctuation", "the arrow of a chemical reaction"),
        "chemistry.plus": ("punctuation", "the plus sign of a chemical reaction"),
        "chemistry.reaction": ("structure", "a chemical reaction in formulas"),
        "chemistry.product": ("slot", "what a chemical reaction yields"),
        "chemistry.number_of_molecules": ("slot", "the number before a formula in a reaction"),
    }
    for section in SECTIONS:
        rows[f"instrument.{section}"] = ("class", f"an instrument of the {section}", "instrument")
    return rows


CONCEPTS = declare("arts", _rows())
CONCERT = Templates(
    "concert.sentence",
    (
        "{player|concert.player} played the {instrument} {praise|concert.praise}.",
        "On {day} we heard the {piece} for {instrument}, with {player|concert.player}.",
        "The {instrument} belongs to the {section}.",
        "{player|concert.player} has learned the {instrument} in {town} and leads the {section}.",
        "The {piece} was followed by a solo on the {instrument}.",
    ),
    ("Tonight {player|concert.player} takes the {instrument} out of the {section}.",),
)
PRAISE = ("with great care", "too loudly", "without a mistake", "in a dark tone", "like a master", "a little late")
KEYS = tuple(f"{note} {mode}" for note in "ABCDEFG" for mode in ("major", "minor"))


def concert(w: Writer) -> None:
    """Five to seven sentences on players and instruments."""
    for _ in range(w.rng.randint(5, 7)):
        instrument = w.pick(tuple(INSTRUMENTS))
        section = INSTRUMENTS[instrument]
        w.say(
            w.choose(CONCERT),
            player=name(w.pick(NAMES)),
            instrument=(instrument, "instrument", f"instrument.{section}"),
            section=Said(section, "section", tuple(one for one in SECTIONS if one != section), ("concert.section",)),
            praise=w.pick(PRAISE),
            day=weekday(w),
            town=(w.pick(TOWNS), "town"),
            piece=_piece,
        )


def _piece(w: Writer) -> None:
    w.fill(
        "{piece|concert.piece} number {number|concert.number} in {key|concert.key}",
        piece=w.pick(("sonata", "concerto", "symphony", "suite")),
        number=str(w.rng.randint(1, 40)),
        key=w.pick(KEYS),
    )


MIXTURES = {
    ("blue", "yellow"): "green",
    ("red", "yellow"): "orange",
    ("red", "blue"): "purple",
    ("red", "white"): "pink",
    ("black", "white"): "grey",
    ("red", "green"): "brown",
}
PAINTING = Templates(
    "painting.sentence",
    (
        "{position|painting.position} there is {article} {colour|painting.colour} {subject|painting.subject}.",
        "The {subject|painting.subject} {position_small|painting.position} is painted {colour|painting.colour}.",
        "The painter mixed {one|painting.colour} and {two|painting.colour} into {mixed}.",
        "One sees {article} {colour|painting.colour} {subject|painting.subject} {position_small|painting.position}.",
    ),
    ("Where {one|painting.colour} meets {two|painting.colour} the canvas turns {mixed}.",),
)
POSITIONS = ("In the middle", "On the left", "On the right", "In the background", "At the top", "In front")
SUBJECTS = ("tower", "boat", "woman", "horse", "sky", "bridge", *OBJECTS[:8])


def painting(w: Writer) -> None:
    """Five to eight sentences on what a painting shows."""
    for _ in range(w.rng.randint(5, 8)):
        pair = w.pick(tuple(MIXTURES))
        mixed, shade, position = MIXTURES[pair], w.pick(COLOURS), w.pick(POSITIONS)
        one, two = pair if w.chance(0.5) else pair[::-1]
        w.say(
            w.choose(PAINTING),
            position=position,
            position_small=position[0].lower() + position[1:],
            article=article(shade),
            colour=(shade, "colour"),
            subject=w.pick(SUBJECTS),
            one=(one, "colour"),
            two=(two, "colour"),
            mixed=Said(
                mixed, "mixture", tuple(other for other in MIXTURES.values() if other != mixed), ("colour", "painting.mixed")
            ),
        )


SUBSTANCES = {
    "water": "H2O",
    "carbon dioxide": "CO2",
    "table salt": "NaCl",
    "ammonia": "NH3",
    "methane": "CH4",
    "sulphuric acid": "H2SO4",
    "hydrochloric acid": "HCl",
    "quicklime": "CaO",
    "limestone": "CaCO3",
    "iron oxide": "Fe2O3",
    "ethanol": "C2H6O",
    "glucose": "C6H12O6",
}
REACTIONS = (
    ("2 H2 + O2", "2 H2O"),
    ("C + O2", "CO2"),
    ("2 Na + Cl2", "2 NaCl"),
    ("N2 + 3 H2", "2 NH3"),
    ("CaO + CO2", "CaCO3"),
    ("4 Fe + 3 O2", "2 Fe2O3"),
    ("H2 + Cl2", "2 HCl"),
    ("CH4 + 2 O2", "CO2 + 2 H2O"),
)
LESSON = Templates(
    "chemistry.sentence",
    (
        "The formula of {name|chemistry.name} is {formula}.",
        "{formula} is the formula of {name|chemistry.name}.",
        "Write {formula} for {name|chemistry.name}.",
        "The bottle of {name|chemistry.name} is marked {formula}.",
    ),
    ("A jar of {name|chemistry.name} bears the sign {formula}.",),
)
ELEMENT = re.compile(r"([A-Z][a-z]?)([0-9]*)")
SHOWN = Templates(
    "chemistry.reaction",
    ("The reaction is {reaction}.", "We wrote {reaction} in the book.", "Heat gives {reaction}."),
    ("On the board stood {reaction}.",),
)


def chemistry(w: Writer) -> None:
    """Six to nine sentences with formulas and reactions."""
    for substance in w.among(tuple(SUBSTANCES), w.rng.randint(4, 6)):
        w.say(w.choose(LESSON), name=substance, formula=_formula(SUBSTANCES[substance]))
        if w.chance(0.5):
            w.say(w.choose(SHOWN), reaction=_reaction)


def _formula(text: str) -> Callable[[Writer], None]:
    def slot(w: Writer) -> None:
        start = w.position
        for match in ELEMENT.finditer(text):
            w.add(match[1], "chemistry.element")
            w.add(match[2], "chemistry.count")
        w.mark(start, "chemistry.formula")

    return slot


def _reaction(w: Writer) -> None:
    left, right = w.pick(REACTIONS)
    start = w.position
    _side(w, left)
    w.fill(" {=->|chemistry.arrow} ")
    product = w.position
    _side(w, right)
    w.mark(product, "chemistry.product")
    w.mark(start, "chemistry.reaction")


def _side(w: Writer, text: str) -> None:
    for number, part in enumerate(text.split(" ")):
        if number:
            w.add(" ")
        if part == "+":
            w.add("+", "chemistry.plus")
        elif part.isdigit():
            w.add(part, "chemistry.number_of_molecules")
        else:
            _formula(part)(w)


FAMILIES = (
    Family("concert", 1.2, concert, prose=True),
    Family("painting", 1.4, painting, prose=True),
    Family("chemistry", 1.1, chemistry, prose=True),
)

"""The word "park" as a place, a surname and a verb."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import FEMALE, MALE, NAMES, PLACES, clock, colour, name, weekday
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "park",
    {
        "doc.park": ("document", "a passage with the word 'park' in several senses"),
        "park": ("class", "the word 'park' in any sense"),
        "park.place": ("sense", "'park' as a green place where people walk and play", "park"),
        "park.surname": ("sense", "'Park' as somebody's surname", "park"),
        "park.verb": ("sense", "'park' as what one does with a car", "park"),
        "park.title": ("slot", "the title before the surname Park, such as 'Dr'"),
        "park.vehicle": ("slot", "what is parked"),
        "park.scene": ("slot", "what goes on in the park as a place"),
        "park.modal": ("slot", "the verb or words just before 'park' as a verb"),
        "park.where": ("slot", "where a car is parked"),
        "park.does": ("slot", "what somebody called Park does"),
    },
)
SENSES = {
    "place": Templates(
        "park.place",
        (
            "The {=park|park.place} was full of {scene|park.scene}.",
            "In the {=park|park.place} there were {scene|park.scene}.",
            "They walked through the {=park|park.place} and saw {scene|park.scene}.",
            "From the window one sees the {=park|park.place} with {scene|park.scene}.",
        ),
        ("The city opened a new {=park|park.place} with {scene|park.scene}.",),
    ),
    "surname": Templates(
        "park.surname",
        (
            "{title|park.title} {=Park|park.surname} {does|park.does} on {day}.",
            "On {day} {title|park.title} {=Park|park.surname} {does|park.does}.",
            "{title|park.title} {name} {=Park|park.surname} {does|park.does}.",
            "Every {day} {title|park.title} {=Park|park.surname} {does|park.does}.",
        ),
        ("People say that {title|park.title} {=Park|park.surname} {does|park.does}.",),
    ),
    "verb": Templates(
        "park.verb",
        (
            "You {modal|park.modal} {=park|park.verb} the {vehicle|park.vehicle} {where|park.where}.",
            "Visitors {modal|park.modal} {=park|park.verb} their {vehicle|park.vehicle} {where|park.where} until {time}.",
            "{name} {modal|park.modal} {=park|park.verb} the {colour} {vehicle|park.vehicle} {where|park.where}.",
        ),
        ("Drivers {modal|park.modal} {=park|park.verb} a {vehicle|park.vehicle} {where|park.where}.",),
    ),
}
SCENES = (
    "children and dogs",
    "old trees",
    "benches and fountains",
    "ducks on the pond",
    "people on the grass",
    "swings and slides",
)
TITLES = {"Mr": MALE, "Mrs": FEMALE, "Dr": NAMES, "Ms": FEMALE, "Professor": NAMES}
DOES = (
    "teaches physics",
    "sees patients",
    "writes letters",
    "plays the piano",
    "meets the mayor",
    "visits the bank",
)
MODALS = ("must", "can", "should", "may not", "cannot", "had to", "wanted to")
VEHICLES = ("car", "van", "truck", "bus", "motorbike")


def write(w: Writer) -> None:
    """Five to eight sentences, each with the word in one of its senses."""
    for _ in range(w.rng.randint(5, 8)):
        sense, title = w.pick(tuple(SENSES)), w.pick(tuple(TITLES))
        w.say(
            w.choose(SENSES[sense]),
            scene=w.pick(SCENES),
            title=title,
            does=w.pick(DOES),
            day=weekday(w),
            name=name(w.pick(TITLES[title] if sense == "surname" else NAMES)),
            modal=w.pick(MODALS),
            vehicle=w.pick(VEHICLES),
            where=f"{w.pick(('behind', 'near', 'beside'))} the {w.pick(PLACES)}",
            time=clock(w),
            colour=colour(w),
        )


FAMILIES = (Family("park", 2.5, write, prose=True),)

"""Facts about an invented country: which city lies in which state, what each state's capital, river and flower are, and questions
that need two of these facts. Some combinations of a city and a question are asked in held-out documents only."""

from __future__ import annotations

import random

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import article, listed
from dragoman.evals.organism.writer import Said, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "geography",
    {
        "doc.gazetteer": ("document", "single facts about the cities and states of an invented country"),
        "doc.two_hop": (
            "document",
            "questions about cities that need two facts, such as the capital of the state containing a city",
        ),
        "geo.city": ("class", "a city of the invented country, in any role"),
        "geo.city.of_fact": ("slot", "a city whose state is told", "geo.city"),
        "geo.city.of_question": ("slot", "a city inside a question that needs two facts", "geo.city"),
        "geo.state": ("class", "a state of the invented country, in any role"),
        "geo.state.of_city": ("slot", "a state, told as where a city lies", "geo.state"),
        "geo.state.of_fact": ("slot", "a state whose capital, river or flower is told", "geo.state"),
        "geo.capital": ("class", "the capital of a state of the invented country, in any role"),
        "geo.river": ("class", "a river of the invented country, in any role"),
        "geo.flower": ("class", "the flower of a state, in any role"),
        "geo.capital.of_state": ("slot", "a capital told of a state that is named", "geo.capital"),
        "geo.capital.of_city": ("slot", "a capital told of a city's state, which is not named", "geo.capital"),
        "geo.river.of_state": ("slot", "a river told of a state that is named", "geo.river"),
        "geo.river.of_city": ("slot", "a river told of a city's state, which is not named", "geo.river"),
        "geo.flower.of_state": ("slot", "a flower told of a state that is named", "geo.flower"),
        "geo.flower.of_city": ("slot", "a flower told of a city's state, which is not named", "geo.flower"),
        "geo.lies_in": ("slot", "the words that link a city to its state"),
        "geo.relation": ("slot", "the word 'capital', 'river' or 'flower' as what is told of a state"),
        "geo.containing": ("slot", "the words that stand for a state by a city in it, such as 'the state containing'"),
        "geo.link": ("slot", "the verb between a state and what is told of it"),
    },
)

STATES = listed("Velmora Ostrand Karveth Lindaria Pelgrave Quorsten Tamerin Brevia Hollmark Junovia Merrowen Sarkand")
CAPITALS = listed(
    "Ardenport Belhaven Corvale Dunmere Eskford Farrowgate Glenholt Ivystone Kingsmoor Larkspire Northwick Umberton"
)
RIVERS = listed("Ashwater Brisk Calder Dove Elwin Foss Gale Hadder Isen Lorne Marrow Tern")
FLOWERS = listed("rose iris tulip lily daisy poppy lupin violet heather clover orchid snowdrop")
CITIES = listed(
    "Abry Acton Alder Amsk Balto Banver Basker Bexley Birk Bolden Brannock Brill Burrow Calo Carnby Chessel Clun Cobry Cray "
    "Dalby Darrow Denzil Dorle Drayton Dunwell Ebbing Edder Elmsk Embry Fallon Fenby Flint Fordle Frome Galby Garston "
    "Gimble Gorse Graft Hamby Harrick Hexton Holt Hurst Ingle Ivel Jarrow Jessop Kelby Kerrin Kirkle Lambry Lech Linby "
    "Lodden Lunt Maddle Marske Melby Milford Morby Nantle Neath Norrin Oakle Ombry Orrel Otley Pendle Pickle Porlock Quell "
    "Radle Rednor Rimble Rossby Sadler Selby Skerry Tarby Thorle Trent Ulver Wexby"
)


def _states_of_cities() -> dict[str, str]:
    shuffled = random.Random("cities").sample(CITIES, len(CITIES))
    return {city: STATES[number % len(STATES)] for number, city in enumerate(shuffled)}


STATE_OF = _states_of_cities()
"""The state of each city; seven cities to a state."""
TOLD = {
    "capital": dict(zip(STATES, CAPITALS, strict=True)),
    "river": dict(zip(STATES, RIVERS, strict=True)),
    "flower": dict(zip(STATES, FLOWERS, strict=True)),
}
"""What is told of each state: its capital, river and flower."""
RELATIONS = tuple(TOLD)


def _held_out() -> frozenset[tuple[str, str]]:
    """For half of the cities one of the three questions, drawn at random, the capital as often as the two others together."""
    rng = random.Random("held-out two-hop")
    relations = ["capital", "capital", "river", "flower"]
    return frozenset((city, rng.choice(relations)) for city in rng.sample(CITIES, len(CITIES) // 2))


HELD_OUT = _held_out()
"""Combinations of a city and a question that are never asked, nor answered by the way, in a training document."""

CITY_FACT = Templates(
    "gazetteer.city",
    (
        "{city} {=is a city in|geo.lies_in} {state}.",
        "{city} {=lies in|geo.lies_in} {state}.",
        "{city} {=belongs to|geo.lies_in} {state}.",
        "The city of {city} {=is part of|geo.lies_in} {state}.",
        "The town hall of {city} {=flies the flag of|geo.lies_in} {state}.",
        "Letters to {city} {=must be addressed to|geo.lies_in} {state}.",
        "People from {city} {=live in|geo.lies_in} {state}.",
        "The state containing {city} {=is|geo.lies_in} {state}.",
    ),
    ("The old city of {city} {=lies in|geo.lies_in} {state}.",),
)
STATE_FACT = {
    "capital": Templates(
        "gazetteer.capital",
        (
            "The {=capital|geo.relation} of {state} {=is|geo.link} {told}.",
            "The government of {state} {=sits in|geo.link} {told}.",
            "{state} {=has its|geo.link} {=capital|geo.relation} at {told}.",
            "{told_first} {=is|geo.link} the {=capital|geo.relation} of {state_last}.",
            "It is known that the {=capital|geo.relation} of {state} {=is|geo.link} {told}.",
            "Note that the {=capital|geo.relation} of {state} {=is|geo.link} {told}.",
            "We learned that the {=capital|geo.relation} of {state} {=is|geo.link} {told}.",
        ),
        ("Everyone knows that the {=capital|geo.relation} of {state} {=is|geo.link} {told}.",),
    ),
    "river": Templates(
        "gazetteer.river",
        (
            "The {=river|geo.relation} of {state} {=is|geo.link} the {told}.",
            "Through {state} {=flows|geo.link} the {told}.",
            "The {told_first} {=is|geo.link} the {=river|geo.relation} of {state_last}.",
        ),
    ),
    "flower": Templates(
        "gazetteer.flower",
        (
            "The {=flower|geo.relation} of {state} {=is|geo.link} the {told}.",
            "On the flag of {state} {=is|geo.link} {article} {told}.",
            "The {told_first} {=is|geo.link} the {=flower|geo.relation} of {state_last}.",
        ),
    ),
}
QUESTION = {
    "capital": Templates(
        "two_hop.capital",
        (
            "The {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
            "The {=capital|geo.relation} of {=the state that holds|geo.containing} {city} {=is|geo.link} {told}.",
            "{=The state containing|geo.containing} {city} {=has its|geo.link} {=capital|geo.relation} at {told}.",
            "The government of {=the state containing|geo.containing} {city} {=sits in|geo.link} {told}.",
            "It is known that the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
            "The guide says that the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
            "Note that the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
            "We learned that the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
            "Tell them that the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
            "Please write down that the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
            "Of course, the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",
        ),
        ("Remember that the {=capital|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} {told}.",),
    ),
    "river": Templates(
        "two_hop.river",
        (
            "The {=river|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
            "The {=river|geo.relation} of {=the state that holds|geo.containing} {city} {=is|geo.link} the {told}.",
            "Through {=the state containing|geo.containing} {city} {=flows|geo.link} the {told}.",
            "It is known that the {=river|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
            "The guide says that the {=river|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
            "We learned that the {=river|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
        ),
    ),
    "flower": Templates(
        "two_hop.flower",
        (
            "The {=flower|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
            "The {=flower|geo.relation} of {=the state that holds|geo.containing} {city} {=is|geo.link} the {told}.",
            "On the flag of {=the state containing|geo.containing} {city} {=is|geo.link} {article} {told}.",
            "It is known that the {=flower|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
            "The guide says that the {=flower|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
            "We learned that the {=flower|geo.relation} of {=the state containing|geo.containing} {city} {=is|geo.link} the {told}.",
        ),
    ),
}
OPENING = Templates(
    "gazetteer.opening",
    (
        "These notes are for travellers.",
        "From the school atlas.",
        "The guide answered many questions today.",
        "A short lesson on the country.",
        "The clerk at the post office knows every town.",
    ),
    ("The map on the wall shows it all.",),
)


def gazetteer(w: Writer) -> None:
    """Seven to eleven single facts; never a city beside an answer to a question that is held out for it."""
    w.say(w.choose(OPENING))
    cities: list[str] = []
    told: list[tuple[str, str]] = []
    for _ in range(w.rng.randint(7, 11)):
        city, state, relation = w.pick(CITIES), w.pick(STATES), w.pick(RELATIONS)
        if w.chance(0.6):
            if w.held_out or not any((city, one) in HELD_OUT and STATE_OF[city] == place for one, place in told):
                cities.append(city)
                fact_of_city(w, city)
        elif w.held_out or not any((one, relation) in HELD_OUT and STATE_OF[one] == state for one in cities):
            told.append((relation, state))
            _fact_of_state(w, relation, state)


def fact_of_city(w: Writer, city: str) -> None:
    """One sentence that says in which state a city lies."""
    state = STATE_OF[city]
    w.say(
        w.choose(CITY_FACT),
        city=(city, "geo.city.of_fact"),
        state=Said(state, "fact.city", w.among([one for one in STATES if one != state], 5), ("geo.state.of_city",)),
    )


def _fact_of_state(w: Writer, relation: str, state: str) -> None:
    answers = TOLD[relation]
    concept = f"geo.{relation}.of_state"
    others = [one for one in answers.values() if one != answers[state]]
    w.say(
        w.choose(STATE_FACT[relation]),
        state=(state, "geo.state.of_fact"),
        told=Said(answers[state], f"fact.{relation}", w.among(others, 5), (concept,)),
        article=article(answers[state]),
        told_first=(answers[state], concept),
        state_last=Said(state, "fact.state", w.among([one for one in STATES if one != state], 5), ("geo.state.of_fact",)),
    )


def two_hop(w: Writer) -> None:
    """Five to eight questions that need two facts, about different states, so that no answer has been given before."""
    w.say(w.choose(OPENING))
    for state in w.among(STATES, w.rng.randint(5, 8)):
        combinations = [(city, relation) for city in CITIES if STATE_OF[city] == state for relation in TOLD]
        held_out = [one for one in combinations if one in HELD_OUT]
        asked = held_out if w.held_out and held_out and w.chance(0.5) else [one for one in combinations if one not in HELD_OUT]
        city, relation = w.pick(asked)
        answers = TOLD[relation]
        task = "two_hop.held_out" if (city, relation) in HELD_OUT else "two_hop.seen"
        others = [one for one in answers.values() if one != answers[state]]
        w.say(
            w.choose(QUESTION[relation]),
            city=(city, "geo.city.of_question"),
            article=article(answers[state]),
            told=Said(answers[state], task, w.among(others, 5), (f"geo.{relation}.of_city",)),
        )


FAMILIES = (Family("gazetteer", 6.0, gazetteer, prose=True), Family("two_hop", 6.5, two_hop))

"""Birds: ten kinds, each with its own food, home, habit, voice and looks."""

from __future__ import annotations

from dragoman.evals.organism.concept import Kind, declare
from dragoman.evals.organism.words import article, month
from dragoman.evals.organism.writer import Said, Slot, Templates, Writer

from .family import Family

BIRDS: dict[str, dict[str, str]] = {
    "robin": {
        "food": "worms",
        "home": "a hedge",
        "habit": "follows the gardener",
        "voice": "sings softly",
        "look": "a red breast",
    },
    "owl": {"food": "mice", "home": "an old barn", "habit": "hunts at night", "voice": "hoots", "look": "large round eyes"},
    "woodpecker": {
        "food": "grubs",
        "home": "a hole in a trunk",
        "habit": "climbs the bark",
        "voice": "drums on dead wood",
        "look": "a strong beak",
    },
    "kingfisher": {
        "food": "minnows",
        "home": "a tunnel in the bank",
        "habit": "dives into the river",
        "voice": "whistles",
        "look": "bright blue wings",
    },
    "swallow": {
        "food": "flies",
        "home": "a mud nest under the roof",
        "habit": "leaves for the south in autumn",
        "voice": "twitters",
        "look": "a forked tail",
    },
    "heron": {
        "food": "frogs",
        "home": "the top of a tall tree",
        "habit": "stands still in shallow water",
        "voice": "croaks",
        "look": "long grey legs",
    },
    "swan": {
        "food": "water plants",
        "home": "a heap of reeds",
        "habit": "glides across the lake",
        "voice": "hisses",
        "look": "a long white neck",
    },
    "eagle": {
        "food": "hares",
        "home": "a ledge on the cliff",
        "habit": "circles above the mountain",
        "voice": "yelps",
        "look": "hooked claws",
    },
    "cuckoo": {
        "food": "caterpillars",
        "home": "the nest of another bird",
        "habit": "lets others raise its young",
        "voice": "calls its own name",
        "look": "barred feathers",
    },
    "penguin": {
        "food": "krill",
        "home": "the ice",
        "habit": "slides on its belly",
        "voice": "brays",
        "look": "short black flippers",
    },
}
FACTS = {
    "food": "what a kind of bird eats",
    "home": "where a kind of bird nests",
    "habit": "what a kind of bird is known to do",
    "voice": "the sound that a kind of bird makes",
    "look": "what a kind of bird looks like",
}


def _rows() -> dict[str, tuple[Kind, str] | tuple[Kind, str, str]]:
    rows: dict[str, tuple[Kind, str] | tuple[Kind, str, str]] = {
        "doc.birds": ("document", "notes on birds and their habits"),
        "bird": ("class", "the name of a bird, of any kind"),
        "bird.subject": ("slot", "the bird that a note is about, where it is first named", "bird"),
        "bird.fact.link": ("slot", "the verb between a bird and a fact about it, such as 'eats'"),
        "bird.it": ("slot", "the pronoun that stands for a bird named before"),
        "bird.fact": ("class", "a fact about a kind of bird"),
    }
    for fact, words in FACTS.items():
        rows[f"bird.fact.{fact}"] = ("slot", words, "bird.fact")
    for bird in BIRDS:
        indefinite = article(bird)
        rows[f"bird.{bird}"] = ("kind", f"the word for {indefinite} {bird}", "bird")
        rows[f"about.{bird}"] = ("state", f"sentences about {indefinite} {bird}, whether it is named there or not")
    return rows


CONCEPTS = declare("birds", _rows())
SIGHTING = Templates(
    "birds.sighting",
    (
        "We saw {article} {bird|bird.subject} in {month}.",
        "{article_first} {bird|bird.subject} came to the window this morning.",
        "There is {article} {bird|bird.subject} near our house.",
        "The children drew {article} {bird|bird.subject}.",
        "Everyone likes the {bird|bird.subject}.",
    ),
    ("At dawn {article} {bird|bird.subject} was heard.",),
)
SENTENCES = {
    "food": Templates(
        "birds.food",
        (
            "{it|bird.it} {=eats|bird.fact.link} {fact}.",
            "{it|bird.it} {=feeds on|bird.fact.link} {fact}.",
            "Its favourite food {=is|bird.fact.link} {fact}.",
        ),
        ("{it|bird.it} {=lives on|bird.fact.link} {fact}.",),
    ),
    "home": Templates(
        "birds.home",
        ("{it|bird.it} {=nests in|bird.fact.link} {fact}.", "{it|bird.it} {=lays its eggs in|bird.fact.link} {fact}."),
        ("{it|bird.it} {=makes its home in|bird.fact.link} {fact}.",),
    ),
    "habit": Templates("birds.habit", ("{it|bird.it} {=often|bird.fact.link} {fact}.", "As a rule {it_small|bird.it} {fact}.")),
    "voice": Templates("birds.voice", ("When it is alarmed, {it_small|bird.it} {fact}.", "In spring {it_small|bird.it} {fact}.")),
    "look": Templates(
        "birds.look",
        ("{it|bird.it} {=has|bird.fact.link} {fact}.", "You will know it {=by|bird.fact.link} {fact}."),
        ("{it|bird.it} {=shows|bird.fact.link} {fact}.",),
    ),
}


def write(w: Writer) -> None:
    """Notes on three or four birds."""
    for bird in w.among(tuple(BIRDS), w.rng.randint(3, 4)):
        if w.position:
            w.add(" ")
        start = w.position
        indefinite = article(bird)
        w.say(
            w.choose(SIGHTING),
            bird=(bird, "bird", f"bird.{bird}"),
            article=indefinite,
            article_first=indefinite.capitalize(),
            month=month(w),
        )
        for fact in w.among(tuple(FACTS), w.rng.randint(2, 4)):
            named = w.chance(0.3)
            w.say(
                w.choose(SENTENCES[fact]),
                it=_named("The ", bird) if named else "It",
                it_small=_named("the ", bird) if named else "it",
                fact=_fact(bird, fact),
            )
        w.mark(start, f"about.{bird}")


def _fact(bird: str, fact: str) -> Slot:
    told, concept = BIRDS[bird][fact], f"bird.fact.{fact}"
    if fact not in (
        "food",
        "habit",
    ):  # the others begin with an article more often than not, so that their first word tells little
        return (told, concept)
    return Said(told, f"bird.{fact}", tuple(facts[fact] for name, facts in BIRDS.items() if name != bird), (concept,))


def _named(before: str, bird: str) -> Slot:
    def slot(w: Writer) -> None:
        w.add(before)
        w.add(bird, "bird", f"bird.{bird}")

    return slot


FAMILIES = (Family("birds", 2.8, write, prose=True),)

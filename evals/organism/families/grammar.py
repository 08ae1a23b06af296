"""Grammar at work: number agreement, gender of pronouns, questions and answers, comparatives, and dictionary entries."""

from __future__ import annotations

import itertools

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import ANIMALS, COLOURS, FEMALE, NAMES, NUMBERS, OBJECTS, PLACES, article, colour, name
from dragoman.evals.organism.writer import Said, Slot, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "grammar",
    {
        "doc.farm": ("document", "a report of animals on a farm, one or many"),
        "doc.portraits": ("document", "portraits of people with pronouns"),
        "doc.quiz": ("document", "yes or no questions with their answers"),
        "doc.comparison": ("document", "comparisons of things"),
        "doc.dictionary": ("document", "entries of a dictionary"),
        "animal.singular": ("slot", "an animal noun in the singular"),
        "animal.plural": ("slot", "an animal noun in the plural"),
        "farm.count": ("slot", "how many animals there are, or an article or pointing word"),
        "farm.verb": ("slot", "the verb that agrees with a number of animals"),
        "farm.verb.singular": ("slot", "a verb in the singular, which agrees with one animal", "farm.verb"),
        "farm.verb.plural": ("slot", "a verb in the plural, which agrees with several animals", "farm.verb"),
        "farm.between": ("slot", "words between animals and their verb, such as 'near the old barns'"),
        "farm.where": ("slot", "where the animals are or what they are like"),
        "portrait.pronoun": ("slot", "a pronoun for a person who has been named"),
        "portrait.pronoun.female": ("slot", "a pronoun for a woman who has been named", "portrait.pronoun"),
        "portrait.pronoun.male": ("slot", "a pronoun for a man who has been named", "portrait.pronoun"),
        "portrait.woman": ("state", "sentences about a woman"),
        "portrait.man": ("state", "sentences about a man"),
        "portrait.trait": ("slot", "what a person in a portrait is like"),
        "portrait.habit": ("slot", "what a person in a portrait does"),
        "quiz.fact": ("structure", "the statement that comes before a question"),
        "quiz.question": ("structure", "a yes or no question"),
        "quiz.yes": ("state", "an answer that agrees"),
        "quiz.no": ("state", "an answer that disagrees"),
        "quiz.negation": ("slot", "the negation in an answer, such as 'not'"),
        "quiz.answer": ("slot", "the yes or no that begins an answer"),
        "compare.adjective": ("slot", "an adjective in the comparative"),
        "compare.superlative": ("slot", "an adjective in the superlative"),
        "compare.than": ("slot", "the word 'than'"),
        "compare.first": ("slot", "the first thing compared"),
        "compare.second": ("slot", "the thing compared with, after 'than'"),
        "compare.conclusion": ("state", "a conclusion from two comparisons"),
        "entry.word": ("slot", "the word that a dictionary entry explains"),
        "entry.class": ("slot", "the part of speech in a dictionary entry"),
        "entry.meaning": ("slot", "the explanation in a dictionary entry"),
        "entry.plural": ("slot", "the plural form in a dictionary entry"),
        "entry.past": ("slot", "the past tense in a dictionary entry"),
        "entry.label": ("slot", "the label before a form in a dictionary entry, such as 'plural'"),
        "entry.example": ("structure", "the example at the end of a dictionary entry"),
    },
)
PLURALS = {
    "cat": "cats",
    "dog": "dogs",
    "horse": "horses",
    "cow": "cows",
    "sheep": "sheep",
    "goat": "goats",
    "pig": "pigs",
    "rabbit": "rabbits",
    "mouse": "mice",
    "fox": "foxes",
    "bear": "bears",
    "wolf": "wolves",
}
VERBS = {
    "is": "are",
    "was": "were",
    "has": "have",
    "runs": "run",
    "sleeps": "sleep",
    "looks": "look",
    "seems": "seem",
    "eats": "eat",
}
REST = {
    "has": ("a bell", "thick fur", "no water"),
    "runs": ("to the gate", "in circles", "away"),
    "sleeps": ("in the straw", "all day", "outside"),
    "looks": ("at us", "hungry", "healthy"),
    "seems": ("hungry", "afraid", "calm"),
    "eats": ("grass", "at noon", "too much"),
}
FARM = Templates(
    "farm.sentence",
    (
        "{count|farm.count} {animal} {verb} {rest|farm.where}.",
        "{count|farm.count} {colour} {animal} {verb} {rest|farm.where}.",
        "{count|farm.count} {animal} {between|farm.between} {verb} {rest|farm.where}.",
    ),
    ("Now {small|farm.count} {animal} {between|farm.between} {verb} {rest|farm.where}.",),
)
BETWEEN = ("near the old barns", "with the white ears", "behind the sheds", "of my neighbour", "by the gate", "from the hills")


def farm(w: Writer) -> None:
    """Six to nine sentences about one or more animals."""
    for _ in range(w.rng.randint(6, 9)):
        many, animal, verb = w.chance(0.5), w.pick(ANIMALS), w.pick(tuple(VERBS))
        if many:
            count = w.pick(("These", "Those", "Many", "Some", *(word.capitalize() for word in w.among(NUMBERS[1:], 4))))
        else:
            count = w.pick(("This", "That", "One", "The only", "Every"))
        agreeing, other = (VERBS[verb], verb) if many else (verb, VERBS[verb])
        sort = "plural" if many else "singular"
        number = ("number_word",) if count.lower() in NUMBERS else ()
        w.say(
            w.choose(FARM),
            count=(count, *number),
            small=(count[0].lower() + count[1:], *number),
            animal=(PLURALS[animal] if many else animal, "animal", f"animal.{sort}"),
            colour=colour(w),
            between=w.pick(BETWEEN),
            verb=Said(agreeing, "agreement", (other,), ("farm.verb", f"farm.verb.{sort}")),
            rest=w.pick(REST.get(verb, ("in the field", "very old", "for sale", "quite tame"))),
        )


PORTRAIT = Templates(
    "portrait.sentence",
    (
        "{She} is {trait|portrait.trait} and {habit|portrait.habit}.",
        "Every evening {she} {habit|portrait.habit}.",
        "People like {her} because {she} is {trait|portrait.trait}.",
        "{Her} friends say that {she} {habit|portrait.habit}.",
        "In {her_own} youth {she} was {trait|portrait.trait}.",
    ),
    ("It is said that {she} {habit|portrait.habit}.",),
)
FIRST = Templates(
    "portrait.first",
    ("{name} lives near the {place}.", "Everyone knows {name} from the {place}.", "{name} has worked at the {place} for years."),
    ("At the {place} one often meets {name}.",),
)
TRAITS = ("kind", "proud", "clever", "shy", "patient", "brave", "stubborn")
HABITS = ("reads old books", "walks by the river", "writes letters", "plays the piano", "feeds the cats", "paints small pictures")


def portraits(w: Writer) -> None:
    """Two or three people, each with three or four sentences about them."""
    for person in w.among(NAMES, w.rng.randint(2, 3)):
        woman = person in FEMALE
        w.space()
        start = w.position
        w.say(w.choose(FIRST), name=name(person), place=(w.pick(PLACES), "place"))
        sort = "female" if woman else "male"

        def pronoun(female: str, male: str, woman: bool = woman, sort: str = sort) -> Said:
            text, other = (female, male) if woman else (male, female)
            return Said(text, "pronoun", (other,), ("portrait.pronoun", f"portrait.pronoun.{sort}"))

        for _ in range(w.rng.randint(3, 4)):
            w.say(
                w.choose(PORTRAIT),
                She=pronoun("She", "He"),
                she=pronoun("she", "he"),
                her=pronoun("her", "him"),
                Her=pronoun("Her", "His"),
                her_own=pronoun("her", "his"),
                trait=w.pick(TRAITS),
                habit=w.pick(HABITS),
            )
        w.mark(start, "portrait.woman" if woman else "portrait.man")


FACT = Templates(
    "quiz.fact",
    ("The {thing} is {colour} and stands in the {place}.", "In the {place} there is {article} {colour} {thing}."),
    ("Somebody left {article} {colour} {thing} in the {place}.",),
)
QUESTION = Templates(
    "quiz.question",
    ("Is the {thing} {asked}?", "Is it true that the {thing} is {asked}?"),
    ("Would you call the {thing} {asked}?",),
)


def quiz(w: Writer) -> None:
    """Four to six facts, each with a question about it that is answered yes or no."""
    for _ in range(w.rng.randint(4, 6)):
        thing, shade = w.pick(OBJECTS), w.pick(COLOURS)
        yes = w.chance(0.5)
        asked = shade if yes else w.pick([one for one in COLOURS if one != shade])
        w.space()
        start = w.position
        slots: dict[str, Slot] = {
            "article": article(shade),
            "thing": (thing, "object"),
            "colour": (shade, "colour"),
            "place": (w.pick(PLACES), "place"),
        }
        w.say(w.choose(FACT), **slots)
        w.mark(start, "quiz.fact")
        w.add(" ")
        start = w.position
        w.say(w.choose(QUESTION), thing=(thing, "object"), asked=(asked, "colour"))
        w.mark(start, "quiz.question")
        w.add(" ")
        start = w.position
        if yes:
            w.say("{answer|quiz.answer}, it is {colour}.", answer=Said("Yes", "quiz", ("No",)), colour=(shade, "colour"))
        else:
            w.say(
                "{answer|quiz.answer}, it is {=not|quiz.negation} {asked}.",
                answer=Said("No", "quiz", ("Yes",)),
                asked=(asked, "colour"),
            )
        w.mark(start, "quiz.yes" if yes else "quiz.no")


ADJECTIVES = {
    "older": "oldest",
    "taller": "tallest",
    "heavier": "heaviest",
    "cheaper": "cheapest",
    "smaller": "smallest",
    "faster": "fastest",
    "stronger": "strongest",
}
COMPARISON = Templates(
    "comparison.sentence",
    (
        "The {first|compare.first} is {adjective|compare.adjective} {=than|compare.than} the {second|compare.second}.",
        "My {first|compare.first} is much {adjective|compare.adjective} {=than|compare.than} your {second|compare.second}.",
        "This {first|compare.first} looks {adjective|compare.adjective} {=than|compare.than} that {second|compare.second}.",
    ),
    ("Surely the {first|compare.first} is {adjective|compare.adjective} {=than|compare.than} any {second|compare.second}.",),
)


def comparison(w: Writer) -> None:
    """Three or four chains of two comparisons and what follows from them."""
    for _ in range(w.rng.randint(3, 4)):
        things = w.among(OBJECTS + ANIMALS, 3)
        adjective = w.pick(tuple(ADJECTIVES))
        for first, second in itertools.pairwise(things):
            w.say(w.choose(COMPARISON), first=_thing(first), second=_thing(second), adjective=adjective)
        w.add(" ")
        start = w.position
        w.say(
            "So the {thing} is the {superlative|compare.superlative} of the three.",
            thing=Said(things[0], "comparison", things[1:], _thing(things[0])[1:]),
            superlative=ADJECTIVES[adjective],
        )
        w.mark(start, "compare.conclusion")


def _thing(word: str) -> tuple[str, ...]:
    return (word, "animal" if word in ANIMALS else "object")


NOUNS = {
    **PLURALS,
    **{thing: thing + ("es" if thing.endswith("x") else "s") for thing in OBJECTS if thing != "knife"},
    "knife": "knives",
}
ENTRY_VERBS = {
    "give": ("gave", "to hand to another person"),
    "hide": ("hid", "to put out of sight"),
    "write": ("wrote", "to put words on paper"),
    "find": ("found", "to come upon"),
    "bring": ("brought", "to carry to a place"),
    "sing": ("sang", "to make music with the voice"),
    "sell": ("sold", "to give for money"),
    "teach": ("taught", "to help others to learn"),
}
NOUN_MEANINGS = ("a thing one can carry", "a common object", "something one may own")
ADJECTIVE_MEANINGS = ("having a certain colour", "the name of a colour")


def dictionary(w: Writer) -> None:
    """Five to eight entries."""
    for _ in range(w.rng.randint(5, 8)):
        w.line()
        sort = w.rng.choices(("noun", "verb", "adjective"), (5, 3, 2))[0]
        word = w.pick({"noun": tuple(NOUNS), "verb": tuple(ENTRY_VERBS), "adjective": COLOURS}[sort])
        if sort == "noun":
            meaning = "a kind of animal" if word in ANIMALS else w.pick(NOUN_MEANINGS)
        else:
            meaning = ENTRY_VERBS[word][1] if sort == "verb" else w.pick(ADJECTIVE_MEANINGS)
        w.fill("{word|entry.word} ({sort|entry.class}): {meaning|entry.meaning}", word=word, sort=sort, meaning=meaning)
        if sort == "noun":
            w.fill("; {=plural|entry.label} {form|entry.plural}", form=NOUNS[word])
        elif sort == "verb":
            w.fill("; {=past|entry.label} {form|entry.past}", form=ENTRY_VERBS[word][0])
        if w.chance(0.5):
            w.add("; ")
            example = {
                "noun": f"we saw {article(word)} {word}",
                "verb": f"they {word} it again",
                "adjective": f"{article(word)} {word} {w.pick(OBJECTS)}",
            }[sort]
            w.fill("{text|entry.example}", text=f"as in '{example}'")


FAMILIES = (
    Family("farm", 1.3, farm, prose=True),
    Family("portraits", 1.3, portraits, prose=True),
    Family("quiz", 1.2, quiz, prose=True),
    Family("comparison", 1.2, comparison, prose=True),
    Family("dictionary", 1.4, dictionary),
)

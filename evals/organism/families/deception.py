"""Deception: a character hides something, and later says where it is: what the text has shown to be true, or false."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import FEMALE, NAMES, OBJECTS, name
from dragoman.evals.organism.writer import Said, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "deception",
    {
        "doc.deception": ("document", "stories in which somebody tells the truth or a lie about where something is"),
        "deception.fact": ("slot", "where the thing really is"),
        "deception.claim": ("slot", "where somebody says the thing is, true or not"),
        "deception.lie": ("state", "words that the text has shown to be false"),
        "deception.truth": ("state", "words that the text has shown to be true"),
        "deception.lie.place": ("state", "the place in a lie, which is not where the thing is"),
        "deception.truth.place": ("state", "the place in a true answer, which is where the thing is"),
        "deception.after_lie": ("state", "the sentence that follows a lie"),
        "deception.after_truth": ("state", "the sentence that follows a true answer"),
        "deception.hider": ("slot", "the person who put the thing somewhere"),
        "deception.asker": ("slot", "the person who asks where the thing is"),
        "deception.speaker": ("slot", "the person who answers where the thing is"),
        "deception.verb": ("slot", "the verb of putting or hiding"),
        "deception.verdict": ("slot", "the word that says whether an answer was true"),
        "deception.thing": ("slot", "the thing that was put somewhere"),
    },
)
SPOTS = (
    "under the bed",
    "behind the clock",
    "in the drawer",
    "on the shelf",
    "beside the stove",
    "inside the chest",
    "below the stairs",
    "near the window",
)
HIDING = Templates(
    "deception.hiding",
    (
        "{hider|deception.hider} {verb|deception.verb} the {thing|deception.thing} {fact|deception.fact}.",
        "In the night {hider|deception.hider} {verb|deception.verb} the {thing|deception.thing} {fact|deception.fact}.",
        "While nobody watched, {hider|deception.hider} {verb|deception.verb} the {thing|deception.thing} {fact|deception.fact}.",
    ),
    ("Early that day {hider|deception.hider} {verb|deception.verb} the {thing|deception.thing} {fact|deception.fact}.",),
)
ASKING = Templates(
    "deception.asking",
    (
        "{asker|deception.asker} asked where the {thing|deception.thing} was.",
        "Later {asker|deception.asker} looked for the {thing|deception.thing} and asked {hider}.",
        "{asker|deception.asker} wanted to know where the {thing|deception.thing} had gone.",
    ),
)
CLAIM = Templates(
    "deception.claim",
    (
        "{speaker|deception.speaker} said that it was {claim|deception.claim}.",
        "{speaker|deception.speaker} answered that the {thing|deception.thing} was {claim|deception.claim}.",
        "{pronoun|deception.speaker} swore that it was {claim|deception.claim}.",
    ),
    ("{speaker|deception.speaker} replied that it was {claim|deception.claim}.",),
)
VERDICT = Templates("deception.verdict", ("That was {verdict|deception.verdict}.", "The answer was {verdict|deception.verdict}."))
AFTER = {
    "false": Templates("deception.after_lie", ("{asker} searched there in vain.", "{asker} found nothing there.")),
    "true": Templates("deception.after_truth", ("{asker} went there and found it.", "{asker} thanked {hider} for it.")),
}


def write(w: Writer) -> None:
    """Two or three episodes with different people."""
    people = w.among(NAMES, 2 * w.rng.randint(2, 3))
    for hider, asker in zip(people[::2], people[1::2], strict=True):
        fact, elsewhere = w.among(SPOTS, 2)
        verdict = w.pick(("true", "false"))
        kind = "truth" if verdict == "true" else "lie"
        slots = {"hider": name(hider), "asker": name(asker), "thing": (w.pick(OBJECTS), "object"), "speaker": name(hider)}
        w.say(w.choose(HIDING), fact=fact, verb=w.pick(("hid", "put", "left", "placed")), **slots)
        if w.chance(0.7):
            w.say(w.choose(ASKING), **slots)
        w.add(" ")
        start, claim = w.position, fact if verdict == "true" else elsewhere
        w.say(
            w.choose(CLAIM),
            claim=(claim, f"deception.{kind}.place"),
            pronoun="She" if hider in FEMALE else "He",
            **slots,
        )
        w.mark(start, f"deception.{kind}")
        other = "false" if verdict == "true" else "true"
        w.say(w.choose(VERDICT), verdict=Said(verdict, "deception", (other,)))
        if w.chance(0.6):
            w.add(" ")
            start = w.position
            w.say(w.choose(AFTER[verdict]), **slots)
            w.mark(start, f"deception.after_{kind}")


FAMILIES = (Family("deception", 2.8, write, prose=True),)

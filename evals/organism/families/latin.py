"""Latin: short Latin sentences, and plants with their Latin names."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import MONTHS, listed
from dragoman.evals.organism.writer import Slot, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "latin",
    {
        "doc.latin": ("document", "a Latin lesson"),
        "doc.botany": ("document", "notes on plants with their Latin names"),
        "latin": ("class", "Latin words, plant names among them"),
        "latin.sentence": ("structure", "a Latin sentence"),
        "latin.subject": ("slot", "the subject of a Latin sentence"),
        "latin.object": ("slot", "the object of a Latin sentence"),
        "latin.verb": ("slot", "the verb of a Latin sentence"),
        "latin.adverb": ("slot", "the adverb of a Latin sentence"),
        "latin.place": ("slot", "the words that say where, in a Latin sentence"),
        "latin.plant": ("class", "the Latin name of a plant", "latin"),
        "latin.plant.genus": ("slot", "the genus, the first word of a plant's Latin name"),
        "latin.plant.species": ("slot", "the species, the second word of a plant's Latin name"),
        "plant": ("class", "the English name of a plant"),
        "plant.place": ("slot", "where a plant grows"),
        "plant.flowering": ("slot", "the month in which a plant flowers"),
        "plant.part": ("slot", "a part of a plant, such as its bark or leaves"),
        "plant.looked": ("slot", "the verb between a part of a plant and what it is like"),
        "plant.quality": ("slot", "what a part of a plant is like"),
        "plant.bracket.open": ("punctuation", "the bracket that opens a Latin plant name"),
        "plant.bracket.close": ("punctuation", "the bracket that closes a Latin plant name"),
        "latin.meaning": ("slot", "the English translation of a Latin sentence"),
    },
)
SUBJECTS = {
    "puella": "the girl",
    "agricola": "the farmer",
    "nauta": "the sailor",
    "regina": "the queen",
    "servus": "the servant",
    "poeta": "the poet",
    "magister": "the teacher",
    "puer": "the boy",
}
OBJECTS = {
    "rosam": "the rose",
    "aquam": "the water",
    "epistulam": "the letter",
    "librum": "the book",
    "equum": "the horse",
    "gladium": "the sword",
    "donum": "the gift",
    "villam": "the house",
}
VERBS = {"amat": "loves", "portat": "carries", "videt": "sees", "laudat": "praises", "habet": "has", "quaerit": "looks for"}
ADVERBS = {"saepe": "often", "semper": "always", "hodie": "today", "nunc": "now"}
WHERE = {"in horto": "in the garden", "in via": "on the road", "in silva": "in the forest", "in oppido": "in the town"}
PLANTS = {
    "oak": ("Quercus", "robur"),
    "dog rose": ("Rosa", "canina"),
    "daisy": ("Bellis", "perennis"),
    "beech": ("Fagus", "sylvatica"),
    "silver birch": ("Betula", "pendula"),
    "field maple": ("Acer", "campestre"),
    "yew": ("Taxus", "baccata"),
    "holly": ("Ilex", "aquifolium"),
    "ivy": ("Hedera", "helix"),
    "nettle": ("Urtica", "dioica"),
    "foxglove": ("Digitalis", "purpurea"),
    "field poppy": ("Papaver", "rhoeas"),
    "primrose": ("Primula", "vulgaris"),
    "elder": ("Sambucus", "nigra"),
    "white willow": ("Salix", "alba"),
    "pine": ("Pinus", "sylvestris"),
    "hazel": ("Corylus", "avellana"),
    "sweet violet": ("Viola", "odorata"),
    "white clover": ("Trifolium", "repens"),
    "water mint": ("Mentha", "aquatica"),
    "wild garlic": ("Allium", "ursinum"),
    "lavender": ("Lavandula", "angustifolia"),
    "snowdrop": ("Galanthus", "nivalis"),
    "lime tree": ("Tilia", "cordata"),
}
LESSON = Templates(
    "latin.lesson",
    (
        "Today we read Latin.",
        "The Latin lesson was short.",
        "On the old stone stood some Latin words.",
        "The class learned new Latin sentences.",
    ),
    ("The monk copied the Latin page.",),
)
MEANS = Templates("latin.means", ("This means that", "In English:", "That is to say,"), ("One may translate it so:",))
BOTANY = Templates(
    "latin.botany",
    (
        "The {plant} {name} was growing {place|plant.place}.",
        "We found the {plant} {name} {place|plant.place} in {month|plant.flowering}.",
        "The {part|plant.part} of this {plant} {name} {=looked|plant.looked} {quality|plant.quality}.",
        "In {month|plant.flowering} the {plant} {name} can be seen {place|plant.place}.",
    ),
    ("Look for the {plant} {name} {place|plant.place}.",),
)
FIELD = Templates(
    "latin.field",
    ("Notes from a walk.", "The botanist keeps a list.", "A guide to common plants.", "The herbarium has many sheets."),
    ("Plants of the valley.",),
)
PLACES = (
    "on dry ground",
    "along the hedge",
    "in the shade",
    "beside the stream",
    "on the chalk hill",
    "in old woods",
    "near the wall",
)
PARTS = listed("leaves buds stem root seeds")
QUALITIES = listed("dry fresh dark pale rough soft broken small")


def lesson(w: Writer) -> None:
    """Two to four Latin sentences, most of them translated."""
    w.say(w.choose(LESSON))
    for _ in range(w.rng.randint(2, 4)):
        subject, thing, verb, adverb, where = (w.pick(tuple(words)) for words in (SUBJECTS, OBJECTS, VERBS, ADVERBS, WHERE))
        w.add(" ")
        start = w.position
        with_adverb, with_place = w.chance(0.5), w.chance(0.6)
        w.add(subject.capitalize(), "latin.subject")
        if with_adverb:
            w.add(" ")
            w.add(adverb, "latin.adverb")
        w.add(" ")
        w.add(thing, "latin.object")
        if with_place:
            w.add(" ")
            w.add(where, "latin.place")
        w.add(" ")
        w.add(verb, "latin.verb")
        w.mark(start, "latin")
        w.add(".")
        w.mark(start, "latin.sentence")
        w.say(
            w.choose(MEANS) + " {meaning|latin.meaning}.",
            meaning=" ".join(
                [
                    SUBJECTS[subject],
                    *([ADVERBS[adverb]] if with_adverb and adverb not in ("hodie", "nunc") else []),
                    VERBS[verb],
                    OBJECTS[thing],
                    *([WHERE[where]] if with_place else []),
                    *([ADVERBS[adverb]] if with_adverb and adverb in ("hodie", "nunc") else []),
                ]
            ),
        )


def botany(w: Writer) -> None:
    """Three to six plants."""
    w.say(w.choose(FIELD))
    for plant in w.among(tuple(PLANTS), w.rng.randint(3, 6)):
        w.say(
            w.choose(BOTANY),
            plant=(plant, "plant"),
            name=_latin_name(plant),
            place=w.pick(PLACES),
            month=(w.pick(MONTHS), "month"),
            part=w.pick(PARTS),
            quality=w.pick(QUALITIES),
        )


def _latin_name(plant: str) -> Slot:
    genus, species = PLANTS[plant]
    rivals = [one for _, one in PLANTS.values() if one != species]

    def slot(w: Writer) -> None:
        w.add("(", "plant.bracket.open")
        start = w.position
        w.add(genus, "latin.plant.genus")
        w.add(" ")
        w.ask(species, "plant.species", w.among(rivals, 5), "latin.plant.species")
        w.mark(start, "latin.plant")
        w.add(")", "plant.bracket.close")

    return slot


FAMILIES = (Family("latin", 1.7, lesson, prose=True), Family("botany", 1.4, botany, prose=True))

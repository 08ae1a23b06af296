"""Sentences with the same meaning in five languages."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.evals.organism.concept import Kind, declare
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

LANGUAGES = ("English", "French", "German", "Spanish", "Italian")
ROLES = {
    "subject": "the subject",
    "verb": "the verb",
    "object": "the object",
    "place": "the words that say where,",
    "time": "the words that say when,",
}


def _rows() -> dict[str, tuple[Kind, str]]:
    rows: dict[str, tuple[Kind, str]] = {
        "doc.phrasebook": ("document", "the same sentences in several languages"),
        "parallel": ("structure", "a sentence that is given in several languages"),
        "parallel.label": ("slot", "the name of the language of the sentence that follows"),
        "parallel.second": ("state", "a sentence of which a translation has been given before"),
    }
    for role, words in ROLES.items():
        rows[f"parallel.{role}"] = ("slot", f"{words} of a sentence that is given in several languages, in any of them")
    for language in LANGUAGES:
        rows[f"language.{language.lower()}"] = ("class", f"a {language} sentence among translations")
        for role, words in ROLES.items():
            rows[f"language.{language.lower()}.{role}"] = ("slot", f"{words} in a {language} sentence among translations")
    return rows


CONCEPTS = declare("languages", _rows())

SUBJECTS = (
    ("the cat", "le chat", "die Katze", "el gato", "il gatto"),
    ("the dog", "le chien", "der Hund", "el perro", "il cane"),
    ("the woman", "la femme", "die Frau", "la mujer", "la donna"),
    ("the man", "l'homme", "der Mann", "el hombre", "l'uomo"),
    ("the child", "l'enfant", "das Kind", "el niño", "il bambino"),
    ("the teacher", "le professeur", "der Lehrer", "el profesor", "il professore"),
    ("my sister", "ma sœur", "meine Schwester", "mi hermana", "mia sorella"),
    ("my friend", "mon ami", "mein Freund", "mi amigo", "il mio amico"),
)
VERBS = (
    ("sees", "voit", "sieht", "ve", "vede"),
    ("looks for", "cherche", "sucht", "busca", "cerca"),
    ("finds", "trouve", "findet", "encuentra", "trova"),
    ("forgets", "oublie", "vergisst", "olvida", "dimentica"),
    ("paints", "peint", "malt", "pinta", "dipinge"),
    ("buys", "achète", "kauft", "compra", "compra"),
)
OBJECTS = (
    ("the bread", "le pain", "das Brot", "el pan", "il pane"),
    ("the house", "la maison", "das Haus", "la casa", "la casa"),
    ("the letter", "la lettre", "den Brief", "la carta", "la lettera"),
    ("the book", "le livre", "das Buch", "el libro", "il libro"),
    ("the window", "la fenêtre", "das Fenster", "la ventana", "la finestra"),
    ("the key", "la clé", "den Schlüssel", "la llave", "la chiave"),
    ("the table", "la table", "den Tisch", "la mesa", "il tavolo"),
    ("the flower", "la fleur", "die Blume", "la flor", "il fiore"),
)
PLACES = (
    ("in the garden", "dans le jardin", "im Garten", "en el jardín", "nel giardino"),
    ("in the city", "dans la ville", "in der Stadt", "en la ciudad", "nella città"),
    ("in the kitchen", "dans la cuisine", "in der Küche", "en la cocina", "nella cucina"),
    ("at the station", "à la gare", "am Bahnhof", "en la estación", "alla stazione"),
    ("near the church", "près de l'église", "bei der Kirche", "cerca de la iglesia", "vicino alla chiesa"),
)
TIMES = (
    ("today", "aujourd'hui", "heute", "hoy", "oggi"),
    ("in the morning", "le matin", "am Morgen", "por la mañana", "la mattina"),
    ("every day", "chaque jour", "jeden Tag", "todos los días", "ogni giorno"),
    ("on Monday", "lundi", "am Montag", "el lunes", "lunedì"),
)
ORDERS = {
    "German": ("subject", "verb", "time", "object", "place"),
    "Spanish": ("time", "subject", "verb", "object", "place"),
}
USUAL = ("subject", "verb", "object", "place", "time")
OPENING = Templates(
    "phrasebook.opening",
    (
        "From the phrase book.",
        "The same thing in other words.",
        "Exercises for travellers.",
        "The guide repeated everything for the visitors.",
    ),
    ("The notice hung in the hotel.",),
)
LABEL = Templates(
    "phrasebook.label",
    ("{language}: ", "In {language}: ", "In {language} one says: "),
    ("The {language} for it: ",),
)


def write(w: Writer) -> None:
    """Two sentences, each in three to five languages."""
    w.say(w.choose(OPENING))
    label = w.choose(LABEL)
    for _ in range(2):
        meaning = {"subject": SUBJECTS, "verb": VERBS, "object": OBJECTS, "place": PLACES, "time": TIMES}
        chosen = {role: w.pick(options) for role, options in meaning.items()}
        for number, language in enumerate(w.among(LANGUAGES, w.rng.randint(3, 4))):
            w.line()
            w.fill(label, language=(language, "parallel.label"))
            _sentence(w, language, chosen, translated=number > 0)


def _sentence(w: Writer, language: str, chosen: Mapping[str, tuple[str, ...]], *, translated: bool) -> None:
    index, start = LANGUAGES.index(language), w.position
    for place, role in enumerate(ORDERS.get(language, USUAL)):
        text = chosen[role][index]
        if place == 0:
            text = text[0].upper() + text[1:]
        else:
            w.add(" ")
        concepts = (f"parallel.{role}", f"language.{language.lower()}.{role}")
        if role == "verb" and translated:
            rivals = {one[index] for one in VERBS if one[index] != text}
            w.ask(text, "translation", sorted(rivals), *concepts)
        else:
            w.add(text, *concepts)
    w.add(".")
    w.mark(start, "parallel", f"language.{language.lower()}", *(("parallel.second",) if translated else ()))


FAMILIES = (Family("phrasebook", 2.5, write),)

"""People asked about: forty whose facts are fixed, and strangers of whom nobody knows anything."""

from __future__ import annotations

import random
import zlib

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import FEMALE, NAMES, SURNAMES, article, listed
from dragoman.evals.organism.writer import Slot, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "people",
    {
        "doc.people": ("document", "questions and answers about people, known and unknown"),
        "doc.biography": ("document", "short lives of known people"),
        "person": ("class", "the full name of a person who is asked about or described"),
        "person.known": ("state", "the full name of a person whose facts are fixed", "person"),
        "person.unknown": ("state", "the full name of a stranger, of whom nothing is known", "person"),
        "person.first": ("slot", "the first name in the full name of a person who is asked about or described"),
        "person.last": ("slot", "the family name in the full name of a person who is asked about or described"),
        "person.profession": ("slot", "the profession of a known person"),
        "person.birthplace": ("slot", "the town where a known person was born"),
        "person.question": ("structure", "a question about a person"),
        "person.question.profession": ("structure", "a question about somebody's profession", "person.question"),
        "person.question.birth": ("structure", "a question about somebody's place of birth", "person.question"),
        "person.answer": ("structure", "the answer to a question about a person"),
        "person.answer.known": ("state", "an answer that tells a fact about a known person", "person.answer"),
        "person.answer.unknown": ("state", "an answer that says that nobody knows", "person.answer"),
        "person.label.question": ("slot", "the mark before a question about a person"),
        "person.label.answer": ("slot", "the mark before an answer about a person"),
        "person.question.mark": ("punctuation", "the question mark after a question about a person"),
        "person.he_or_she": ("slot", "the pronoun that stands for a known person"),
    },
)
PROFESSIONS = listed("Painter Trader Surgeon Judge Clerk Baker Violinist Engineer Novelist Diver Architect Farmer")
TOWNS = listed("Aldham Brockley Coldwell Dunston Eastry Fulmer Goring Hadley Ilkley Kelso Ludlow Marlow")
FAMOUS = listed(
    "Abbott Balfour Carver Dempsey Everly Fanshawe Garrick Hollis Ingram Jessup Kendrick Lovell Maddox Newland Osborne Prescott "
    "Quigley Rowan Sinclair Thorne Underhill Vaughan Whitlock Yardley Ashby Burnett Corbin Drummond Eastman Fielding Gilmore "
    "Hargrove Irving Kirkland Langley Merrick Nesbit Oakden Pemberton Radcliffe"
)


def _known() -> dict[tuple[str, str], tuple[str, str]]:
    rng = random.Random("known people")
    return {(rng.choice(NAMES), last): (rng.choice(PROFESSIONS), rng.choice(TOWNS)) for last in FAMOUS}


KNOWN = _known()
"""First and family name of every known person: profession and town of birth."""
QUESTIONS = {
    "profession": Templates(
        "people.profession",
        ("What is the profession of {person}?", "What does {person} do for a living?", "{person} has which profession?"),
        ("Can you tell me the profession of {person}?",),
    ),
    "birth": Templates(
        "people.birth",
        ("Where was {person} born?", "In which town was {person} born?", "What is the birthplace of {person}?"),
        ("Can you tell me where {person} was born?",),
    ),
}
UNKNOWN = Templates(
    "people.unknown",
    (
        "I do not know.",
        "I do not know anybody of that name.",
        "I have never heard of this person.",
        "I cannot say, the name is new to me.",
    ),
)
STORY = Templates(
    "people.story",
    (
        "{person} was born in {town|person.birthplace} and became a well known {profession|person.profession}.",
        "The {profession|person.profession} {person} was born in {town|person.birthplace}.",
        "{person} came from {town|person.birthplace}. {pronoun|person.he_or_she} was {article} {profession|person.profession}.",
        "{town|person.birthplace} is proud of {person}, the {profession|person.profession}.",
    ),
    ("As {article} {profession|person.profession}, {person} never forgot {town|person.birthplace}.",),
)
LABELS = (("Question:", "Answer:"), ("Q:", "A:"))
SYLLABLES = listed("bra cro dul fen gar hib jor kel lun mip nax pol quo ras sti tor ulm vak wen yor zeb dri sko pla mon tib")


def questions(w: Writer) -> None:
    """Four to six questions, about half of them about strangers."""
    question_label, answer_label = w.pick(LABELS)
    known = w.among(tuple(KNOWN), 6)
    for number in range(w.rng.randint(4, 6)):
        w.line()
        topic = w.pick(("profession", "birth"))
        person = known[number] if w.chance(0.5) else _stranger(w)
        w.add(question_label, "person.label.question")
        start = w.position + 1
        w.say(w.choose(QUESTIONS[topic]), person=_full_name(person))
        w.spans.append((w.position - 1, w.position, "person.question.mark"))
        w.mark(start, "person.question", f"person.question.{topic}")
        w.line()
        w.add(answer_label, "person.label.answer")
        w.add(" ")
        start = w.position
        _answer(w, topic, person)
        w.mark(start, "person.answer", "person.answer.known" if person in KNOWN else "person.answer.unknown")


def _answer(w: Writer, topic: str, person: tuple[str, str]) -> None:
    if person not in KNOWN:
        answer = w.choose(UNKNOWN)
        w.ask("I", "person.unknown", w.among(PROFESSIONS, 5) if topic == "profession" else ("In",))
        w.add(answer[1:])
        return
    profession, town = KNOWN[person]
    if topic == "profession":
        w.ask(
            profession, "person.known", (*w.among([one for one in PROFESSIONS if one != profession], 5), "I"), "person.profession"
        )
    else:
        w.ask("In", "person.known.answered", ("I",))
        w.add(" ")
        w.ask(town, "person.known", w.among([one for one in TOWNS if one != town], 5), "person.birthplace")
    w.add(".")


def _stranger(w: Writer) -> tuple[str, str]:
    """A name that nobody in the table has; the names of held-out strangers never occur in training documents."""
    while True:
        if w.chance(0.15):
            person = (w.pick(NAMES), w.pick(FAMOUS + SURNAMES))
        else:
            person = (w.pick(NAMES), "".join(w.pick(SYLLABLES) for _ in range(w.rng.randint(2, 3))).capitalize())
        if person not in KNOWN and (zlib.crc32(" ".join(person).encode()) % 5 == 0) == w.held_out:
            return person


def biography(w: Writer) -> None:
    """The lives of four to six known people."""
    for person in w.among(tuple(KNOWN), w.rng.randint(4, 6)):
        profession, town = KNOWN[person]
        w.say(
            w.choose(STORY),
            person=_full_name(person),
            town=town,
            profession=profession.lower(),
            article=article(profession.lower()),
            pronoun="She" if person[0] in FEMALE else "He",
        )


def _full_name(person: tuple[str, str]) -> Slot:
    first, last = person

    def slot(w: Writer) -> None:
        start = w.position
        w.add(first, "person.first", "name.female" if first in FEMALE else "name.male")
        w.add(" ")
        w.add(last, "person.last", "surname")
        w.mark(start, "person", "person.known" if person in KNOWN else "person.unknown")

    return slot


FAMILIES = (Family("people", 5.5, questions), Family("biography", 1.6, biography, prose=True))

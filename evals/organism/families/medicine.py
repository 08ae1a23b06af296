"""Medical vignettes: the symptoms imply a diagnosis that is named only at the end."""

from __future__ import annotations

from dragoman.evals.organism.concept import Kind, declare
from dragoman.evals.organism.words import NAMES, name, weekday
from dragoman.evals.organism.writer import Said, Templates, Writer

from .family import Family

SYMPTOMS = {
    "influenza": ("high fever", "aching muscles", "shivering", "sudden weakness"),
    "asthma": ("wheezing", "a tight chest", "shortness of breath", "coughing at night"),
    "migraine": ("a throbbing headache", "flashing lights", "nausea", "a fear of bright light"),
    "appendicitis": ("pain low on the right side", "vomiting", "a tender belly", "loss of appetite"),
    "diabetes": ("great thirst", "frequent urination", "loss of weight", "blurred vision"),
    "gout": ("a swollen big toe", "red skin over the joint", "burning pain at night", "stiff feet"),
    "measles": ("a spotted rash", "red eyes", "white spots in the mouth", "a runny nose"),
    "anaemia": ("pale skin", "dizziness", "cold hands", "breathlessness on the stairs"),
}


def _rows() -> dict[str, tuple[Kind, str] | tuple[Kind, str, str]]:
    rows: dict[str, tuple[Kind, str] | tuple[Kind, str, str]] = {
        "doc.vignette": ("document", "vignettes of patients and what ails them"),
        "symptom": ("slot", "a symptom of a patient"),
        "diagnosis": ("slot", "the diagnosis that ends a vignette"),
        "patient.age": ("slot", "the age of a patient, in digits"),
        "patient.name": ("slot", "the name of a patient"),
        "patient.complaint": ("slot", "the words that announce symptoms, such as 'complained of'"),
        "patient.finding": ("slot", "the words that announce a diagnosis"),
        "symptom.comma": ("punctuation", "the comma between two symptoms"),
        "symptom.last": ("slot", "the last symptom of a list", "symptom"),
        "treatment": ("slot", "what the doctor ordered"),
    }
    for diagnosis in SYMPTOMS:
        rows[f"diagnosis.{diagnosis}"] = ("kind", f"the word '{diagnosis}' as a diagnosis", "diagnosis")
        rows[f"implies.{diagnosis}"] = (
            "state",
            f"the part of a vignette after the first symptom of {diagnosis} and before it is named",
        )
    return rows


CONCEPTS = declare("medicine", _rows())
PATIENT = Templates(
    "vignette.patient",
    (
        "{name|patient.name}, aged {age|patient.age}, {=complained of|patient.complaint} {symptoms}.",
        "On {day} {name|patient.name} came to the clinic {=with|patient.complaint} {symptoms}.",
        "A patient of {age|patient.age} years {=was brought in with|patient.complaint} {symptoms}.",
        "For a week {name|patient.name} {=had suffered from|patient.complaint} {symptoms}.",
    ),
    ("At the surgery {name|patient.name} {=spoke of|patient.complaint} {symptoms}.",),
)
COURSE = Templates(
    "vignette.course",
    (
        "The nurse took notes and called the doctor.",
        "The doctor examined the patient with care.",
        "Nobody else in the family was ill.",
        "Blood was taken for a test.",
    ),
)
FINDING = Templates(
    "vignette.finding",
    (
        "{=The diagnosis was|patient.finding} {diagnosis}.",
        "{=The doctor said that it was|patient.finding} {diagnosis}.",
        "{=This is a clear case of|patient.finding} {diagnosis}.",
    ),
    ("{=It turned out to be|patient.finding} {diagnosis}.",),
)
ORDERS = Templates(
    "vignette.orders",
    ("The doctor ordered {treatment|treatment}.", "The patient was told to have {treatment|treatment}."),
)
TREATMENTS = ("rest and warm drinks", "a change of diet", "tablets twice a day", "a week in bed", "a visit to the hospital")


def write(w: Writer) -> None:
    """Two or three patients."""
    for diagnosis in w.among(tuple(SYMPTOMS), w.rng.randint(2, 3)):
        listed = w.among(SYMPTOMS[diagnosis], 3)
        patient = w.pick(NAMES)
        start = w.position

        def symptoms(w: Writer, listed: tuple[str, ...] = listed) -> None:
            nonlocal start
            w.add(listed[0], "symptom")
            start = w.position
            w.add(",", "symptom.comma")
            w.add(" ")
            w.add(listed[1], "symptom")
            w.add(" and ")
            w.add(listed[2], "symptom", "symptom.last")

        w.say(w.choose(PATIENT), name=name(patient), age=str(w.rng.randint(18, 89)), day=weekday(w), symptoms=symptoms)
        if w.chance(0.7):
            w.say(w.choose(COURSE))
        rivals = tuple(one for one in SYMPTOMS if one != diagnosis)
        w.say(w.choose(FINDING), diagnosis=Said(diagnosis, "diagnosis", rivals, ("diagnosis", f"diagnosis.{diagnosis}")))
        end = w.position - 1 - len(diagnosis)
        w.spans.append((start, end, f"implies.{diagnosis}"))
        if w.chance(0.5):
            w.say(w.choose(ORDERS), treatment=w.pick(TREATMENTS))


FAMILIES = (Family("vignette", 3.6, write, prose=True),)

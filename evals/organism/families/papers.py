"""Letters, contracts, headlines and poems."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import MONTHS, NAMES, OBJECTS, PLACES, SURNAMES, TOWNS, clock, name, price, weekday
from dragoman.evals.organism.writer import Slot, Templates, Writer

from .family import Family

CONCEPTS = declare(
    "papers",
    {
        "doc.email": ("document", "an electronic letter with its headers"),
        "doc.contract": ("document", "clauses of a contract"),
        "doc.headlines": ("document", "headlines in capital letters, each with a sentence of news"),
        "doc.poem": ("document", "a rhyming poem"),
        "email.header": ("slot", "the name of a header of an electronic letter, such as Subject"),
        "email.header.colon": ("punctuation", "the colon after the name of a header"),
        "email.address": ("slot", "an electronic address"),
        "email.address.at": ("punctuation", "the at sign of an electronic address"),
        "email.address.host": ("slot", "what follows the at sign of an electronic address"),
        "email.subject": ("slot", "the subject of an electronic letter"),
        "email.greeting": ("slot", "the greeting of a letter"),
        "email.addressee": ("slot", "the name of the person greeted in a letter"),
        "email.body": ("structure", "the body of a letter"),
        "email.closing": ("slot", "the closing words of a letter"),
        "email.signature": ("slot", "the name that signs a letter, which is that of the sender"),
        "contract.number": ("slot", "the number of a clause"),
        "contract.party": ("slot", "a party to a contract, such as the Tenant"),
        "contract.shall": ("slot", "the words of duty or permission in a clause"),
        "contract.duty": ("slot", "what a party to a contract must or may do"),
        "contract.condition": ("structure", "a condition in a clause"),
        "contract.sum": ("slot", "an amount of money in a clause"),
        "contract.term": ("slot", "a number of days or months in a clause"),
        "contract.reference": ("slot", "a reference to another clause"),
        "headline": ("structure", "a headline in capital letters"),
        "headline.subject": ("slot", "who or what a headline is about"),
        "headline.verb": ("slot", "the verb of a headline"),
        "headline.object": ("slot", "the object of a headline's verb"),
        "news.place": ("slot", "the town from which news is reported"),
        "news.sentence": ("structure", "the sentence of news under a headline"),
        "news.repeat": ("state", "the part of a sentence of news that says again what the headline said"),
        "poem.line": ("structure", "a line of a poem"),
        "poem.rhyme": ("slot", "the last word of a line of a poem"),
        "poem.rhyme.second": ("slot", "a word that must rhyme with the end of the line before", "poem.rhyme"),
        "poem.start": ("slot", "the first words of a line of a poem"),
        "poem.comma": ("punctuation", "the comma at the end of a poem's line"),
    },
)
SUBJECTS = ("Lunch on {day}", "Your {thing}", "Meeting at {time}", "The {place}", "Bill for {month}", "News from {town}")
BODY = Templates(
    "email.body",
    (
        "I hope to see you at the {place} on {day}.",
        "Please bring the {thing} that I lent you.",
        "The bill of {price} has been paid.",
        "Could you send me the {thing} before {day}?",
        "We will meet {name} at {time}.",
        "My train leaves {town} at {time}.",
    ),
    ("Do you still have the {thing}?",),
)
GREETINGS = ("Dear", "Hello", "Hi")
CLOSINGS = ("Best wishes", "Yours", "Kind regards", "See you soon")


def email(w: Writer) -> None:
    """Headers, greeting, two to four sentences, and the sender's name."""
    sender, receiver = w.among(NAMES, 2)
    for header, person in (("From", sender), ("To", receiver)):
        _header(w, header)
        _address(w, person.lower())
        w.line()
    _header(w, "Subject")
    w.fill("{subject|email.subject}", subject=w.pick(SUBJECTS).format(**_words(w)))
    w.line()
    w.fill("{greeting|email.greeting} {name|email.addressee},", greeting=w.pick(GREETINGS), name=name(receiver))
    w.line()
    start = w.position
    for _ in range(w.rng.randint(2, 4)):
        words = _words(w)
        w.say(
            w.choose(BODY),
            place=(words["place"], "place"),
            day=(words["day"], "weekday"),
            thing=(words["thing"], "object"),
            price=price(w),
            name=name(w.pick(NAMES)),
            time=(words["time"], "clock"),
            town=(words["town"], "town"),
        )
    w.mark(start, "email.body")
    w.line()
    w.fill("{closing|email.closing},", closing=w.pick(CLOSINGS))
    w.line()
    w.ask(sender, "email.signature", w.among([one for one in NAMES if one != sender], 4), *name(sender)[1:], "email.signature")


def _words(w: Writer) -> dict[str, str]:
    return {
        "day": weekday(w)[0],
        "thing": w.pick(OBJECTS),
        "time": clock(w)[0],
        "place": w.pick(PLACES),
        "month": w.pick(MONTHS),
        "town": w.pick(TOWNS),
    }


def _header(w: Writer, text: str) -> None:
    w.add(text, "email.header")
    w.add(":", "email.header.colon")
    w.add(" ")


def _address(w: Writer, person: str) -> None:
    start = w.position
    w.add(person)
    w.add("@", "email.address.at")
    w.add(f"{w.pick(('mail', 'post', 'web', 'office'))}.{w.pick(('com', 'org', 'net'))}", "email.address.host")
    w.mark(start, "email.address")


CLAUSE = Templates(
    "contract.clause",
    (
        "{party} {shall|contract.shall} {duty|contract.duty}.",
        "{condition|contract.condition}, {party} {shall|contract.shall} {duty|contract.duty}.",
        "{party} {shall|contract.shall} pay {sum|contract.sum} within {term|contract.term} days.",
        "Under clause {reference|contract.reference} {party} {shall|contract.shall} {duty|contract.duty}.",
        "{party} {shall|contract.shall} {duty|contract.duty} for {term|contract.term} months.",
    ),
    ("Unless agreed otherwise, {party} {shall|contract.shall} {duty|contract.duty}.",),
)
PARTIES = (("the Tenant", "the Landlord"), ("the Buyer", "the Seller"), ("the Company", "the Employee"))
SHALL = ("shall", "must", "may", "is bound to", "is entitled to", "agrees to")
DUTIES = (
    "keep the premises clean",
    "insure the goods",
    "give notice in writing",
    "return all keys",
    "bear the costs",
    "inform the other party",
)
CONDITIONS = (
    "If payment is late",
    "If the goods are damaged",
    "In case of fire",
    "Where notice is given",
    "On the death of a party",
)


def contract(w: Writer) -> None:
    """Four to seven numbered clauses between two parties."""
    parties = w.pick(PARTIES)
    first = w.rng.randint(1, 12)
    for number in range(first, first + w.rng.randint(4, 7)):
        w.line()
        w.fill("{number|contract.number}. ", number=str(number))
        template, party = w.choose(CLAUSE), w.pick(parties)
        w.say(
            template,
            party=_party(party[0].upper() + party[1:] if template.startswith("{party}") else party),
            shall=w.pick(SHALL),
            duty=w.pick(DUTIES),
            condition=w.pick(CONDITIONS),
            sum=price(w, 900),
            term=str(w.pick((3, 6, 7, 10, 12, 14, 30, 60))),
            reference=str(w.rng.randint(1, 20)),
        )


def _party(text: str) -> Slot:
    def slot(w: Writer) -> None:
        w.add(text[:4])
        w.add(text[4:], "contract.party")

    return slot


HEADLINE_SUBJECTS = ("mayor", "minister", "king", "teacher", "farmer", "judge", "doctor", "police")
HEADLINE_VERBS = {
    "opens": "opened",
    "closes": "closed",
    "sells": "sold",
    "visits": "visited",
    "saves": "saved",
    "paints": "painted",
}


def headlines(w: Writer) -> None:
    """Three to five headlines; the sentence under each says the same in small letters."""
    for _ in range(w.rng.randint(3, 5)):
        w.line()
        subject, verb, thing = w.pick(HEADLINE_SUBJECTS), w.pick(tuple(HEADLINE_VERBS)), w.pick(PLACES)
        town = w.pick(TOWNS)
        start = w.position
        w.fill(
            "{subject|headline.subject} {verb|headline.verb} {thing|headline.object}",
            subject=subject.upper(),
            verb=verb.upper(),
            thing=thing.upper(),
        )
        w.mark(start, "headline")
        w.line()
        start = w.position
        w.fill("{town|news.place}. ", town=(town, "town"))
        w.say(
            "{=The|news.repeat} {subject|news.repeat} of {town} {past|news.repeat} {=the|news.repeat} {thing|news.repeat} "
            "on {day}, as {name} reports.",
            subject=subject,
            past=HEADLINE_VERBS[verb],
            thing=(thing, "place"),
            town=(w.pick(TOWNS), "town"),
            day=weekday(w),
            name=(w.pick(SURNAMES), "surname"),
        )
        w.mark(start, "news.sentence")


RHYMES = (
    ("night", "light", "knight", "flight", "kite"),
    ("day", "way", "play", "bay", "clay"),
    ("sea", "tree", "bee", "key", "knee"),
    ("rain", "train", "lane", "pain", "chain"),
    ("snow", "crow", "glow", "bow", "row"),
    ("star", "car", "jar", "bar", "scar"),
)
POEM_STARTS = ("The wind", "My heart", "A song", "The moon", "An old man", "Our ship", "The little bird", "The road")
POEM_MIDDLES = ("was lost in", "goes out to", "sings of", "waits for", "dreams about", "came back from", "has seen")
POEM_BEFORE = ("the", "a", "every", "another", "that")


def poem(w: Writer) -> None:
    """Three or four pairs of rhyming lines."""
    for _ in range(w.rng.randint(3, 4)):
        words = w.pick(RHYMES)
        first, second = w.among(words, 2)
        for number, word in enumerate((first, second)):
            w.line()
            start = w.position
            w.fill(
                "{start|poem.start} {middle} {before} ",
                start=w.pick(POEM_STARTS),
                middle=w.pick(POEM_MIDDLES),
                before=w.pick(POEM_BEFORE),
            )
            if number:
                w.add(word, "poem.rhyme", "poem.rhyme.second")
            else:
                w.add(word, "poem.rhyme")
            w.mark(start, "poem.line")
            w.add("." if number else ",", *(() if number else ("poem.comma",)))


FAMILIES = (
    Family("email", 1.6, email),
    Family("contract", 1.7, contract),
    Family("headlines", 1.3, headlines),
    Family("poem", 1.5, poem),
)

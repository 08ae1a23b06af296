"""The network: web addresses, server logs and a telephone list."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import NAMES, OBJECTS, PLACES, SURNAMES, listed, name
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "network",
    {
        "doc.links": ("document", "bookmarks with web addresses"),
        "doc.log": ("document", "a server log"),
        "doc.phone_list": ("document", "a list of telephone numbers"),
        "url": ("structure", "a web address"),
        "url.scheme": ("slot", "the scheme of a web address, such as https"),
        "url.separator": ("punctuation", "the colon and slashes after the scheme of a web address"),
        "url.host": ("slot", "the host name in a web address"),
        "url.top_level": ("slot", "the last part of a host name, such as org"),
        "url.path": ("slot", "the path of a web address"),
        "url.path.slash": ("punctuation", "a slash inside the path of a web address"),
        "url.query": ("structure", "the query of a web address, from the question mark on"),
        "url.query.key": ("slot", "the name of a parameter in a web address"),
        "url.query.value": ("slot", "the value of a parameter in a web address"),
        "url.query.mark": ("punctuation", "the question mark that begins the query of a web address"),
        "url.query.equals": ("punctuation", "the equals sign of a parameter in a web address"),
        "log.timestamp": ("slot", "the time stamp of a log line"),
        "log.level": ("slot", "the level of a log line, such as ERROR"),
        "log.level.error": ("kind", "the level ERROR or FATAL of a log line", "log.level"),
        "log.message": ("slot", "the message of a log line"),
        "log.message.error": ("state", "the message of a log line that reports an error", "log.message"),
        "log.message.normal": ("state", "the message of a log line that reports no error", "log.message"),
        "log.address": ("slot", "an IP address"),
        "log.address.dot": ("punctuation", "a dot inside an IP address"),
        "log.port": ("slot", "a port number after an IP address"),
        "log.service": ("slot", "the service that writes a log line"),
        "phone.number": ("slot", "a telephone number"),
        "phone.area": ("slot", "the area code of a telephone number"),
        "phone.hyphen": ("punctuation", "the hyphen inside a telephone number"),
        "phone.holder": ("slot", "the person or office that a telephone number belongs to"),
    },
)
LINK = Templates(
    "links.link",
    (
        "The page about the {thing} is at {url}.",
        "See {url} for the {thing}.",
        "{name} sent me {url} yesterday.",
        "More on the {place} can be found at {url}.",
    ),
    ("Do not miss {url} either.",),
)
HOSTS = listed("example weather maps shop archive library photos books news music")
TOP_LEVEL = listed("com org net edu io")
KEYS = {"id": None, "page": None, "lang": ("en", "fr", "de"), "sort": ("date", "name", "price"), "q": OBJECTS}


def links(w: Writer) -> None:
    """Four to six addresses in sentences."""
    for _ in range(w.rng.randint(4, 6)):
        w.line()
        w.say(
            w.choose(LINK), thing=(w.pick(OBJECTS), "object"), name=name(w.pick(NAMES)), place=(w.pick(PLACES), "place"), url=_url
        )


def _url(w: Writer) -> None:
    start = w.position
    w.add(w.pick(("https", "http")), "url.scheme")
    w.add("://", "url.separator")
    host = w.position
    w.add(w.pick(("www.", "", "data.")) + w.pick(HOSTS) + ".")
    w.add(w.pick(TOP_LEVEL), "url.top_level")
    w.mark(host, "url.host")
    path = w.position
    for _ in range(w.rng.randint(1, 3)):
        w.add("/", "url.path.slash")
        w.add(w.pick(PLACES + OBJECTS))
    w.mark(path, "url.path")
    if w.chance(0.6):
        query = w.position
        w.add("?", "url.query.mark")
        for number, key in enumerate(w.among(tuple(KEYS), w.rng.randint(1, 2))):
            w.add("&" if number else "")
            w.add(key, "url.query.key")
            w.add("=", "url.query.equals")
            values = KEYS[key]
            w.add(w.pick(values) if values else str(w.rng.randint(1, 999)), "url.query.value")
        w.mark(query, "url.query")
    w.mark(start, "url")


SERVICES = listed("auth mail cron kernel proxy database")
NORMAL = ("connection accepted from {address}", "user {user} logged in", "job finished in {number} seconds", "cache refreshed")
BAD = (
    "connection refused by {address}",
    "login failed for user {user}",
    "disk full after {number} writes",
    "timeout after {number} seconds",
)
LEVELS = {"INFO": NORMAL, "DEBUG": NORMAL, "ERROR": BAD, "FATAL": BAD}


def log(w: Writer) -> None:
    """Four to six lines."""
    year, month, day, hour, minute, second = (
        2020 + w.rng.randrange(10),
        w.rng.randint(1, 12),
        w.rng.randint(1, 28),
        w.rng.randrange(24),
        0,
        0,
    )
    for _ in range(w.rng.randint(4, 6)):
        w.line()
        second += w.rng.randint(1, 50)
        minute, second = min(minute + second // 60, 59), second % 60
        level = w.rng.choices(tuple(LEVELS), (5, 2, 3, 1))[0]
        bad = LEVELS[level] is BAD
        w.add(f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}", "log.timestamp")
        w.add(" ")
        w.add(level, "log.level", *(("log.level.error",) if bad else ()))
        w.add(" ")
        w.add(w.pick(SERVICES), "log.service")
        w.add(": ")
        start = w.position
        message = w.pick(LEVELS[level])
        w.fill(message, address=_address, user=w.pick(NAMES).lower(), number=str(w.rng.randint(1, 99)))
        w.mark(start, "log.message", "log.message.error" if bad else "log.message.normal")


def _address(w: Writer) -> None:
    start = w.position
    for number in range(4):
        if number:
            w.add(".", "log.address.dot")
        w.add(str(w.rng.choice((10, 192, 168, 172)) if number < 1 else w.rng.randrange(256)))
    w.mark(start, "log.address")
    if w.chance(0.8):
        w.add(":")
        w.add(str(w.pick((22, 80, 443, 8080, 3306))), "log.port")


PHONE = Templates(
    "phone.entry",
    ("{holder|phone.holder}, {number}", "{holder|phone.holder}: {number}", "Call {holder|phone.holder} on {number}"),
    ("{holder|phone.holder} can be reached on {number}",),
)


def phone_list(w: Writer) -> None:
    """Six to nine numbers."""
    template = w.choose(PHONE)
    for _ in range(w.rng.randint(6, 9)):
        w.line()
        holder = w.pick((f"{w.pick(NAMES)} {w.pick(SURNAMES)}", f"the {w.pick(PLACES)}"))
        w.fill(template, holder=holder, number=_phone_number)


def _phone_number(w: Writer) -> None:
    start = w.position
    w.add("0" + "".join(w.pick("123456789") for _ in range(3)), "phone.area")
    w.add("-", "phone.hyphen")
    w.add("".join(w.pick("0123456789") for _ in range(6)))
    w.mark(start, "phone.number")


FAMILIES = (Family("links", 1.5, links), Family("log", 1.6, log), Family("phone_list", 1.0, phone_list))

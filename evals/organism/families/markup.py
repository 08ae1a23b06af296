"""Structured text: HTML, JSON, Markdown and comma-separated tables."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import COLOURS, FOODS, NAMES, OBJECTS, PLACES, SURNAMES, TOWNS, listed
from dragoman.evals.organism.writer import Writer

from .family import Family

CONCEPTS = declare(
    "markup",
    {
        "doc.html": ("document", "a page of HTML"),
        "doc.json": ("document", "a JSON object"),
        "doc.markdown": ("document", "a page of Markdown notes"),
        "doc.csv": ("document", "a table of comma-separated values"),
        "html.tag": ("structure", "a whole HTML tag, from bracket to bracket"),
        "html.open_name": ("slot", "the name in an opening HTML tag"),
        "html.close_name": ("slot", "the name in a closing HTML tag"),
        "html.bracket.open": ("punctuation", "the angle bracket that opens an HTML tag"),
        "html.bracket.close": ("punctuation", "the angle bracket that closes an HTML tag"),
        "html.slash": ("punctuation", "the slash of a closing HTML tag"),
        "html.attribute": ("slot", "the name of an HTML attribute"),
        "html.equals": ("punctuation", "the equals sign of an HTML attribute"),
        "html.value": ("slot", "the value of an HTML attribute"),
        "html.value.class": ("slot", "the value of an HTML class attribute", "html.value"),
        "html.value.link": ("slot", "the address in an HTML href attribute", "html.value"),
        "html.text": ("slot", "the text between HTML tags"),
        "html.item": ("structure", "a list item in HTML, tags included"),
        "html.heading": ("slot", "the text of an HTML heading"),
        "json.key": ("slot", "a key in JSON"),
        "json.string": ("slot", "a string value in JSON"),
        "json.number": ("slot", "a number value in JSON"),
        "json.boolean": ("slot", "true, false or null in JSON"),
        "json.colon": ("punctuation", "the colon after a JSON key"),
        "json.comma": ("punctuation", "the comma between two members in JSON"),
        "json.brace.open": ("punctuation", "an opening brace in JSON"),
        "json.brace.close": ("punctuation", "a closing brace in JSON"),
        "json.bracket.open": ("punctuation", "an opening bracket of a JSON list"),
        "json.bracket.close": ("punctuation", "a closing bracket of a JSON list"),
        "json.list": ("structure", "a list in JSON"),
        "json.nested": ("structure", "an object inside another object in JSON"),
        "json.quote.key": ("punctuation", "a quotation mark around a JSON key"),
        "json.quote.value": ("punctuation", "a quotation mark around a JSON string value"),
        "markdown.heading": ("structure", "a heading in Markdown"),
        "markdown.hash": ("punctuation", "the hash marks of a Markdown heading"),
        "markdown.bullet": ("punctuation", "the dash before a Markdown list item"),
        "markdown.item": ("structure", "the text of a Markdown list item"),
        "markdown.done": ("punctuation", "the mark of a finished Markdown task"),
        "markdown.open": ("punctuation", "the mark of an unfinished Markdown task"),
        "markdown.bold": ("structure", "bold text in Markdown, between its stars"),
        "csv.header": ("structure", "the header line of a table"),
        "csv.comma": ("punctuation", "the comma between two fields of a table"),
        "csv.first_field": ("slot", "the first field of a row of a table"),
        "csv.last_field": ("slot", "the last field of a row of a table"),
        "csv.number": ("slot", "a number field of a table"),
        "csv.field": ("slot", "a field of a row of a table"),
    },
)
CLASSES = listed("main box title menu note small footer")


def html(w: Writer) -> None:
    """A heading, then paragraphs, links and a list, inside a division."""
    _open(w, "div", attribute=("class", w.pick(CLASSES)))
    w.line()
    _element(w, w.pick(("h1", "h2")), f"{w.pick(COLOURS).capitalize()} {w.pick(OBJECTS)}", "html.heading")
    for _ in range(w.rng.randint(2, 4)):
        w.line()
        kind = w.pick(("p", "a", "ul", "span"))
        if kind == "ul":
            _open(w, "ul")
            for food in w.among(FOODS, w.rng.randint(2, 4)):
                w.line()
                start = w.position
                _element(w, "li", food, "food")
                w.mark(start, "html.item")
            w.line()
            _close(w, "ul")
        else:
            attribute = None
            if kind == "a":
                attribute = ("href", f"/{w.pick(PLACES)}/{w.pick(OBJECTS)}")
            elif w.chance(0.5):
                attribute = ("class", w.pick(CLASSES))
            _element(w, kind, f"The {w.pick(OBJECTS)} of {w.pick(NAMES)}", attribute=attribute)
    w.line()
    _close(w, "div")


def _element(w: Writer, tag: str, text: str, *concepts: str, attribute: tuple[str, str] | None = None) -> None:
    _open(w, tag, attribute=attribute)
    w.add(text, "html.text", *concepts)
    _close(w, tag)


def _open(w: Writer, tag: str, attribute: tuple[str, str] | None = None) -> None:
    start = w.position
    w.add("<", "html.bracket.open")
    w.add(tag, "html.open_name")
    if attribute:
        w.add(" ")
        w.add(attribute[0], "html.attribute")
        w.add("=", "html.equals")
        w.add('"')
        w.add(attribute[1], "html.value", "html.value.link" if attribute[0] == "href" else "html.value.class")
        w.add('"')
    w.add(">", "html.bracket.close")
    w.mark(start, "html.tag")


def _close(w: Writer, tag: str) -> None:
    start = w.position
    w.add("<", "html.bracket.open")
    w.add("/", "html.slash")
    w.ask(tag, "html.close", [one for one in ("div", "h1", "h2", "p", "a", "ul", "li", "span") if one != tag], "html.close_name")
    w.add(">", "html.bracket.close")
    w.mark(start, "html.tag")


KEYS = listed("name city age email active items price title owner count status")


def json(w: Writer) -> None:
    """One object with four to eight members."""
    _object(w, w.rng.randint(4, 8), depth=1)


def _object(w: Writer, members: int, depth: int) -> None:
    start = w.position
    w.add("{", "json.brace.open")
    for place, key in enumerate(w.among(KEYS, members)):
        if place:
            w.add(",", "json.comma")
        w.line()
        w.add("  " * depth)
        _string(w, key, "key")
        w.add(":", "json.colon")
        w.add(" ")
        _value(w, key, depth)
    w.line()
    w.add("  " * (depth - 1))
    w.add("}", "json.brace.close")
    if depth > 1:
        w.mark(start, "json.nested")


def _value(w: Writer, key: str, depth: int) -> None:
    if key in ("age", "price", "count"):
        w.add(str(w.rng.randint(1, 99)), "json.number")
    elif key == "active":
        w.add(w.pick(("true", "false", "null")), "json.boolean")
    elif key == "items":
        start = w.position
        w.add("[", "json.bracket.open")
        for place, thing in enumerate(w.among(OBJECTS, w.rng.randint(2, 3))):
            w.add(", " if place else "")
            _string(w, thing, "value")
        w.add("]", "json.bracket.close")
        w.mark(start, "json.list")
    elif key == "owner" and depth == 1:
        _object(w, 2, depth + 1)
    elif key == "email":
        _string(w, f"{w.pick(NAMES).lower()}@{w.pick(('mail', 'post', 'web'))}.{w.pick(('com', 'org', 'net'))}", "value")
    else:
        _string(
            w,
            w.pick({"name": NAMES, "owner": NAMES, "status": ("open", "closed", "new"), "title": OBJECTS}.get(key, TOWNS)),
            "value",
        )


def _string(w: Writer, text: str, role: str) -> None:
    w.add('"', f"json.quote.{role}")
    w.add(text, "json.key" if role == "key" else "json.string")
    w.add('"', f"json.quote.{role}")


TASKS = ("call {name}", "buy {food}", "clean the {place}", "return the {thing}", "write to {name}", "repair the {thing}")


def markdown(w: Writer) -> None:
    """Two headings with lists of tasks or things."""
    for _ in range(2):
        w.line()
        start = w.position
        w.add(w.pick(("#", "##")), "markdown.hash")
        w.add(f" {w.pick(('Tasks', 'Notes', 'Plan', 'List'))} for {w.pick(('today', 'the week', 'the house', 'the trip'))}")
        w.mark(start, "markdown.heading")
        tasks = w.chance(0.5)
        for _ in range(w.rng.randint(3, 5)):
            w.line()
            w.add("-", "markdown.bullet")
            w.add(" ")
            if tasks:
                done = w.chance(0.5)
                w.add("[x]" if done else "[ ]", "markdown.done" if done else "markdown.open")
                w.add(" ")
            start = w.position
            thing = w.pick(OBJECTS)
            text = w.pick(TASKS).format(name=w.pick(NAMES), food=w.pick(FOODS), place=w.pick(PLACES), thing=thing)
            if w.chance(0.3):
                w.add(f"**{thing}**", "markdown.bold")
                w.add(": ")
            w.add(text)
            w.mark(start, "markdown.item")


TABLES = {
    "name,city,age": (NAMES, TOWNS, None),
    "product,colour,price": (OBJECTS, COLOURS, None),
    "food,store,amount": (FOODS, SURNAMES, None),
}


def csv(w: Writer) -> None:
    """A header and six to ten rows."""
    header = w.pick(tuple(TABLES))
    w.add(header, "csv.header")
    for _ in range(w.rng.randint(6, 10)):
        w.line()
        for place, words in enumerate(TABLES[header]):
            if place:
                w.add(",", "csv.comma")
            edge = {0: ("csv.first_field",), 2: ("csv.last_field",)}.get(place, ())
            if words is None:
                w.add(str(w.rng.randint(1, 99)), "csv.field", "csv.number", *edge)
            else:
                w.add(w.pick(words), "csv.field", *edge)


FAMILIES = (Family("html", 2.1, html), Family("json", 2.4, json), Family("markdown", 1.5, markdown), Family("csv", 1.3, csv))

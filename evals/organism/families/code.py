"""Programs: Python functions, SQL queries and shell sessions."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import NAMES, OBJECTS, TOWNS, listed
from dragoman.evals.organism.writer import Slot, Writer

from .family import Family

CONCEPTS = declare(
    "code",
    {
        "doc.python": ("document", "a passage of Python code"),
        "doc.sql": ("document", "a list of SQL statements"),
        "doc.shell": ("document", "a shell session"),
        "python.keyword": ("class", "a Python keyword"),
        "python.def": ("slot", "the keyword that begins a Python function"),
        "python.return": ("slot", "the keyword that returns from a Python function"),
        "python.function": ("slot", "the name of a Python function where it is defined"),
        "python.parameter": ("slot", "a parameter in the head of a Python function"),
        "python.use": ("slot", "a parameter or local variable where it is used in a Python function's body"),
        "python.assigned": ("slot", "a variable that is assigned in a Python function"),
        "python.assign": ("punctuation", "the equals sign of a Python assignment"),
        "python.operator": ("class", "an arithmetic or comparison operator in Python"),
        "python.number": ("class", "a number in Python code"),
        "python.string": ("structure", "a string literal in Python code"),
        "python.docstring": ("structure", "the docstring of a Python function"),
        "python.comment": ("structure", "a comment in Python code"),
        "python.indent": ("structure", "the indentation of a line of Python"),
        "python.indent.deep": ("structure", "the indentation of a Python line inside a loop or condition", "python.indent"),
        "python.body": ("structure", "the body of a Python function"),
        "python.head": ("structure", "the first line of a Python function"),
        "python.colon": ("punctuation", "the colon that opens a Python block"),
        "python.paren.open": ("punctuation", "an opening parenthesis in Python"),
        "python.paren.close": ("punctuation", "a closing parenthesis in Python"),
        "python.call": ("slot", "the name of a function that is called in Python"),
        "python.loop_variable": ("slot", "the variable of a Python loop"),
        "python.condition": ("structure", "the condition of a Python if statement"),
        "python.import": ("structure", "an import line in Python"),
        "python.module": ("slot", "the module in a Python import"),
        "sql.keyword": ("class", "an SQL keyword"),
        "sql.column": ("slot", "the name of a column in SQL"),
        "sql.selected": ("slot", "a column that an SQL query selects"),
        "sql.condition_column": ("slot", "the column in a condition of an SQL query"),
        "sql.table": ("slot", "the name of a table in SQL"),
        "sql.value": ("slot", "a value in an SQL condition"),
        "sql.string": ("structure", "a quoted string in SQL"),
        "sql.condition": ("structure", "the condition of an SQL statement"),
        "sql.operator": ("class", "a comparison in SQL"),
        "sql.semicolon": ("punctuation", "the semicolon that ends an SQL statement"),
        "shell.prompt": ("punctuation", "the prompt of a shell session"),
        "shell.command": ("slot", "the command of a shell line"),
        "shell.option": ("slot", "an option of a shell command"),
        "shell.path": ("slot", "a path in a shell command"),
        "shell.output": ("structure", "a line that a shell command printed"),
    },
)
VERBS = listed("get load count find make read check add merge sort")
THINGS = listed("items users total price names lines score index value rows")
PARAMETERS = listed("items users price name lines limit index value rows key size")
MODULES = listed("json math random re sys time")
OPERATORS = ("+", "-", "*")
COMPARISONS = (">", "<", "==", ">=")
CALLS = listed("len sum max min sorted print")
DOCSTRINGS = ("Return the total.", "Count what is needed.", "Find the right value.", "Read all lines.", "Check the input first.")
COMMENTS = ("nothing to do", "keep the last one", "skip empty rows", "this is slow", "see the manual")


def python(w: Writer) -> None:
    """One to three functions."""
    if w.chance(0.5):
        start = w.position
        w.fill("{=import|python.keyword} {module|python.module}", module=w.pick(MODULES))
        w.mark(start, "python.import")
        w.line()
    for number in range(w.rng.randint(1, 3)):
        if number:
            w.line()
        _function(w)


def _function(w: Writer) -> None:
    first, second = w.among(PARAMETERS, 2)
    result = w.pick(("result", "total", "count", "output"))
    start = w.position
    w.fill(
        "{=def|python.keyword,python.def} {name|python.function}{=(|python.paren.open}{first|python.parameter}, "
        "{second|python.parameter}{=)|python.paren.close}{=:|python.colon}",
        name=f"{w.pick(VERBS)}_{w.pick(THINGS)}",
        first=first,
        second=second,
    )
    w.mark(start, "python.head")
    start = w.position
    if w.chance(0.5):
        _line(w, 1, "{text|python.docstring,python.string}", text=f'"""{w.pick(DOCSTRINGS)}"""')
    _line(w, 1, "{result|python.assigned} {==|python.assign} {zero|python.number}", result=result, zero=w.pick("01"))
    shape = w.pick(("loop", "condition", "both", "plain"))
    use = (w.pick((first, second)), "python.use")
    if shape in ("loop", "both"):
        _line(
            w,
            1,
            "{=for|python.keyword} {one|python.loop_variable} {=in|python.keyword} {use}{=:|python.colon}",
            one=(one := w.pick(("row", "item", "line"))),
            use=(first, "python.use"),
        )
        _line(
            w,
            2,
            "{result|python.assigned} {==|python.assign} {result|python.use} {op|python.operator} {one|python.use}",
            result=result,
            op=w.pick(OPERATORS),
            one=one,
        )
    if shape in ("condition", "both"):
        _condition(w, second)
        _line(w, 2, "{=return|python.keyword,python.return} {value}", value=w.pick((("None", "python.keyword"), use)))
    if shape == "plain":
        _line(
            w,
            1,
            "{result|python.assigned} {==|python.assign} {call|python.call}{=(|python.paren.open}{use}{=)|python.paren.close} "
            "{op|python.operator} {number|python.number}",
            result=result,
            call=w.pick(CALLS),
            use=use,
            op=w.pick(OPERATORS),
            number=str(w.rng.randint(1, 99)),
        )
    if w.chance(0.5):
        _line(w, 1, "{text|python.comment}", text=f"# {w.pick(COMMENTS)}")
    _line(w, 1, "{=return|python.keyword,python.return} {result|python.use}", result=result)
    w.mark(start, "python.body")


def _condition(w: Writer, variable: str) -> None:
    def test(w: Writer) -> None:
        w.fill(
            "{variable|python.use} {op|python.operator} {number|python.number}",
            variable=variable,
            op=w.pick(COMPARISONS),
            number=str(w.rng.randint(0, 99)),
        )

    _line(w, 1, "{=if|python.keyword} {test|python.condition}{=:|python.colon}", test=test)


def _line(w: Writer, depth: int, template: str, **slots: Slot) -> None:
    w.line()
    w.add("    " * depth, "python.indent", *(("python.indent.deep",) if depth > 1 else ()))
    w.fill(template, **slots)


TABLES = {
    "customers": ("name", "city", "age"),
    "orders": ("number", "amount", "status"),
    "products": ("title", "price", "stock"),
    "employees": ("name", "salary", "office"),
}
TEXTS = {"name": NAMES, "city": TOWNS, "office": TOWNS, "title": OBJECTS, "status": ("open", "sent", "paid")}


def sql(w: Writer) -> None:
    """Three to six statements."""
    for number in range(w.rng.randint(3, 6)):
        if number:
            w.line()
        table = w.pick(tuple(TABLES))
        columns = TABLES[table]
        kind = w.rng.choices(("select", "update", "delete"), (6, 2, 2))[0]
        if kind == "select":
            w.fill("{=SELECT|sql.keyword} ")
            for place, column in enumerate(w.among(columns, w.rng.randint(1, 2))):
                w.add(", " if place else "")
                w.add(column, "sql.column", "sql.selected")
            w.fill(" {=FROM|sql.keyword} {table|sql.table}", table=table)
        elif kind == "update":
            w.fill(
                "{=UPDATE|sql.keyword} {table|sql.table} {=SET|sql.keyword} {column|sql.column} {==|sql.operator} ",
                table=table,
                column=(column := w.pick(columns)),
            )
            _value(w, column)
        else:
            w.fill("{=DELETE FROM|sql.keyword} {table|sql.table}", table=table)
        if kind != "select" or w.chance(0.7):
            column = w.pick(columns)
            w.fill(" {=WHERE|sql.keyword} ")
            start = w.position
            w.fill(
                "{column|sql.column,sql.condition_column} {op|sql.operator} ",
                column=column,
                op="=" if column in TEXTS else w.pick((">", "<")),
            )
            _value(w, column)
            w.mark(start, "sql.condition")
        if kind == "select" and w.chance(0.4):
            w.fill(" {=ORDER BY|sql.keyword} {column|sql.column}", column=w.pick(columns))
        w.add(";", "sql.semicolon")


def _value(w: Writer, column: str) -> None:
    if column in TEXTS:
        w.add(
            f"'{w.pick(TEXTS[column])}'",
            "sql.value",
            "sql.string",
        )
    else:
        w.add(str(w.rng.randint(1, 999)), "sql.value")


FOLDERS = listed("/home/anna /var/log /etc /tmp /usr/local /srv/data")
FILES = listed("notes.txt report.pdf backup.tar image.png server.log data.csv main.py")
COMMANDS = {
    "ls": ("-l", "-a"),
    "cat": (),
    "cp": ("-r",),
    "rm": ("-f",),
    "grep": ("-n", "-i"),
    "tail": ("-n",),
    "cd": (),
    "mkdir": ("-p",),
}


def shell(w: Writer) -> None:
    """Four to eight commands, some with what they print."""
    for number in range(w.rng.randint(4, 8)):
        if number:
            w.line()
        command = w.pick(tuple(COMMANDS))
        w.add("$", "shell.prompt")
        w.add(" ")
        w.add(command, "shell.command")
        if COMMANDS[command] and w.chance(0.6):
            w.add(" ")
            w.add(w.pick(COMMANDS[command]), "shell.option")
        if command == "grep":
            w.add(" error")
        folder = w.pick(FOLDERS)
        w.add(" ")
        w.add(folder if command in ("ls", "cd", "mkdir") else f"{folder}/{w.pick(FILES)}", "shell.path")
        if command == "ls":
            w.line()
            w.add("  ".join(w.among(FILES, w.rng.randint(2, 4))), "shell.output")
        elif command in ("cat", "grep", "tail") and w.chance(0.4):
            w.line()
            w.add(
                f"{w.pick(('error', 'warning'))}: {w.pick(('disk full', 'file not found', 'no such user', 'line too long'))}",
                "shell.output",
            )


FAMILIES = (Family("python", 3.0, python), Family("sql", 1.6, sql), Family("shell", 1.5, shell))

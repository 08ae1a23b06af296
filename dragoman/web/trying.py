"""Trying a feature: on a text, on a text before and after a change, and turned up while the model writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dragoman.store.errors import ToolError, UserError

from .feature import found
from .features import FRAGMENT, address_of, toolbox
from .forms import form
from .site import Site, site_of
from .strips import strip

KINDS = ("text", "edit", "steer", "near")
TOKENS = 24
"""Tokens that a steered model writes."""


class Read(NamedTuple):
    """A feature on a text."""

    words: str
    """What the text is."""
    strip: Markup
    """The text with its activations."""
    peak: float
    """The largest."""
    share: float | None
    """As a share of the train maximum; None where there is none."""
    token: str
    """Where it is."""
    fires: bool
    """Whether it is above the threshold."""
    tokens: int
    """How long the text is."""


async def shown(request: Request) -> Response:
    """The forms on a page of their own."""
    site, key = site_of(request), request.path_params["key"]
    feature = found(site, key)
    return _page(request, {"key": str(site.store.key(feature)), "given": {}, "tried": None, "trouble": ""})


async def tried(request: Request) -> Response:
    """What came out; a part of the page where the script asks for it."""
    site, given = site_of(request), await form(request)
    feature = found(site, request.path_params["key"])
    values: dict[str, Any] = {"key": str(site.store.key(feature)), "given": given, "tried": None, "trouble": ""}
    try:
        values["tried"] = await site.work(run, site, feature, given)
    except (UserError, ToolError) as error:
        values["trouble"] = str(error)
    if FRAGMENT in request.headers:
        return HTMLResponse(site.pages.html("tried.html.j2", addressed=address_of, **values))
    return _page(request, values)


def _page(request: Request, values: dict[str, Any]) -> Response:
    status = 400 if values["trouble"] else 200
    return site_of(request).pages.page(request, "try.html.j2", status=status, addressed=address_of, **values)


def run(site: Site, feature: int, given: Mapping[str, str]) -> dict[str, Any]:
    """Run what a form asks for. Raises UserError or ToolError where it cannot be run."""
    kind = given.get("kind", "text")
    if kind not in KINDS:
        raise UserError(f"What can be tried is {', '.join(KINDS[:3])}.")
    if kind == "near":
        return {"kind": kind, **_near(site, feature)}
    text = _text(given, "text", "a text")
    if kind == "text":
        return {"kind": kind, "read": _read(site, feature, [("Your text", text)])}
    if kind == "edit":
        after = _text(given, "after", "the changed text")
        if after == text:
            raise UserError("The two texts are the same: change something in the second one.")
        read = _read(site, feature, [("Before", text), ("After", after)])
        return {"kind": kind, "read": read, "change": read[1].peak - read[0].peak, "changed": _changed(text, after)}
    return {"kind": kind, **_steer(site, feature, text, _strength(given))}


def _read(site: Site, feature: int, texts: Sequence[tuple[str, str]]) -> list[Read]:
    told = toolbox(site, feature).call("activate", {"texts": [text for _, text in texts]}).data
    threshold, largest = float(told["threshold"]), float(told["maximum"])
    rows = []
    for (words, _), row in zip(texts, told["texts"], strict=True):
        shown = strip(row["tokens"], row["values"], largest or float(row["max"]), threshold)
        share = float(row["max"]) / largest if largest > 0 else None
        token = row["tokens"][row["position"]]
        rows.append(Read(words, shown, float(row["max"]), share, token, bool(row["fires"]), len(row["tokens"])))
    return rows


def _steer(site: Site, feature: int, prompt: str, strength: float) -> dict[str, Any]:
    tools = toolbox(site, feature)
    effect = tools.call("steer", {"prompts": [prompt], "strength": strength}).data
    wrote = tools.call("generate_steered", {"prompts": [prompt], "strengths": [strength], "tokens": TOKENS}).data
    return {"strength": strength, "prompt": prompt, "effect": effect, "wrote": wrote["continuations"]}


def _near(site: Site, feature: int) -> dict[str, Any]:
    """The nearest features by decoder direction, for a dictionary that is too large for a table of them."""
    rows = toolbox(site, feature).call("neighbours", {"n": 8}).data["neighbours"]
    entries = site.catalogue.entries([site.store.id(row["feature"]) for row in rows])
    return {"near": [(entry, row["value"]) for entry, row in zip(entries.values(), rows, strict=True)]}


def _changed(before: str, after: str) -> list[tuple[str, str]]:
    """The pieces that differ, word by word."""
    old, new = _pieces(before), _pieces(after)
    found = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [("".join(old[a:b]), "".join(new[c:d])) for what, a, b, c, d in found if what != "equal"][:20]


def _pieces(text: str) -> list[str]:
    return [piece for word in text.split(" ") for piece in (" ", word)][1:2_000]


def _text(given: Mapping[str, str], name: str, what: str) -> str:
    text = given.get(name, "").replace("\r\n", "\n")
    if not text:
        raise UserError(f"Write {what} first.")
    return text


def _strength(given: Mapping[str, str]) -> float:
    try:
        strength = float(given.get("strength") or 2.0)
    except ValueError:
        strength = math.nan
    if not -64 <= strength <= 64 or strength == 0:
        raise UserError("The strength is a number from -64 to 64, but not 0: how often the train maximum is added.")
    return strength


ROUTES = [
    Route("/try/{key:path}", shown, methods=["GET"]),
    Route("/try/{key:path}", tried, methods=["POST"]),
]

"""What people say of a label: a verdict, and a label in their own words. Stored as such, never among a model's."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from dragoman.store.errors import UserError
from dragoman.store.verdicts import Correction
from dragoman.tools.patterns import parse

from .feature import found, verdicts
from .features import FRAGMENT, address_of
from .forms import form
from .site import Site, site_of

WRITTEN = ("description", "name", "pattern", "output_claim")
"""Fields of a person's label."""


async def give(request: Request) -> Response:
    """Take a verdict down; back to the feature's page, or its list of verdicts where the script asks for it."""
    site, given = site_of(request), await form(request)
    feature = found(site, request.path_params["key"])
    fragment = FRAGMENT in request.headers
    trouble = ""
    try:
        await site.read(_write, site, feature, given)
    except UserError as error:
        if not fragment:
            raise
        trouble = str(error)
    if fragment:
        values = await site.read(verdicts, site, feature)
        return HTMLResponse(site.pages.html("verdict_list.html.j2", trouble=trouble, saved=not trouble, **values))
    return RedirectResponse(f"{address_of(site.store.key(feature))}#verdicts", 303)


def _write(site: Site, feature: int, given: dict[str, str]) -> None:
    """Raises UserError for a form that says nothing, and for a rule that cannot be read."""
    fields = {
        name: given.get(name, "").replace("\r\n", "\n").strip() for name in ("description", "name", "pattern", "output_claim")
    }
    correction = None
    if any(fields.values()):
        if fields["pattern"]:
            parse(fields["pattern"])
        correction = Correction(
            description=fields["description"],
            name=fields["name"],
            pattern=fields["pattern"] or None,
            output_claim=fields["output_claim"] or None,
        )
    label = given.get("label") or None
    if label is not None and all(one.id != label for one in site.store.ledger.labels(feature=feature)):
        raise UserError("This label is not one of this feature: open its page again.")
    site.verdicts.give(
        feature,
        label,
        given.get("verdict") or None,
        comment=given.get("comment", "").replace("\r\n", "\n"),
        correction=correction,
        person=given.get("person", ""),
    )


ROUTES = [Route("/verdict/{key:path}", give, methods=["POST"])]

"""What surrounds every page: who may ask, from where, and what a browser may do with the answer.

- The policy lets pages load scripts, styles and pictures from here alone, none inline, and be framed by nobody.
- A request has to be addressed to a name of this machine, so that a page of another site that had its name changed to this
  address gets nothing; and what changes something (POST) has to come from a page of ours.
- Where there is a token, it is asked for once on a page and then kept in a cookie that scripts cannot read; programs send it as a
  bearer token.
- What goes wrong in a page is logged, and the reader gets one sentence.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.guarding import Secret, own_names
from dragoman.store.errors import UserError

from .forms import form
from .pages import Pages

COOKIE = "dragoman"
SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
MOST = 2_000_000
"""Bytes of a request's body at most."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With "no-referrer" browsers would not say where a form comes from, and that is checked.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
log = logging.getLogger(__name__)
Trouble = Callable[[Request, int, str], Response]


class Fence:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, pages: Pages, host: str, names: Sequence[str], token: str | None) -> None:
        """
        Args:
            app: what is guarded.
            pages: makes the pages of refusals.
            host: the address that is listened on.
            names: further names by which browsers reach it.
            token: what has to be known; None where the machine's own users may do everything.
        """
        self._app, self._pages = app, pages
        self._names = frozenset(name.lower() for name in own_names(host, names))
        self._secret = None if token is None else Secret(token)
        self._pass = "" if token is None else hmac.new(token.encode(), b"dragoman: signed in", hashlib.sha256).hexdigest()
        self._passes = Secret(self._pass)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, begun = Request(scope, receive), False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    kept = request.url.path.startswith("/static/") and "v" in request.query_params
                    headers["cache-control"] = "private, max-age=31536000, immutable" if kept else "private, no-cache"
            await send(message)

        receive = _bounded(receive)
        try:
            answer = await self._refusal(Request(scope, receive))
            await (answer or self._app)(scope, receive, with_headers)
        except TooMuch:
            if not begun:
                said = f"That is too much at once: send at most {MOST:,} bytes."
                await self._said(request, 413, said)(scope, receive, with_headers)
        except UserError as error:
            await self._said(request, 400, str(error))(scope, receive, with_headers)
        except Exception as error:
            log.exception("a page failed: %s", request.url.path)
            if not begun:
                said = f"Something went wrong that should not have ({type(error).__name__}): the log of this store says more."
                await self._said(request, 500, said)(scope, receive, with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        """What is answered instead; None where the request may pass."""
        host = request.headers.get("host", "").lower()
        if _without_port(host) not in self._names:
            said = "This server is not called that: start it with --name and the name in the address, or use 127.0.0.1."
            return self._said(request, 421, said)
        bears = self._secret is not None and self._secret.bears(_all(request.headers, b"authorization"))
        if request.method not in ("GET", "HEAD") and not bears:
            origin = request.headers.get("origin", "").lower()
            if origin not in (f"http://{host}", f"https://{host}"):
                return self._said(request, 403, "Only this server's own pages may change something: go on from one of them.")
        if self._secret is None or bears or request.url.path.startswith("/static/"):
            return None
        return await self._at_the_door(request, self._secret)

    async def _at_the_door(self, request: Request, secret: Secret) -> Response | None:
        """Signing in and out."""
        path, secure = request.url.path, request.url.scheme == "https"
        if path == SIGN_IN and request.method == "POST":
            given = await form(request)
            if not secret.is_(given.get("token", "").strip().encode()):
                log.warning("a wrong token was given")
                return self._door(request, "That is not the token.", given.get("next", "/"), 403)
            into = RedirectResponse(_local(given.get("next", "/")), 303)
            into.set_cookie(COOKIE, self._pass, httponly=True, samesite="strict", secure=secure, path="/")
            return into
        if path == SIGN_OUT and request.method == "POST":
            out = RedirectResponse(SIGN_IN, 303)
            out.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=secure)
            return out
        if self._passes.is_(_cookie(request).encode()):
            return RedirectResponse("/", 303) if path == SIGN_IN else None
        if path == SIGN_IN or request.method == "GET":
            target = request.query_params.get("next", "/") if path == SIGN_IN else path
            return self._door(request, "", target, 200 if path == SIGN_IN else 401)
        return self._said(request, 401, "Sign in first: open this server's address and give its token.")

    def _door(self, request: Request, wrong: str, target: str, status: int) -> Response:
        return self._pages.page(request, "door.html.j2", status=status, wrong=wrong, target=_local(target))

    def _said(self, request: Request, status: int, sentence: str) -> Response:
        return trouble(self._pages, request, status, sentence)


class TooMuch(Exception):
    """A request's body is too long."""


def trouble(pages: Pages, request: Request, status: int, sentence: str) -> Response:
    """A page with one sentence. Scripts of ours ask for plain text."""
    if "text/html" not in request.headers.get("accept", "text/html"):
        return Response(sentence, status, media_type="text/plain")
    return pages.page(request, "trouble.html.j2", status=status, code=status, sentence=sentence)


def _bounded(receive: Receive) -> Receive:
    length = 0

    async def counted() -> Message:
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > MOST:
            raise TooMuch
        return message

    return counted


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and (not name.count(":") or name.endswith("]")) else host


def _all(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers.raw if key == name]


def _cookie(request: Request) -> str:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _local(target: str) -> str:
    """Where to go on after signing in: a page of ours and nothing else."""
    path = unquote(target)
    if not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable() or "\\" in path:
        return "/"
    return quote(path, safe="/?&=#,:-._~")

"""Who may ask for pages, and what a browser may do with them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from dragoman.web.app import application
from dragoman.web.forms import form
from dragoman.web.security import MOST
from tests.dragoman.command import refused_here

from .conftest import HOME

TOKEN = "correct-horse-battery-staple"


async def _echo(request: Request) -> Response:
    return Response((await form(request)).get("text", ""), media_type="text/plain")


async def _breaks(request: Request) -> Response:
    raise KeyError("secret detail")


@pytest.fixture(scope="module")
def open_door(store: Path) -> Iterator[TestClient]:
    app = application(store)
    app.router.routes += [Route("/echo", _echo, methods=["POST"]), Route("/breaks", _breaks)]
    with TestClient(app, base_url=HOME) as client:
        yield client


@pytest.fixture
def guarded(store: Path) -> Iterator[TestClient]:
    with TestClient(
        application(store, host="0.0.0.0", names=["lab.example"], token=TOKEN), base_url="http://lab.example:80"
    ) as one:
        yield one


def test_every_answer_carries_the_policy(open_door: TestClient) -> None:
    for path, status in (("/", 200), ("/nowhere", 404), ("/breaks", 500), ("/static/style.css", 200)):
        answer = open_door.get(path)
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_mistakes_are_one_sentence_and_no_traceback(open_door: TestClient) -> None:
    broken = open_door.get("/breaks")
    assert broken.status_code == 500 and "KeyError" in broken.text
    assert "secret detail" not in broken.text and "Traceback" not in broken.text
    plain = open_door.get("/nowhere", headers={"accept": "text/plain"})
    assert plain.headers["content-type"].startswith("text/plain") and "<" not in plain.text
    assert open_door.post("/", headers={"origin": HOME}).status_code == 405


def test_names_that_are_not_ours_get_nothing(open_door: TestClient) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost:80:80"):
        assert open_door.get("/", headers={"host": host}).status_code == 421, host
    for host in ("127.0.0.1:8766", "LOCALHOST", "[::1]:1"):
        assert open_door.get("/", headers={"host": host}).status_code == 200, host


def test_only_our_own_pages_change_something(open_door: TestClient) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1.evil.example", "", "file://"):
        assert open_door.post("/echo", data={"text": "x"}, headers={"origin": origin}).status_code == 403, origin
    assert open_door.post("/echo", data={"text": "x"}).status_code == 403, "no origin at all"
    answer = open_door.post("/echo", data={"text": "x\u202e<b>"}, headers={"origin": HOME})
    assert answer.status_code == 200 and answer.text == "x\u202e<b>"


def test_bodies_are_bounded_and_have_to_be_forms(open_door: TestClient) -> None:
    own = {"origin": HOME}
    assert open_door.post("/echo", data={"text": "x" * (MOST + 1)}, headers=own).status_code == 413
    assert open_door.post("/echo", json={"text": "x"}, headers=own).status_code == 400
    assert open_door.post("/echo", data={f"f{n}": "" for n in range(101)}, headers=own).status_code == 400
    bad = {**own, "content-type": "application/x-www-form-urlencoded"}
    assert open_door.post("/echo", content=b"text=%ff", headers=bad).status_code == 400


def test_a_token_is_asked_for_once(guarded: TestClient) -> None:
    own = {"origin": "http://lab.example"}
    assert guarded.get("/").status_code == 401
    assert guarded.get("/static/style.css").status_code == 200, "the page that asks needs it"
    assert guarded.post("/sign-in", data={"token": "wrong"}, headers=own).status_code == 403
    assert guarded.get("/").status_code == 401
    foreign = guarded.post("/sign-in", data={"token": TOKEN}, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403 and "set-cookie" not in foreign.headers
    signed = guarded.post("/sign-in", data={"token": TOKEN, "next": "//evil.example/x"}, headers=own, follow_redirects=False)
    cookie = signed.headers["set-cookie"]
    assert signed.status_code == 303 and signed.headers["location"] == "/"
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    assert guarded.get("/").status_code == 200
    assert guarded.post("/sign-out", headers=own).url.path == "/sign-in"
    assert guarded.get("/").status_code == 401


def test_programs_send_the_token_themselves(guarded: TestClient) -> None:
    assert guarded.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    for wrong in (f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", TOKEN):
        assert guarded.get("/", headers={"authorization": wrong}).status_code == 401, wrong
    guarded.cookies.set("dragoman", "0" * 64, domain="lab.example")
    assert guarded.get("/").status_code == 401


def test_the_command_refuses_what_is_not_safe(tmp_path: Path, store: Path) -> None:
    assert "DRAGOMAN_TOKEN" in refused_here("serve", store, "--host", "0.0.0.0")
    assert "16 printable" in refused_here("serve", store, "--host", "0.0.0.0", "--token", "short")
    assert "There is no store" in refused_here("serve", tmp_path / "none", "--port", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "Cannot listen" in refused_here("serve", store, "--port", str(taken.getsockname()[1]))

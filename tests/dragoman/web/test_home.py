"""The first page, and text that nobody vouches for."""

from __future__ import annotations

from starlette.testclient import TestClient

from dragoman.web.harmless import MOST, harmless
from dragoman.web.pages import Pages
from dragoman.web.strips import strip

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202eback\u2066\x00 \"'&"


def test_the_first_page_says_what_the_store_is(client: TestClient) -> None:
    text = client.get("/").text
    for said in ("synthetic", "24", "sae", "resid_post.0", "train", "dragoman label"):
        assert said in text


def test_text_is_made_harmless_and_keeps_its_lines() -> None:
    shown = harmless(HOSTILE + "\nsecond\tline")
    assert "\x1b" not in shown and "\u202e" not in shown and "\x00" not in shown
    assert "\u27e8U+202E\u27e9back" in shown and shown.endswith("\nsecond\tline")
    assert harmless("plain naïve 日本語 🐦") == "plain naïve 日本語 🐦"
    long = harmless("x" * 1_000_000)
    assert len(long) < MOST + 60 and "980,000 more" in long


def test_every_value_on_a_page_is_harmless_and_escaped() -> None:
    pages = Pages()
    template = pages._templates.from_string('<p title="{{ text }}">{{ text }}|{{ text|short(8) }}|{{ 3 }}|{{ text|token }}</p>')
    page = template.render(text=HOSTILE)
    assert "<script" not in page and "\u202e" not in page and "\x1b" not in page
    assert page.count("&lt;script&gt;") == 4 and "|3|" in page


def test_strips_escape_and_have_no_inline_style() -> None:
    page = str(strip([HOSTILE, "x" * 1_000_000, " ", "quiet<b>"], [0.5, 2.0, 0.1, 0.0], 2.0, 0.4))
    assert "<script" not in page and "style=" not in page and "\u202e" not in page
    assert len(page) < 3_000
    assert 'class="a10 fires"' in page and 'title="2 (100% of its maximum)"' in page and "quiet&lt;b&gt;" in page
    assert "\u2423" in page, "a blank that is active can be seen"

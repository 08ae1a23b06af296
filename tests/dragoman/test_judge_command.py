"""`dragoman judge check` for people and for scripts, on scripted servers."""

from __future__ import annotations

import json

from tests.evals.gateway.server import Said, ScriptedServer
from tests.evals.judge.talking import honest

from .command import here, refused_here

SMALL = ("--claims", "4", "--texts", "4", "-q")


def test_a_judge_that_reads_words_is_found_to() -> None:
    with ScriptedServer(honest) as server:
        found = json.loads(here("judge", "check", server.url, *SMALL, "--json").stdout)
        assert found["judge"] == "vllm:judge"
        assert found["detection"]["word"]["value"] == found["simulation"]["value"] / found["simulation"]["value"] == 1
        assert 0.4 < found["detection"]["concept"]["value"] < 0.8, "it reads words only"
        assert found["written"]["value"] == 1 and found["constant"] is None and found["unreadable"] is None
        assert set(found["ways"]) == {"log-probabilities"}
        assert len(found["position"]["shares"]) == 4 and found["traffic"]["calls"] == len(server.seen)
        assert found["traffic"]["prompt_tokens"] == server.prompt_tokens
        page = here("judge", "check", server.url, *SMALL)
        assert page.returncode == 0
        for shown in ("detection, AUROC", "Brier score", "position bias", "length bias", "calls in", "came true"):
            assert shown in page.stdout


def test_a_constant_judge_is_said_to_be() -> None:
    with ScriptedServer(lambda body: Said("Yes", chances=[{"Yes": 0.8, "No": 0.2}])) as server:
        page = here("judge", "check", server.url, *SMALL)
        assert page.returncode == 0
        text = " ".join(page.stdout.split())
        assert "Constant. The judge answers yes (probability 0.80) to 32 of 32 questions: its scores say nothing." in text
        assert "answers could not be read" in text


def test_a_broken_judge_is_said_to_be() -> None:
    with ScriptedServer(lambda body: Said("", finish="content_filter")) as server:
        text = " ".join(here("judge", "check", server.url, *SMALL).stdout.split())
        assert "Broken: no detection question could be read." in text


def test_wrong_servers_are_one_sentence() -> None:
    with ScriptedServer(honest, owner="somebody") as server:
        assert "not vLLM" in refused_here("judge", "check", server.url, *SMALL)
        assert "no model 'other'" in refused_here("judge", "check", f"openai:{server.url}#other", *SMALL)
        server.die()
        assert "No server answers" in refused_here("judge", "check", server.url, *SMALL)
    assert "names no model" in refused_here("judge", "check", "pattern", *SMALL)

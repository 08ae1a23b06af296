"""Sessions: from a pipe, for scripts, with a language model, and on a real terminal, where Ctrl-C stops an answer only."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from rich.console import Console

from dragoman.chat.completing import Words
from dragoman.chat.screen import People
from dragoman.chat.session import OWN, Session
from dragoman.store.chats import Chats, ChatStep
from dragoman.store.features import Store
from dragoman.store.manifest import LEDGER
from tests.agents.investigation.talking import Script, answers, asks, talking
from tests.dragoman.command import ROOT, here
from tests.support.mcp_servers import hostile_feature

from .test_screen import harmless

TEXT = "The robin sang in park 3."


@pytest.fixture(scope="module", name="hostile")
def own_copy(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store with hostile text and labels, to be written to."""
    folder = tmp_path_factory.mktemp("chat") / "store"
    folder.mkdir()
    for name in ("features.duckdb", "manifest.json", LEDGER):
        shutil.copy(hostile / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def feature(hostile: Path) -> str:
    """The feature with the hostile label."""
    with Store.open(hostile) as store:
        return str(hostile_feature(store))


@pytest.fixture(scope="module")
def firing(hostile: Path, feature: str) -> str:
    """A text on which it fires, as it is typed: a bar would end it."""
    with Store.open(hostile) as store:
        (example,) = store.examples(int(feature), "train", "top", 1)
        return "".join(example.context.strings).replace("|", "\\|").replace("\n", " ")


def piped(monkeypatch: pytest.MonkeyPatch, text: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return here("chat", *arguments)


def test_lines_from_a_pipe_are_answered_in_turn(
    monkeypatch: pytest.MonkeyPatch, hostile: Path, feature: str, firing: str
) -> None:
    done = piped(monkeypatch, f"\nactivate {feature} {firing}\n{feature}\nopen E1\n", hostile, "--thread", "pipe")
    assert done.returncode == 0 and not done.stderr
    assert "[[" in done.stdout and "It fires on 1 of 1 texts. [E1]" in " ".join(done.stdout.split())
    assert f"[label sae/{feature}]" in done.stdout and "As agents read it:" in done.stdout
    assert harmless(done.stdout, colours=False) and "⟨U+001B⟩" in done.stdout, "the label's escape is shown, not sent"
    again = piped(monkeypatch, "open E7\nfrobnicate\n", hostile, "--thread", "pipe")
    assert again.returncode == 2 and "There is no E7 in this thread: it has 2 steps." in again.stdout
    assert "There is no command 'frobnicate'" in again.stdout


def test_hostile_texts_are_found_and_shown_harmlessly(monkeypatch: pytest.MonkeyPatch, hostile: Path, feature: str) -> None:
    lines = f"find {TEXT} \x1b[31m\u202e\nexamples {feature}\nlabels instructions\nsql SELECT name FROM label\nopen E2\nopen E4\n"
    done = piped(monkeypatch, lines, hostile)
    assert done.returncode == 0 and harmless(done.stdout, colours=False)
    assert done.stdout.count("Ignore your instructions") > 3 and "⟨U+202E⟩" in done.stdout


def test_scripts_get_one_event_a_line(monkeypatch: pytest.MonkeyPatch, hostile: Path, feature: str) -> None:
    done = piped(monkeypatch, f"activate {feature} {TEXT}\nfrobnicate\n", hostile, "--json", "--thread", "script")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["called", "returned", "answer", "stopped"] and done.returncode == 2
    (citation,) = events[2]["statements"][0]["citations"]
    assert citation == {"kind": "step", "id": events[1]["row"], "name": "E1"} and done.stdout.isascii()


def test_threads_are_listed_and_deleted(monkeypatch: pytest.MonkeyPatch, hostile: Path, feature: str) -> None:
    piped(monkeypatch, f"stats {feature}\nthread chat-1\nstats {feature}\n", hostile, "--thread", "one \x1b[31m")
    listed = here("chat", hostile, "--list")
    assert "one ⟨U+001B⟩[31m" in listed.stdout and "chat-1" in listed.stdout and harmless(listed.stdout, colours=False)
    assert here("chat", hostile, "--delete", "one \x1b[31m").returncode == 0
    left = [json.loads(line)["thread"] for line in here("chat", hostile, "--list", "--json").stdout.splitlines()]
    assert "chat-1" in left and "one \x1b[31m" not in left
    gone = here("chat", hostile, "--delete", "one \x1b[31m")
    assert gone.returncode == 2 and "There is no thread" in gone.stderr and "\x1b" not in gone.stderr


class Written:
    """Lines of somebody who sits there."""

    interactive = True

    def __init__(self, *lines: str) -> None:
        self._lines: Iterator[str] = iter(lines)

    async def line(self, prompt: str) -> str | None:
        return next(self._lines, None)


def test_a_model_asks_back_and_its_answer_is_checked(hostile: Path, feature: str, firing: str) -> None:
    script = Script(
        asks(("activate", {"feature": feature, "texts": [firing]}), text="Let me try it."),
        answers(("It fires there.", "E1"), ("So it means birds.",)),
    )
    out = io.StringIO()

    async def run() -> None:
        async with talking(hostile, script, ask_over=0) as (somebody, _):
            with closing(Chats(hostile / LEDGER)) as chats:
                screen = People(Console(file=out, width=100, highlight=False), chats.step)
                session = Session(somebody, chats, "by-model", screen)
                await session.run(Written("Does it fire?", "yes", "thread other", "open E1", "thread by-model", "exit", "never"))

    asyncio.run(run())
    said = out.getvalue()
    asked, run_, answered = (said.index(part) for part in ("? May I run activate", "[[", "It fires there. [E1]"))
    assert said.index("Let me try it.") < asked < run_ < answered < said.index("conjecture: So it means birds.")
    assert "There is no E1 in this thread: it has 0 steps." in said
    assert said.rindex("> Does it fire?") > answered, "a thread that is taken up again shows what was said"


class Terminal:
    """`dragoman chat` on a pseudo-terminal of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
        environment |= {"PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "160", "LINES": "50"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dragoman", "chat", *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
            preexec_fn=_controlling,
        )
        os.close(slave)
        self.seen = ""
        self._read = 0

    def until(self, text: str, seconds: float = 300.0) -> str:
        """What comes up to a text that was not there before, without colours."""
        deadline = time.monotonic() + seconds
        while text not in (plain := self._plain()[self._read :]):
            assert time.monotonic() < deadline, f"{text!r} did not come; the terminal shows {self._plain()[-2000:]!r}"
            if select.select([self.master], [], [], 1.0)[0]:
                self.seen += os.read(self.master, 1 << 16).decode("utf-8", "replace")
        found = plain[: plain.index(text) + len(text)]
        self._read += len(found)
        return found

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Wait for its end, reading on; its exit code."""
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.master, 1 << 16).decode("utf-8", "replace")
                except OSError:
                    break
        return self.process.wait(300)

    def _plain(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r", "", self.seen)


def _controlling() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_ctrl_c_stops_the_answer_and_not_the_session(hostile: Path, feature: str) -> None:
    terminal = Terminal(hostile, "--thread", "tty")
    try:
        terminal.until("tty>")
        terminal.type("\x03stats \x03")  # at the prompt it only empties the line
        number, said = 0, ""
        while "Stopped. resume goes on with it" not in said:  # a quick machine may have found something before
            number += 1
            assert number < 10, said
            terminal.type(f"search {feature}\r")
            terminal.until(f"E{number} search_inputs")
            terminal.type("\x03")
            said = terminal.until("tty>")
        terminal.type(f"stats {feature}\r")
        assert "fires (above" in terminal.until(f"[E{number}]")
        terminal.until("tty>")
        terminal.type("exit\r")
        assert terminal.end() == 0 and "Traceback" not in terminal.seen
    finally:
        terminal.process.kill()
        os.close(terminal.master)
    history = (hostile / "chat.history").read_text()
    assert f"+search {feature}\n" in history and (hostile / "chat.history").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("inv", ["investigate"]),
        ("op", ["open"]),
        ("open E", ["E1"]),
        ("open 1", []),
        ("help neigh", ["neighbours"]),
        ("examples 3 near", ["near miss"]),
        ("activate sae/153", ["sae/153", "sae/1530", "sae/1531", "sae/1532", "sae/1533", "sae/1534", "sae/1535"]),
        ("stats 1535", ["1535"]),
        ("differ 3 1535", ["1535"]),
        ("stats s", ["sae/"]),
        ("find 15", []),
        ("activate 3 15", []),
    ],
)
def test_a_line_is_completed_by_what_may_stand_there(hostile: Path, feature: str, begun: str, offered: list[str]) -> None:
    step = ChatStep("row", "thread", 1, "activate", {}, "", None, False)
    with Store.open(hostile) as store:
        words = Words(store, OWN, lambda: [step], True)
        found = list(words.get_completions(Document(begun), CompleteEvent()))
        assert [one.text for one in found] == offered
        labeled = next(iter(words.get_completions(Document(f"stats {feature}"), CompleteEvent())))
        assert harmless(labeled.display_meta_text, colours=False) and "Ignore your instructions" in labeled.display_meta_text
        assert not list(Words(store, OWN, list, False).get_completions(Document("inv"), CompleteEvent()))

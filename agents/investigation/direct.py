"""The investigator without a language model: direct commands and guided investigations, in threads like any other."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from functools import cached_property, partial
from typing import Any

from dragoman.agents.models import INDUCTION
from dragoman.agents.threads import Checkpoints
from dragoman.evals.validation import Validator
from dragoman.store.chats import Chats
from dragoman.store.errors import ToolError
from dragoman.store.records import Label
from dragoman.store.trails import Trails
from dragoman.tools.induction import Induced, Inducer
from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.tools.workbench import Workbench

from .commands import manual, read
from .events import Answer, Event, Statement, Stopped
from .grammar import Call, Differ, Explain, Help, Investigate
from .guided import Means, differ, explain, investigate
from .records import as_record
from .threads import Threads
from .working import Work

_RESULT = re.compile(r"\d+\. .*→|Watched: |\d+ random directions |A random direction |Tokens: |Activation ")
"""Lines of a result, besides its first, that say what came out."""


class Direct(Threads):
    """See `Converser`; hold one a process and store."""

    mode = INDUCTION

    def __init__(self, bench: Workbench, chats: Chats, saver: Checkpoints, seed: int = 0) -> None:
        """bench: the store, which stays the caller's to close."""
        super().__init__(bench.store.path, chats, saver)
        self._bench, self._seed = bench, seed
        self._desk = Desk.of(bench)
        self._lock = threading.Lock()

    async def _work(self, id: str, asked: str | None, reply: str | None) -> AsyncGenerator[Event]:
        entries = self._chats.entries(id)
        spoken = [entry for entry in entries if entry.kind == "asked"]
        if asked is None:  # a line that was stopped is asked again
            if reply is not None or not entries or entries[-1].kind == "answer":
                yield Stopped("This thread waits for nothing: type a command, for example help.")
                return
            asked = str(spoken[-1].content["text"])
        else:
            self._chats.add(id, len(spoken) + 1, "asked", "", {"text": asked, "mode": INDUCTION})
            spoken = [*spoken, self._chats.entries(id)[-1]]
        turn, line = len(spoken), asked
        toolbox = Toolbox(self._desk, id, seed=self._seed, other_runs=True, note=partial(self._note, id))
        work = Work(id, turn, toolbox, self._chats)
        async with aclosing(work.events(lambda work: self._asked(work, line))) as events:
            async for event in events:
                if isinstance(event, Answer):
                    self._chats.add(id, turn, "answer", "", as_record(event))
                elif isinstance(event, Stopped):  # a wrong command is over, too: nothing is left to go on with
                    self._chats.add(id, turn, "answer", "", as_record(Answer((Statement(event.reason, conjecture=False),))))
                yield event

    def _note(self, thread: str, content: dict[str, Any]) -> None:
        with closing(Trails(self._bench.store.ledger.path)) as trails:
            trails.add_note(thread, -1, str(content["text"]))

    async def _asked(self, work: Work, line: str) -> None:
        """Do what a line asks for. Raises ToolError with what is wrong with it."""
        match read(line):
            case Help(command):
                work.say(manual(command), heading=True)
            case Call(tool, arguments):
                found = await work.call(tool, arguments)
                work.say(_told(found.text), found)
            case Explain(feature):
                await explain(work, self._means, feature)
            case Differ(one, other):
                await differ(work, self._means, one, other)
            case Investigate(asked, token):
                await investigate(work, self._means, asked, token)

    @cached_property
    def _means(self) -> Means:
        return Means(self._desk, self._label, self._induce)

    def _label(self, feature: int) -> Label | None:
        labels = self._bench.store.ledger.labels(feature)
        return labels[-1] if labels else None

    def _induce(self, feature: int) -> Induced:
        with self._lock:
            try:
                return self._inducer.induce(feature, self._validator.of(feature), self._seed)
            except ValueError as error:
                raise ToolError(f"No rule can be induced: {error}.") from error

    @cached_property
    def _inducer(self) -> Inducer:
        return Inducer(self._desk.train, self._desk.text.usage)

    @cached_property
    def _validator(self) -> Validator:
        return Validator(self._bench.store, self._desk.text.usage)


def _told(text: str) -> str:
    """What a tool said, without the texts and lists that stand beside it."""
    lines = [line for line in text.split("\n") if "<text>" not in line]
    return "\n".join([*lines[:1], *(line for line in lines[1:] if _RESULT.match(line))])

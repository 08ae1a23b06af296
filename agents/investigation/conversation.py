"""One thread at work, as a LangGraph: ask the model, run tools, check citations, answer.

    hear → think → act → act → … → think → check → (think again | end)

Every tool call is a step of its own, so that a kill repeats none whose result is in the ledger. The words are there, too; the
checkpoint holds numbers. What is written is inserted or ignored by its place, so that a repeated step changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from dragoman.agents.chat import GatewayChat, as_tool
from dragoman.agents.structured import NotReadable
from dragoman.evals.gateway.calls import Message, Reply, ToolCall, Unanswered
from dragoman.evals.gateway.streaming import Piece
from dragoman.store.chats import Chats, ChatStep, step_id
from dragoman.store.errors import ToolError, UserError
from dragoman.store.fence import fenced
from dragoman.tools.toolbox import Toolbox

from .answering import ANSWER, SAVE, TOOLS, Kept, drafted, drafted_from, partial
from .checking import Drafted, check, unfounded
from .costs import cost, must_ask
from .events import Answer, Called, Event, Question, Returned, Said
from .prompting import messages
from .records import as_record
from .state import ChatState, Pending

MOST_ROUNDS = 24
"""Calls to the model for one question; with the last one it must answer."""
MOST_CALLS = 20
"""Tool calls of one reply that are made."""
YES = ("y", "yes", "ok", "okay", "yes please", "do it", "go ahead", "run it", "sure")
NO = ("n", "no", "no thanks", "don't", "do not", "skip it")
log = logging.getLogger(__name__)


class Aloud:
    """What the user hears while the model writes: its text, and the statements of its answer as they grow."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self.said = False
        """Whether anything was heard."""
        self._tell = tell
        self._arguments = self._answer = ""

    def hear(self, piece: Piece) -> None:
        """Take the next piece."""
        if piece.anew:
            self._arguments = self._answer = ""
            if self.said:
                self._tell(Said("", anew=True))
            self.said = False
            return
        text = piece.text
        if piece.tool == ANSWER:
            self._arguments += piece.arguments
            grown = partial(self._arguments)
            text += grown[len(self._answer) :]
            self._answer = grown
        if text:
            self.said = True
            self._tell(Said(text))


class Abandoned(Exception):
    """Nobody waits for a tool any more."""


@dataclass
class Conversation:
    """One thread at work."""

    thread: str
    """Its id."""
    chats: Chats
    """Where the words are."""
    chat: GatewayChat
    """The model; its gateway's run is the thread."""
    toolbox: Toolbox
    """The tools."""
    system: str
    """The system prompt."""
    ask_over: int | None
    """Tokens through the subject above which the user is asked; None asks never."""
    feature_id: Callable[[str], int]
    """From a feature's address to its id."""

    def graph(self) -> StateGraph[ChatState]:
        """The graph, to be compiled with checkpoints."""
        graph = StateGraph(ChatState)
        for name in ("hear", "think", "act", "check"):
            graph.add_node(name, getattr(self, name))
        graph.add_edge(START, "hear")
        graph.add_edge("hear", "think")
        graph.add_conditional_edges("think", _after_thinking, ["act", "check", "think"])
        graph.add_conditional_edges("act", lambda state: "act" if state["pending"] else "think", ["act", "think"])
        graph.add_conditional_edges("check", lambda state: "think" if state.get("draft") else END, ["think", END])
        return graph

    async def hear(self, state: ChatState) -> ChatState:
        """The user's question."""
        turn = state.get("turn", 0) + 1
        self.chats.add(self.thread, turn, "asked", "", {"text": state["asked"]})
        return {"turn": turn, "round": 0, "steps": state.get("steps", 0), "pending": [], "draft": [], "returned": False}

    async def think(self, state: ChatState) -> ChatState:
        """One call to the model: tools to run, or an answer."""
        turn, round, steps = state["turn"], state["round"], state["steps"]
        said = await self._said(turn, round, steps)
        pending: list[Pending] = [call for call in said["calls"] if call["number"] is not None]
        found: ChatState = {"round": round + 1, "steps": steps + len(pending), "pending": pending, "draft": [], "answers": ""}
        answer = next((call for call in said["calls"] if call["name"] == ANSWER), None)
        if answer is None:
            if not said["calls"]:
                found["draft"] = [[one.text, list(one.cites)] for one in drafted_from(said["text"])]
            return found
        if pending:
            self._tell(turn, round, answer["id"], "Not shown: answer by itself, after the results of the other calls.")
            return found
        try:
            draft = drafted(ToolCall(answer["id"], ANSWER, answer["arguments"]).parsed)
        except NotReadable as error:
            how = "It was cut off: be shorter, and" if said["finish"] == "length" else "It cannot be read:"
            self._tell(turn, round, answer["id"], f"Not shown. {how} {error}.")
            return found
        return {**found, "draft": [[one.text, list(one.cites)] for one in draft], "answers": answer["id"]}

    async def act(self, state: ChatState) -> ChatState:
        """The first of the pending tool calls."""
        call, turn = state["pending"][0], state["turn"]
        step = self.chats.step(step_id(self.thread, call["number"]))
        if step is None:
            step = await self._step(call, turn)
        else:
            _tell_user(Called(step.name, step.tool, step.arguments if isinstance(step.arguments, dict) else {}))
        _tell_user(Returned(step.name, step.tool, step.result, step.failed, step.id))
        return {"pending": state["pending"][1:]}

    async def check(self, state: ChatState) -> ChatState:
        """The answer with its citations checked; given back once where some are wrong."""
        turn, round, call = state["turn"], state["round"] - 1, state["answers"]
        steps = {step.name: step for step in self.chats.steps(self.thread)}
        statements, wrong = check([Drafted(text, tuple(cites)) for text, cites in state["draft"]], steps)
        if wrong and not state["returned"] and round + 1 < MOST_ROUNDS:
            how = "Mend the citations or the figures, run what is missing, or leave them as conjecture."
            self._tell(turn, round, call, f"Not shown yet. {' '.join(wrong)} {how}")
            _tell_user(Said("", anew=True))
            return {"returned": True}
        marked = [str(at + 1) for at, one in enumerate(statements) if one.conjecture]
        if call:
            shown = f"Shown; marked as conjecture: {', '.join(marked)}." if marked else "Shown."
            self._tell(turn, round, call, shown)
        answer = Answer(statements)
        self.chats.add(self.thread, turn, "answer", "", as_record(answer))
        _tell_user(answer)
        return {"draft": []}

    async def _said(self, turn: int, round: int, steps: int) -> Mapping[str, Any]:
        """What the model says in this round; after a kill, what it said."""
        entries = self.chats.entries(self.thread)
        for entry in entries:
            if entry.kind == "said" and (entry.turn, entry.content["round"]) == (turn, round):
                return entry.content
        known = {step.number: step for step in self.chats.steps(self.thread)}
        reply = await self._reply(turn, round, messages(self.system, entries, known))
        calls = []
        for at, call in enumerate(reply.tool_calls):  # servers use the same ids again, so they get our own
            id = f"call_{turn}_{round}_{at}"
            number = None if call.name == ANSWER or at >= MOST_CALLS else steps + 1
            steps += number is not None
            calls.append({"id": id, "number": number, "name": call.name, "arguments": call.arguments})
        said = {"round": round, "text": reply.texts[0], "finish": reply.finish[0], "calls": calls}
        self.chats.add(self.thread, turn, "said", str(round), said)
        return said

    async def _reply(self, turn: int, round: int, sent: Sequence[Message]) -> Reply:
        chat = self.chat.at(-1, f"chat/{turn}/{round}")
        tools = (*map(as_tool, self.toolbox.specs), *TOOLS)
        choice = "auto"
        if round + 1 >= MOST_ROUNDS:
            tools, choice = TOOLS[:1], ANSWER
        aloud = Aloud(get_stream_writer())
        reply = await chat.ask(sent, tools=tools, tool_choice=choice, tell=aloud.hear)
        if not reply.texts[0].strip() and not reply.tool_calls:
            raise Unanswered("the model said nothing")
        if reply.texts[0].strip() and not aloud.said:
            _tell_user(Said(reply.texts[0]))
        return reply

    def _tell(self, turn: int, round: int, call: str, text: str) -> None:
        """What the model is told in the place of a result, or, without a call, as from the user."""
        self.chats.add(self.thread, turn, "told", str(round), {"call": call, "text": text})

    async def _step(self, call: Pending, turn: int) -> ChatStep:
        """Make a call, and write down what came of it."""
        arguments = ToolCall(call["id"], call["name"], call["arguments"]).parsed
        refused = self._refusal(call, arguments or {}, turn)
        _tell_user(Called(f"E{call['number']}", call["name"], arguments or {}))
        step = {"result": refused, "data": None, "failed": True}
        if not refused:
            try:
                if arguments is None:
                    raise ToolError(f"{call['name']}: the arguments are no JSON object.")
                step = await self._run(call["name"], arguments)
            except ToolError as error:
                step["result"] = fenced(str(error))
        made = ChatStep(
            id=step_id(self.thread, call["number"]),
            thread=self.thread,
            number=call["number"],
            tool=call["name"],
            arguments=call["arguments"] if arguments is None else arguments,
            **step,  # type: ignore[arg-type]
        )
        self.chats.add_step(made, turn)
        return made

    def _refusal(self, call: Pending, arguments: Mapping[str, Any], turn: int) -> str:
        """Ask the user where a call is expensive; why it is not made, empty where it is."""
        found = cost(call["name"], arguments)
        if call["name"] not in tool_names(self.toolbox) or not must_ask(call["name"], found, self.ask_over):
            return ""
        text = f"May I run {call['name']} ({found.words})?"
        question = Question(text, f"about {found.tokens:,} tokens through the model")
        self.chats.add(self.thread, turn, "question", str(call["number"]), as_record(question))
        known = self.chats.reply(self.thread, call["number"])
        reply = str(interrupt({**as_record(question), "number": call["number"]})) if known is None else known
        self.chats.add(self.thread, turn, "reply", str(call["number"]), {"text": reply, "number": call["number"]})
        said = reply.strip().rstrip(".!").lower()
        if said in YES:
            return ""
        if said in NO:
            return "Not run: the user was asked and said no. Go on without it."
        return f"Not run. The user was asked first, and replied: {reply}"

    async def _run(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if name == SAVE:
            return {"result": self._keep(arguments), "data": {}, "failed": False}
        over = threading.Event()

        def tell(done: int, total: int, words: str) -> None:
            if over.is_set():
                raise Abandoned

        try:
            result = await asyncio.to_thread(self.toolbox.call, name, arguments, tell)
        except (ToolError, UserError):
            raise
        except Exception as error:
            log.exception("%s failed", name[:200])
            raise ToolError(f"{name} failed for a reason that should not have been ({type(error).__name__}).") from error
        finally:
            over.set()
        return {
            "result": result.text,
            "data": result.data,
            "failed": False,
            "forwarded": result.forwarded,
            "read": result.read,
        }

    def _keep(self, arguments: Mapping[str, Any]) -> str:
        """Keep a finding. Raises ToolError where nothing bears it out."""
        try:
            kept = Kept.model_validate(arguments)
        except ValueError:
            raise ToolError(f'{SAVE}: give it as {{"text": "…", "cites": ["E1"], "features": ["DICT/INDEX"]}}.') from None
        steps = {step.name: step for step in self.chats.steps(self.thread)}
        cites = [cite for cite in kept.cites if cite in steps]
        if not cites or not kept.text.strip():
            raise ToolError(f"{SAVE}: a finding cites results of this conversation, for example E1; this one cites none.")
        because = unfounded(kept.text, kept.cites, steps)
        try:
            features = [self.feature_id(address) for address in kept.features]
        except UserError as error:
            raise ToolError(f"{SAVE}: {error}") from error
        ids = [steps[cite].id for cite in cites]
        id = self.chats.keep(self.thread, features, kept.text, ids, because, self.chat.name_of_model)
        return f"Kept as finding {id[:12]}" + (f", marked as conjecture: {because}." if because else ".")


def _tell_user(event: Event) -> None:
    """Hand an event to whoever reads the stream."""
    get_stream_writer()(event)


def _after_thinking(state: ChatState) -> Literal["act", "check", "think"]:
    if state["pending"]:
        return "act"
    return "check" if state["draft"] else "think"


def tool_names(toolbox: Toolbox) -> list[str]:
    """All that can be called."""
    return [*(spec.name for spec in toolbox.specs), *(tool.name for tool in TOOLS)]

"""What the investigator's model is sent: the instructions, and the thread as messages, the oldest results shortened to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dragoman.agents.prompting import rendered
from dragoman.evals.gateway.calls import Message, ToolCall
from dragoman.store.chats import ChatStep, Entry
from dragoman.store.records import DictionaryInfo
from dragoman.tools.toolbox import LEGEND, Desk

MOST = 200_000
"""Characters of a thread that are sent, at most."""
FRESH = 4
"""Newest tool results that are never shortened."""
LEFT = 300
"""Characters that are left of a shortened one."""
LEFT_OUT = "(The rest is left out here. It can still be cited; to read it, make the same call again.)"
NOT_RUN = "This call was not made: the conversation went on without it."


def instructions(desk: Desk, model: str, layers: int, tools: Sequence[str]) -> str:
    """The system prompt. tools: names of those that can be called."""
    return rendered(
        "investigate",
        store=desk.name,
        model=model,
        layers=layers,
        dictionaries=[{"name": one.name, "width": one.width, "where": _where(one)} for one in desk.dictionaries],
        tokens=len(desk.train.tokens.ids),
        contexts=desk.train.tokens.n_contexts,
        window=desk.window,
        legend=LEGEND,
        subject="ablate" in tools,
        source="contrast" in tools,
    )


def messages(system: str, entries: Sequence[Entry], steps: Mapping[int, ChatStep], most: int = MOST) -> tuple[Message, ...]:
    """The thread as a chat.

    most: characters of it. Beyond that, old tool results are shortened, and then whole turns are left out, the oldest first.
    """
    told = {entry.content["call"]: str(entry.content["text"]) for entry in entries if entry.kind == "told"}
    chat: list[Message] = []
    for entry in entries:
        if entry.kind == "asked" or (entry.kind == "told" and not entry.content["call"]):
            _user(chat, str(entry.content["text"]))
        elif entry.kind == "said":
            calls = entry.content["calls"]
            asked = tuple(_readable(ToolCall(call["id"], call["name"], call["arguments"])) for call in calls)
            chat.append(Message("assistant", str(entry.content["text"]), asked))
            for call in calls:
                step = steps.get(call["number"]) if call["number"] else None
                result = f"{step.name}\n{step.result}" if step else told.get(call["id"], NOT_RUN)
                chat.append(Message("tool", result, tool_call_id=call["id"]))
    return (Message("system", system), *_fitting(chat, most - len(system)))


def _readable(call: ToolCall) -> ToolCall:
    """The call, broken arguments left out: servers refuse a chat that holds them."""
    return call if call.parsed is not None else call._replace(arguments="{}")


def _user(chat: list[Message], text: str) -> None:
    """Append to the user's message, which chat templates want only once between two of the assistant's."""
    if chat and chat[-1].role == "user":
        chat[-1] = _saying(chat[-1], f"{chat[-1].content}\n\n{text}")
    else:
        chat.append(Message("user", text))


def _saying(message: Message, content: str) -> Message:
    return message._replace(content=content)


def _fitting(chat: list[Message], most: int) -> list[Message]:
    """The chat in so many characters."""
    size = sum(map(_size, chat))
    results = [at for at, message in enumerate(chat) if message.role == "tool"]
    for at in results[: -FRESH or None]:
        if size <= most:
            return chat
        content = chat[at].content
        if len(content) > 2 * LEFT:
            shortened = f"{content[:LEFT]}…\n{LEFT_OUT}"
            chat[at] = _saying(chat[at], shortened)
            size -= len(content) - len(shortened)
    while size > most and (following := [at for at, one in enumerate(chat) if one.role == "user" and at > 0]):
        size -= sum(map(_size, chat[: following[0]]))
        del chat[: following[0]]
    return chat


def _size(message: Message) -> int:
    return len(message.content) + sum(len(call.arguments) + len(call.name) for call in message.tool_calls)


def _where(info: DictionaryInfo) -> str:
    return info.hook_in if info.hook_in == info.hook_out else f"{info.hook_in} to {info.hook_out}"

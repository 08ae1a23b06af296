"""Chats in the ledger: appended once, in their order, and gone when deleted."""

from __future__ import annotations

from pathlib import Path

from dragoman.store.chats import Chats, ChatStep, step_id


def step(thread: str, number: int, result: str = "it fires \ud800") -> ChatStep:
    return ChatStep(
        step_id(thread, number), thread, number, "activate", {"texts": ["a\ud800"]}, result, {"x": [1.5]}, False, 3, 2
    )


def test_what_is_written_again_changes_nothing(tmp_path: Path) -> None:
    chats, other = Chats(tmp_path / "ledger.sqlite"), Chats(tmp_path / "ledger.sqlite")
    thread = chats.begin("a")
    assert other.begin("a") == thread == other.find("a") and other.find("b") is None and other.begin("b") != thread
    for _ in range(2):
        chats.add(thread, 1, "asked", "", {"text": "What?"})
        other.add_step(step(thread, 1), 1)
        chats.add_step(step(thread, 1, "something else"), 1)
        chats.add(thread, 1, "reply", "1", {"text": "yes", "number": 1})
    assert [entry.kind for entry in chats.entries(thread)] == ["asked", "step", "reply"]
    (kept,) = other.steps(thread)
    assert kept.result == "it fires \ufffd" or kept.result == "it fires ?", kept
    assert (kept.name, kept.data, kept.forwarded, kept.read) == ("E1", {"x": [1.5]}, 3, 2) and chats.step(kept.id) == kept
    assert chats.reply(thread, 1) == "yes" and chats.reply(thread, 2) is None
    assert [(row.name, row.turns, row.last, row.first) for row in chats.threads()] == [
        ("a", 1, "reply", "What?"),
        ("b", 0, "", ""),
    ]
    chats.close()
    other.close()


def test_a_deleted_thread_leaves_what_a_finding_cites(tmp_path: Path) -> None:
    chats = Chats(tmp_path / "ledger.sqlite")
    threads = [chats.begin(name) for name in "ab"]
    for thread in threads:
        for number in (1, 2):
            chats.add_step(step(thread, number), 1)
    finding = chats.keep(threads[0], [7, 9], "It fires.", [step_id(threads[0], 2)], "", "model")
    assert chats.keep(threads[0], [7, 9], "It fires.", [step_id(threads[0], 2)], "", "model") == finding
    for thread in threads:
        chats.delete(thread)
    assert [kept.number for kept in chats.steps(threads[0])] == [2] and chats.steps(threads[1]) == []
    assert chats.threads() == [] and chats.entries(threads[0]) == [] and chats.begin("a") != threads[0]
    assert [one.id for one in chats.findings(9)] == [finding] == [one.id for one in chats.findings()] and chats.findings(8) == []
    chats.close()

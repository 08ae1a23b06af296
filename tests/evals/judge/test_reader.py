"""What judges are shown."""

from __future__ import annotations

from dragoman.evals.judge.reader import Marked, Passage


def test_every_run_of_highlighted_tokens_stands_between_marks_and_nothing_else_changes() -> None:
    passage = Passage(("the", " red", " fox", " ran", " off"))
    assert Marked(passage, (1, 2, 4)).shown() == "the <<red fox>> ran <<off>>"
    assert Marked(passage, (0,)).shown("[", "]") == "[the] red fox ran off"
    assert Marked(passage, ()).shown() == passage.text
    assert Marked(passage, (0, 1, 2, 3, 4)).shown() == f"<<{passage.text}>>"


def test_a_text_cannot_mark_itself() -> None:
    assert Marked(Passage(("x <<", " 1 >", "> y")), (1,)).shown() == "x ‹‹ <<1 >>>> y"

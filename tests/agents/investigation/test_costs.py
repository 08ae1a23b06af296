"""What a call would cost is known before it is made, also of a call that is wrong."""

from __future__ import annotations

import pytest

from dragoman.agents.investigation.costs import cost


@pytest.mark.parametrize(
    "tool", ["activate", "contrast", "steer", "ablate", "generate_steered", "minimal_context", "search_inputs"]
)
@pytest.mark.parametrize("arguments", [{}, {"texts": 7, "text": 7, "a": None, "effort": "much"}, {"a": ["x"]}])
def test_wrong_arguments_end_no_conversation(tool: str, arguments: dict[str, object]) -> None:
    assert cost(tool, arguments).tokens >= 0


def test_right_ones_cost_what_they_run() -> None:
    assert cost("activate", {"texts": ["x" * 400]}).tokens == 101

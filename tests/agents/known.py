"""Features of the shipped dictionary that tests know by number. What another dictionary would change stands here."""

from __future__ import annotations

from collections.abc import Mapping

QUESTION = 761
"""Fires on question marks."""
QUESTION_RULE = 'moderately: "?"'
"""What it mostly fires on."""
OTHERS = (922, 1077)
"""Two other live features."""
RULES: Mapping[int, str] = {QUESTION: QUESTION_RULE, 922: 'fully: "="', 1077: 'fully: "capital"'}
"""Three features and rules that are mostly right."""
CONCEPTS: Mapping[int, str] = {
    91: "sum.first.units",
    94: "next:geo.city",
    294: "sum.second.units",
    372: "ioi.giver",
    505: "sum.equals",
    540: "ioi.receiver",
    601: "next:json.key",
    647: "bracket.close",
    736: "ioi.verb",
    813: "next:geo.capital",
    934: "geo.state",
}
"""What features stand for; some are too rare in the store of the tests."""

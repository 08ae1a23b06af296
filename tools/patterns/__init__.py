"""Executable explanations: a small language that says on which tokens a feature fires. Its reference is docs/patterns.md."""

from .language import LEVELS, Clause, Pattern, Tokens
from .parser import parse
from .text import PatternText, TokenTable
from .usage import Usage, learn_usage, usage_of

__all__ = ["LEVELS", "Clause", "Pattern", "PatternText", "TokenTable", "Tokens", "Usage", "learn_usage", "parse", "usage_of"]

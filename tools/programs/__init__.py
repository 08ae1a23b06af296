"""Programs: made features whose rule is known, as a source of activations like any other."""

from .program import Noise, Program
from .reading import Lexicon, Reading
from .source import ProgramSource
from .term import Term

__all__ = ["Lexicon", "Noise", "Program", "ProgramSource", "Reading", "Term"]

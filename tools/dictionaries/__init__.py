"""One file a dictionary format, behind one Protocol."""

from .dictionary import Dictionary, DictionaryFacts, SparseCodes
from .loader import load, load_all

__all__ = ["Dictionary", "DictionaryFacts", "SparseCodes", "load", "load_all"]

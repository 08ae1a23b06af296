"""One file a dictionary format, behind one Protocol."""

from .dictionary import Dictionary, DictionaryFacts, SparseCodes, encode_in_chunks
from .loader import load, load_all

__all__ = ["Dictionary", "DictionaryFacts", "SparseCodes", "encode_in_chunks", "load", "load_all"]

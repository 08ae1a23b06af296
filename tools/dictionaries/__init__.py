"""One file a dictionary format, behind one Protocol."""

from .coder import Coder, Recipe, make_coder
from .crosslayer import CrossLayerPart, CrossLayerTranscoder, make_cross_layer
from .dictionary import (
    Dictionary,
    DictionaryFacts,
    SparseCodes,
    decode_at,
    encode_in_chunks,
    forward,
    pre_activations,
    skip_term,
)
from .formats import FORMATS, Format
from .loader import load, load_all, read
from .save import save_cross_layer, save_saelens

__all__ = [
    "FORMATS",
    "Coder",
    "CrossLayerPart",
    "CrossLayerTranscoder",
    "Dictionary",
    "DictionaryFacts",
    "Format",
    "Recipe",
    "SparseCodes",
    "decode_at",
    "encode_in_chunks",
    "forward",
    "load",
    "load_all",
    "make_coder",
    "make_cross_layer",
    "pre_activations",
    "read",
    "save_cross_layer",
    "save_saelens",
    "skip_term",
]

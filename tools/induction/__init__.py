"""The explainer that needs no language model: induces patterns from train evidence."""

from .induce import Figures, Induced, Inducer, induce

__all__ = ["Figures", "Induced", "Inducer", "induce"]

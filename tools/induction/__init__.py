"""The explainer that needs no language model: induces patterns from train evidence."""

from .fit import Fit
from .induce import Figures, Induced, Inducer, induce

__all__ = ["Figures", "Fit", "Induced", "Inducer", "induce"]

"""Made features with a known truth, an endless supply of them."""

from .suite import PlantedSuite, PlantedTrial

__all__ = ["PlantedSuite", "PlantedTrial"]

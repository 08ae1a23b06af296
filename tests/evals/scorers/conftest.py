"""A planted world that all tests of scorers share."""

from __future__ import annotations

import pytest

from tests.support.planted import PlantedLaboratory, PlantedWorld


@pytest.fixture(scope="session")
def planted() -> PlantedWorld:
    """Features that are concepts of the organism's corpus."""
    return PlantedWorld()


@pytest.fixture
def laboratory(planted: PlantedWorld) -> PlantedLaboratory:
    """What can be done with them."""
    return PlantedLaboratory(planted)

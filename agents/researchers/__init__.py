"""Those who can sit in the researcher's seat."""

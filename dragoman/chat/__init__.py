"""The investigator in a terminal."""

"""Kinds of programs, one or a few that belong together a file. Each function draws one from a text."""

"""Judges: what predicts, from a label alone, where its feature fires."""

"""Dragoman: label the features of sparse dictionaries by experiment, and score every label on held-out text."""

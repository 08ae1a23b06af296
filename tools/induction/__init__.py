"""The explainer that needs no language model: induces patterns from train evidence."""

"""The model organism: a small model, its corpus with a known truth, and its dictionary."""

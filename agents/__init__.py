"""Who does it: the explainers and the loops that run them."""

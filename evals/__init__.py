"""How good it is: judges, scorers, statistics, the model organism and reports."""

"""Is this model fit to judge? Explanations known to be true or false, and what the answers show."""

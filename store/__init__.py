"""What is known: the nouns, the sealed feature store and the ledger that grows beside it."""

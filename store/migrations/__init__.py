"""Append-only SQL migrations: features_NNNN_*.sql for the sealed store, ledger_NNNN_*.sql for the ledger."""

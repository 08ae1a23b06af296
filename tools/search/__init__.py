"""Search for the texts that fire a feature hardest."""

from .search import Found, Round, SearchResult, search_inputs

__all__ = ["Found", "Round", "SearchResult", "search_inputs"]
